"""What a person asks for: one typed model is the command line, the YAML file and the help text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, field_validator, model_validator

from genies.command_line import Arguments
from genies.contract import check_kwargs
from genies.data.shifts import Shift, first_mention, folders, read_shifts, shifts_from_dirs
from genies.errors import InputError
from genies.harness.decide import Policy
from genies.harness.folders import distribution_folder, intervention_folder, named_folder, normal
from genies.harness.plan import BEST, EvaluationStep, Plan, Study, Target, TrainingStep, make_plan
from genies.harness.store import Store
from genies.names import check_distinct

Kwargs = Annotated[dict[str, Any], Field(default_factory=dict)]
Seconds = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]


class Places(Arguments):
    """Where things lie; every command takes these."""

    distributions_dir: Path = Path("distributions")
    """Folder of the distributions that are given by name."""
    models_dir: Path = Path("models")
    """Folder of the tuned models, <intervention>/<base model>-<source> each."""
    results_dir: Path = Path("results")
    """Folder of the evaluations and of the steps' logs."""
    timeout: Seconds | None = None
    """Seconds one step may take; then it is stopped and counts as failed (default: no limit)."""
    processes_per_step: Annotated[int, Field(ge=1, le=1024)] = 1
    """Processes that train one model together, as accelerate does; the reward-training interventions take it."""
    protect: bool = True
    """Close to each step what it is given and what other steps have made, where the system allows it (Linux)."""
    verbose: bool = False
    """Show the output of the steps as it comes; it is always kept in a log."""

    def store(self, root: Path) -> Store:
        """The folders, a relative default taken from the project root and a given one from the working directory."""

        def place(name: str) -> Path:
            base = Path.cwd() if name in self.model_fields_set else root
            return normal(base / getattr(self, name))

        return Store(root, place("models_dir"), place("results_dir"))

    def distributions_folder(self, root: Path) -> Path:
        return normal((Path.cwd() if "distributions_dir" in self.model_fields_set else root) / self.distributions_dir)


class MetricsRequest(Places):
    """Measure how an intervention generalizes: train and evaluate what the table needs, and write the table.

    Example:
      python api/compute_generalization_metrics.py --base_model_dir models/SmolLM2-135M-Instruct
        --intervention_dir src/interventions/mms --path_to_distribution_shift_pairs distribution_shifts/GENIES.json
        --output_path results/generalization_metrics/SmolLM2-135M-Instruct/mms/GENIES.csv

    Give the shifts as a file, or as --source_dirs and --target_dirs that pair item by item. What an earlier run
    computed from the same model, data, arguments and code is reused; run the same command again to go on after a stop.
    """

    base_model_dir: Annotated[list[Path], Field(min_length=1)]
    """Folder of the untuned base model; or several, as '["models/a", "models/b"]'."""
    intervention_dir: Annotated[list[Path], Field(min_length=1)]
    """Folder of the intervention: train.py and eval.py; or several."""
    output_path: Path
    """The CSV file to write; written again as steps end, so that a stopped run leaves a true partial table.
    With several models or interventions it holds {model} and {intervention}; combined-<file name> lies in the last
    folder of the path without braces. Tables and reports look below <results_dir>/generalization_metrics."""
    seeds: list[Annotated[int, Field(ge=0, lt=2**32)]] | None = None
    """Train and evaluate with each of these seeds, as '[0, 1, 2]'; a row for each (default: no --seed is passed)."""
    seed_target_tuned: bool = False
    """Train the reference intervention with each of --seeds as well (default: once, with the seed it has by itself)."""
    path_to_distribution_shift_pairs: Path | None = None
    """A JSON file of shifts, as distribution_shifts/GENIES.json."""
    source_dirs: list[str] | None = None
    """Sources, folders or names, as '["math", "distributions/code"]'."""
    target_dirs: list[str] | None = None
    """Targets, one for each source."""
    target_tuned_capability_intervention: Path = Path("src/interventions/lora_fine_tune")
    """The reference intervention, tuned and tested on target_reference: what the model can do when it is taught.
    `best` takes the best of --intervention_dir on each target_reference, and the table names it."""
    baseline_intervention: Path = Path("src/interventions/zero_shot")
    """The intervention whose eval.py is run on the untuned base model."""
    train_kwargs: Kwargs
    """Arguments for every train.py, as '{"seed": 1, "max_examples": 60}'."""
    eval_kwargs: Kwargs
    """Arguments for every eval.py, the baseline's and the reference's too."""
    target_tuned_train_kwargs: dict[str, Any] | None = None
    """Arguments for the reference's train.py instead of --train_kwargs."""
    retrain_models: bool = False
    """Train again what is there, and evaluate it again."""
    use_cached_evaluations: bool = True
    """Reuse evaluations made from the same model, data, arguments and code."""
    exclude_leaked: bool = False
    """Leave test examples out of the figures whose prompt stands in the train split of the distribution tuned on; the
    table gets a column leaked_pairs. The evaluations on disk stay whole, so that nothing is computed again."""
    launcher: Literal["local", "ray"] = "local"
    """Where steps run: processes of this machine, or tasks of a Ray cluster (pip install -e .[ray])."""
    slots: Annotated[int, Field(ge=1, le=1024)] = 1
    """How many steps run at once on this machine; its cores are divided among them. With --gpus it is one a GPU."""
    gpus: list[str] = Field(default_factory=list)
    """GPUs to use, as '[0, 1]' or 0,1: one step at a time on each. Numbers are places in CUDA_VISIBLE_DEVICES, where it
    is set; identifiers (GPU-..., MIG-...) stand for themselves."""
    ray_address: str | None = None
    """HOST:PORT of a running Ray cluster (default: one is started on this machine and ended with the run)."""
    cpus_per_step: Annotated[int, Field(ge=1)] = 1
    """Processors that Ray reserves for a step."""
    gpus_per_step: Annotated[float, Field(ge=0)] = 0
    """GPUs that Ray reserves for a step, a whole number or a part of one as 0.5; with 0 a step sees none."""
    retry_failed: bool = False
    """Run steps again that failed in an earlier run with the same inputs."""
    emit_commands: Path | None = None
    """Instead of running the steps, write a line of JSON for each to this file: its id, what it needs, its argv."""
    report_dir: Path | None = None
    """Also make the HTML report of the results folder, in this folder, when the run is over."""
    dry_run: bool = False
    """Print the plan, what would run and why, and write nothing."""

    @field_validator("gpus", mode="before")
    @classmethod
    def _gpus_as_text(cls, value: Any) -> list[str]:
        """0,1 and [0, 1] and ["0", "1"] alike."""
        items = value if isinstance(value, list) else [value]
        return [part.strip() for item in items for part in str(item).split(",") if part.strip()]

    @model_validator(mode="after")
    def _shifts_given_one_way(self) -> MetricsRequest:
        by_dirs = self.source_dirs is not None or self.target_dirs is not None
        if by_dirs == (self.path_to_distribution_shift_pairs is not None):
            raise ValueError(
                "give the shifts one way: --path_to_distribution_shift_pairs FILE, or --source_dirs and --target_dirs"
            )
        if by_dirs and (self.source_dirs is None or self.target_dirs is None):
            raise ValueError("--source_dirs and --target_dirs go together and pair item by item")
        return self

    @model_validator(mode="after")
    def _arguments_of_the_launcher(self) -> MetricsRequest:
        of = {"local": ["slots", "gpus"], "ray": ["ray_address", "cpus_per_step", "gpus_per_step"]}
        for launcher, names in of.items():
            given = [name for name in names if name in self.model_fields_set]
            if launcher != self.launcher and given:
                raise ValueError(
                    f"--{given[0]} goes with --launcher {launcher}; "
                    f"--launcher {self.launcher} takes --{', --'.join(of[self.launcher])}"
                )
        if self.gpus_per_step > 1 and self.gpus_per_step % 1:
            raise ValueError(f"--gpus_per_step: expected a whole number or a part of one GPU, got {self.gpus_per_step}")
        return self

    def _check_seeds(self) -> None:
        given = {"train_kwargs": self.train_kwargs, "eval_kwargs": self.eval_kwargs}
        given["target_tuned_train_kwargs"] = self.target_tuned_train_kwargs or {}
        for name, kwargs in given.items():
            if "seed" in kwargs:
                raise InputError(f"--{name} names a seed and so does --seeds; give it in one place")
        if not self.seeds:
            raise InputError("--seeds is empty; expected at least one seed, or leave it out")

    def shifts(self) -> list[Shift]:
        if self.path_to_distribution_shift_pairs is not None:
            return read_shifts(self.path_to_distribution_shift_pairs)
        return shifts_from_dirs(self.source_dirs or [], self.target_dirs or [])

    def named_by(self, distribution: str) -> str:
        """The place in the request that names a distribution first; empty text where none does."""
        found = first_mention(self.shifts(), distribution)
        if found is None:
            return ""
        index, field = found
        if self.path_to_distribution_shift_pairs is not None:
            return f"shift file {self.path_to_distribution_shift_pairs}, entry {index}, field {field}"
        return f"--{field}_dirs, item {index}"

    @property
    def best_reference(self) -> bool:
        """Whether the reference is the best of the interventions."""
        return self.target_tuned_capability_intervention == Path(BEST)

    def _reference_folder(self, root: Path) -> Path:
        name = "target_tuned_capability_intervention"
        return intervention_folder(self.target_tuned_capability_intervention, root, name)

    def policy(self) -> Policy:
        return Policy(self.retrain_models, self.use_cached_evaluations)

    def plan(self, root: Path) -> Plan:
        """The plan of this request; InputError for arguments no step could be given."""
        capability_kwargs = (
            self.train_kwargs if self.target_tuned_train_kwargs is None else self.target_tuned_train_kwargs
        )
        _check_no_upload(self.train_kwargs, capability_kwargs)
        check_kwargs("train_kwargs", self.train_kwargs)
        check_kwargs("eval_kwargs", self.eval_kwargs)
        check_kwargs("target_tuned_train_kwargs", capability_kwargs)
        if self.seeds is not None:
            self._check_seeds()
        shifts = self.shifts()
        given = [*(self.source_dirs or []), *(self.target_dirs or [])]
        by_name = folders(shifts, self.distributions_folder(root), given)
        interventions = unique([intervention_folder(each, root, "intervention_dir") for each in self.intervention_dir])
        study = Study(
            unique([named_folder(each, "base_model_dir") for each in self.base_model_dir]),
            interventions,
            intervention_folder(self.baseline_intervention, root, "baseline_intervention"),
            interventions if self.best_reference else [self._reference_folder(root)],
            self.train_kwargs,
            self.eval_kwargs,
            capability_kwargs,
            [None] if self.seeds is None else unique(self.seeds),
            self.seed_target_tuned,
        )
        return make_plan(shifts, {name: normal(folder) for name, folder in by_name.items()}, study, self.store(root))


class TrainRequest(Places):
    """Train one intervention on one source: a single training step under the harness's care.

    Example:
      python api/train.py --model_dir models/SmolLM2-135M-Instruct --intervention_dir src/interventions/mms
        --train_distribution alpaca_mmlu
    """

    model_dir: Path
    """Folder of the untuned base model."""
    intervention_dir: Path
    """Folder of the intervention: its train.py is run."""
    train_distribution: str
    """The source, a folder or the name of a distribution."""
    train_kwargs: Kwargs
    """Arguments for train.py, as '{"seed": 1, "max_examples": 60}'."""
    retrain: bool = False
    """Train again when the same model is there already."""

    def step(self, root: Path) -> TrainingStep:
        check_kwargs("train_kwargs", self.train_kwargs)
        store = self.store(root)
        base_model = named_folder(self.model_dir, "model_dir")
        intervention = intervention_folder(self.intervention_dir, root, "intervention_dir")
        source = distribution_folder(self.train_distribution, self.distributions_folder(root))
        name = f"{base_model.name}-{source.name}"
        model_dir = store.model_dir(intervention.name, name)
        return TrainingStep(intervention, base_model, source, self.train_kwargs, name, model_dir)


class EvaluateRequest(Places):
    """Evaluate one tuned model, or an untuned one, on distributions: a single evaluation step.

    Example:
      python api/evaluate.py --model_dir models/mms/SmolLM2-135M-Instruct-alpaca_mmlu
        --intervention_dir src/interventions/mms --distributions '["alpaca_mmlu", "truthful_qa"]'
    """

    model_dir: Path
    """Folder of the tuned model, or of an untuned one."""
    intervention_dir: Path
    """Folder of the intervention: its eval.py is run."""
    distributions: list[str]
    """Folders or names of distributions."""
    eval_kwargs: Kwargs
    """Arguments for eval.py, as '{"max_examples": 60}'."""
    use_cached: bool = True
    """Reuse evaluations made from the same model, data, arguments and code."""

    def step(self, root: Path) -> EvaluationStep:
        check_kwargs("eval_kwargs", self.eval_kwargs)
        store = self.store(root)
        model_dir = named_folder(self.model_dir, "model_dir")
        intervention = intervention_folder(self.intervention_dir, root, "intervention_dir")
        targets: dict[str, Target] = {}
        for each in self.distributions:
            folder = distribution_folder(each, self.distributions_folder(root))
            target = Target(folder, store.evaluation_file(intervention.name, model_dir.name, folder.name))
            if targets.setdefault(folder.name, target) != target:
                raise InputError(
                    f"{targets[folder.name].distribution_dir} and {folder} are two folders of one name; "
                    "results are kept by name, so rename one"
                )
        if not targets:
            raise InputError("--distributions is empty; expected at least one distribution")
        check_distinct(targets, "the distributions")
        return EvaluationStep(intervention, model_dir.name, model_dir, None, self.eval_kwargs, list(targets.values()))


def _check_no_upload(*given: dict[str, Any]) -> None:
    """A run trains many models; one repository can hold one."""
    if any(kwargs.get("push_to_hub") is not None for kwargs in given):
        raise InputError(
            "push_to_hub: every model of this run would be uploaded to the same repository; leave it out here, and "
            "give it to api/train.py, for the one model to publish"
        )


T = TypeVar("T")


def unique(items: Sequence[T]) -> list[T]:
    """The items without repeats, in order of first mention."""
    return list(dict.fromkeys(items))
