"""The arguments of the main job: one typed model defines the command line, the YAML file and the help text."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from genies.data.shifts import (
    Shift,
    first_mention,
    folders,
    folders_in,
    folders_of,
    read_shifts,
    shifts_from_dirs,
    shifts_of,
)
from genies.errors import InputError
from genies.folders import intervention_folder, normal
from genies.harness.decide import Policy
from genies.harness.order import Settings
from genies.harness.places import Kwargs, Places
from genies.harness.plan import Plan, make_plan
from genies.harness.study import BEST, Study, Variant, check_no_upload, distinct_models, variant
from genies.main_job.study_file import StudyFile, read_study_file, study_of_file


class MetricsRequest(Places):
    """Measure how an intervention generalizes: train and evaluate what the table needs, and write the table.

    Example:
      python api/compute_generalization_metrics.py --base_model_dir models/SmolLM2-135M-Instruct
        --intervention_dir src/interventions/mms --path_to_distribution_shift_pairs distribution_shifts/GENIES.json
        --output_path results/generalization_metrics/SmolLM2-135M-Instruct/mms/GENIES.csv

    Give the shifts as a file, or as --source_dirs and --target_dirs, which are paired item by item. Results that were
    computed from the same model, data, arguments and code are reused: to continue after a stop, run the same command.
    """

    aliases: ClassVar[dict[str, str]] = {"reference": "target_tuned_capability_intervention"}

    output_path: Path
    """The CSV file to write. It is updated as jobs end, so that a stopped run leaves a correct partial table.
    With several models or interventions, the path contains {model} and {intervention}; the combined table,
    combined-<file name>, is written to the deepest folder without placeholders. Reports and combined tables read the
    tables below <results_dir>/generalization_metrics."""
    base_model_dir: Annotated[list[Path], Field(default_factory=list)]
    """Folder of the untuned base model, or several, as '["models/a", "models/b"]'."""
    intervention_dir: Annotated[list[Path], Field(default_factory=list)]
    """Folder of the intervention, which contains train.py and eval.py, or several."""
    variant_name: str | None = None
    """Store models, evaluations and tables of the intervention under this name instead of its folder's, so that runs
    with other arguments do not replace them. With several interventions, use --study."""
    study: Path | None = None
    """A YAML file with base models, variants, seeds and shifts, in place of their arguments. A study can compare
    several variants of one intervention, each with its own arguments (docs/studies.md)."""
    seeds: list[Annotated[int, Field(ge=0, lt=2**32)]] | None = None
    """Train and evaluate with each of these seeds, as '[0, 1, 2]'; one row each (default: no --seed is passed)."""
    seed_target_tuned: bool = False
    """Also train the reference intervention with each of --seeds (default: once, with its own default seed)."""
    path_to_distribution_shift_pairs: Path | None = None
    """A JSON file of shifts, such as distribution_shifts/GENIES.json."""
    source_dirs: list[str] | None = None
    """Sources, as folders or names: '["math", "distributions/code"]'."""
    target_dirs: list[str] | None = None
    """Targets, one for each source; without --source_dirs, for interventions that tune nothing."""
    target_tuned_capability_intervention: Path = Path("src/interventions/lora_fine_tune")
    """The reference intervention, tuned and tested on target_reference: its accuracy is the target-tuned capability.
    `best` takes the most accurate of --intervention_dir on each target_reference; the table names it."""
    baseline_intervention: Path = Path("src/interventions/zero_shot")
    """The intervention whose eval.py evaluates the untuned base model."""
    train_kwargs: Kwargs
    """Arguments for every train.py, as '{"seed": 1, "max_examples": 60}'; the reference gets those that it accepts."""
    eval_kwargs: Kwargs
    """Arguments for every eval.py; the baseline and the reference get those that they accept."""
    target_tuned_train_kwargs: dict[str, Any] | None = None
    """Arguments for the reference's train.py instead of --train_kwargs."""
    retrain_models: bool = False
    """Train all models again, and evaluate them again."""
    use_cached_evaluations: bool = True
    """Reuse evaluations made from the same model, data, arguments and code."""
    exclude_leaked: bool = False
    """Exclude test examples whose prompt is also in the train split of the distribution tuned on; the table gets a
    column leaked_pairs. Evaluation files keep all examples, so nothing is computed again."""
    launcher: Literal["local", "ray"] = "local"
    """Where jobs run: as processes of this machine, or as tasks of a Ray cluster (pip install -e .[ray])."""
    preload: bool = True
    """Import the libraries once and fork the jobs of this machine's interventions from that process, where the system
    allows it (Linux)."""
    slots: Annotated[int, Field(ge=1, le=1024)] = 1
    """How many jobs run at once on this machine; they share its cores. With --gpus their number determines it."""
    gpus: list[str] = Field(default_factory=list)
    """GPUs to use, as '[0, 1]' or 0,1. Each runs one job at a time; with --processes_per_step N, each N together run
    one. Numbers are positions in CUDA_VISIBLE_DEVICES where it is set; identifiers (GPU-..., MIG-...) are used as they
    are."""
    ray_address: str | None = None
    """HOST:PORT of a running Ray cluster (default: one is started on this machine and stopped after the run)."""
    cpus_per_step: Annotated[int, Field(ge=1)] = 1
    """Processors that Ray reserves for a job."""
    gpus_per_step: Annotated[float, Field(ge=0)] = 0
    """GPUs that Ray reserves for a job: a whole number, or a fraction such as 0.5; with 0 a job sees none."""
    retry_failed: bool = False
    """Run jobs again that failed in an earlier run with the same inputs."""
    emit_commands: Path | None = None
    """Instead of running the jobs, write a line of JSON for each to this file: its id, the ids it needs, its argv."""
    report_dir: Path | None = None
    """After the run, write the HTML report of the results folder to this folder."""
    watch: bool = False
    """With --report_dir: rewrite the report also while the run goes on; its pages show the progress."""
    dry_run: bool = False
    """Print the plan, which jobs would run and why; write nothing."""

    @field_validator("gpus", mode="before")
    @classmethod
    def _gpus_as_text(cls, value: Any) -> list[str]:
        """0,1 and [0, 1] and ["0", "1"] mean the same."""
        items = value if isinstance(value, list) else [value]
        return [part.strip() for item in items for part in str(item).split(",") if part.strip()]

    @model_validator(mode="after")
    def _study_given_one_way(self) -> MetricsRequest:
        if self.study is not None:
            given = [name for name in _OF_A_STUDY if name in self.model_fields_set]
            if given:
                raise ValueError(f"--{given[0]} cannot be given with --study {self.study}; set it in the study file")
            return self
        for name in ("base_model_dir", "intervention_dir"):
            if not getattr(self, name):
                raise ValueError(f"--{name} is required, or --study FILE")
        if self.variant_name is not None and len(self.intervention_dir) > 1:
            raise ValueError("--variant_name needs a single --intervention_dir; name several variants in --study FILE")
        return self

    @model_validator(mode="after")
    def _shifts_given_one_way(self) -> MetricsRequest:
        if self.study is not None:
            return self
        by_dirs = self.source_dirs is not None or self.target_dirs is not None
        if by_dirs == (self.path_to_distribution_shift_pairs is not None):
            raise ValueError(
                "give the shifts one way: --path_to_distribution_shift_pairs FILE, or --source_dirs and --target_dirs"
            )
        if by_dirs and self.target_dirs is None:
            raise ValueError("--source_dirs needs --target_dirs; they are paired item by item")
        return self

    @model_validator(mode="after")
    def _arguments_of_the_launcher(self) -> MetricsRequest:
        of = {"local": ["slots", "gpus", "preload"], "ray": ["ray_address", "cpus_per_step", "gpus_per_step"]}
        for launcher, names in of.items():
            given = [name for name in names if name in self.model_fields_set]
            if launcher != self.launcher and given:
                raise ValueError(
                    f"--{given[0]} is an argument of --launcher {launcher}; "
                    f"--launcher {self.launcher} takes --{', --'.join(of[self.launcher])}"
                )
        if self.gpus_per_step > 1 and self.gpus_per_step % 1:
            raise ValueError(f"--gpus_per_step: expected a whole number or a fraction of 1, got {self.gpus_per_step}")
        if 0 < self.gpus_per_step < self.processes_per_step > 1:
            raise ValueError(
                f"--gpus_per_step {self.gpus_per_step:g}: a training has {self.processes_per_step} processes "
                f"(--processes_per_step) with a GPU each; expected at least {self.processes_per_step}"
            )
        if len(self.gpus) % self.processes_per_step:
            raise ValueError(
                f"--gpus lists {len(self.gpus)} GPUs, and a training needs {self.processes_per_step} "
                "(--processes_per_step); list a multiple of that number"
            )
        return self

    @property
    def jobs_at_once(self) -> int:
        """How many jobs run at once on this machine."""
        return len(self.gpus) // self.processes_per_step or self.slots

    def _check_seeds(self) -> None:
        given = {"train_kwargs": self.train_kwargs, "eval_kwargs": self.eval_kwargs}
        given["target_tuned_train_kwargs"] = self.target_tuned_train_kwargs or {}
        for name, kwargs in given.items():
            if "seed" in kwargs:
                raise InputError(f"--{name} contains a seed, and --seeds is given too; use one of them")
        if not self.seeds:
            raise InputError("--seeds is empty; expected at least one seed, or leave it out")

    @cached_property
    def study_file(self) -> StudyFile | None:
        return None if self.study is None else read_study_file(self.study)

    @cached_property
    def shifts(self) -> list[Shift]:
        if self.study_file is not None:
            given = self.study_file.shifts
            return read_shifts(given) if isinstance(given, Path) else shifts_of(given, f"--study {self.study}, shifts")
        if self.path_to_distribution_shift_pairs is not None:
            return read_shifts(self.path_to_distribution_shift_pairs)
        return shifts_from_dirs(self.source_dirs, self.target_dirs or [])

    def _folders_by_path(self) -> list[Path]:
        """The folders of distributions that the shift file or the study file names by path."""
        if self.study is not None and self.study_file is not None:
            given = self.study_file.shifts
            return folders_in(given) if isinstance(given, Path) else folders_of(given, self.study.parent)
        file = self.path_to_distribution_shift_pairs
        return [] if file is None else folders_in(file)

    def named_by(self, distribution: str) -> str:
        """Where the request first names a distribution, for messages; empty if it does not."""
        found = first_mention(self.shifts, distribution)
        if found is None:
            return ""
        index, field = found
        if self.target_dirs is not None:
            return f"--{field}_dirs, item {index}"
        file = self.path_to_distribution_shift_pairs if self.study_file is None else self.study_file.shifts
        where = f"shift file {file}" if isinstance(file, Path) else f"--study {self.study}, shifts"
        return f"{where}, entry {index}, field {field}"

    def compared(self, root: Path) -> Study:
        """The study that the arguments or the study file describe."""
        if self.study is not None and self.study_file is not None:
            return study_of_file(self.study_file, self.study, root)
        return self._of_arguments(root)

    def _of_arguments(self, root: Path) -> Study:
        tuned = self.target_tuned_train_kwargs
        check_no_upload(self.train_kwargs, tuned or {})
        if self.seeds is not None:
            self._check_seeds()

        def made(path: Path, argument: str, train_kwargs: dict[str, Any], name: str | None = None) -> Variant:
            folder = intervention_folder(path, root, argument)
            kwargs = "target_tuned_train_kwargs" if train_kwargs is tuned else "train_kwargs"
            where = {"name": "variant_name", "train_kwargs": kwargs, "eval_kwargs": "eval_kwargs"}
            return variant(folder.name if name is None else name, folder, train_kwargs, self.eval_kwargs, where)

        variants = [
            made(each, "intervention_dir", self.train_kwargs, self.variant_name) for each in self.intervention_dir
        ]
        variants = list({each.dir: each for each in variants}.values())
        own = self.train_kwargs if tuned is None else tuned
        if self.best_reference:
            references = [replace(each, train_kwargs=own) for each in variants]
        else:
            name = "target_tuned_capability_intervention"
            references = [made(self.target_tuned_capability_intervention, name, own)]
        # The baseline and the reference get the variants' arguments as far as they accept them.
        shared = ["eval_kwargs"] if tuned is not None else ["train_kwargs", "eval_kwargs"]
        baseline = made(self.baseline_intervention, "baseline_intervention", {})
        others = [each for each in references if each not in variants or (len(references) == 1 and each.fault(False))]
        notes = [
            f"--{kind}: the {role} {each.name} has no argument {name!r} and runs without it"
            for role, given, kinds in (("baseline", [baseline], ["eval_kwargs"]), ("reference", others, shared))
            for each in given
            for kind, name in each.unknown()
            if kind in kinds
        ]
        references = [each.with_known(*shared) if each in others else each for each in references]
        return Study(
            distinct_models(self.base_model_dir, "base_model_dir"),
            variants,
            baseline.with_known("eval_kwargs"),
            references,
            [None] if self.seeds is None else list(dict.fromkeys(self.seeds)),
            self.seed_target_tuned,
            notes,
        )

    def settings(self, root: Path) -> Settings:
        fresh = self.retrain_models or not self.use_cached_evaluations
        return replace(super().settings(root), fresh=fresh)

    def argument_of(self, variant: str) -> str:
        """The argument that names a variant."""
        if self.study is not None:
            return "study"
        for name in ("baseline_intervention", "target_tuned_capability_intervention"):
            if normal(getattr(self, name)).name == variant:
                return name
        return "intervention_dir"

    @property
    def best_reference(self) -> bool:
        """Whether the reference is the best of the interventions."""
        return self.target_tuned_capability_intervention == Path(BEST)

    def policy(self) -> Policy:
        return Policy(self.retrain_models, self.use_cached_evaluations)

    def plan(self, root: Path) -> Plan:
        """The plan of this request; InputError for arguments that no job accepts."""
        study, shifts = self.compared(root), self.shifts
        given: list[str | Path] = [*(self.source_dirs or []), *(self.target_dirs or []), *self._folders_by_path()]
        by_name = folders(shifts, self.distributions_folder(root), given, self.spare_distributions)
        return make_plan(shifts, {name: normal(folder) for name, folder in by_name.items()}, study, self.store(root))


_OF_A_STUDY = (
    *(
        "base_model_dir",
        "intervention_dir",
        "variant_name",
        "seeds",
        "seed_target_tuned",
        "path_to_distribution_shift_pairs",
    ),
    *("source_dirs", "target_dirs", "target_tuned_capability_intervention", "baseline_intervention"),
    *("train_kwargs", "eval_kwargs", "target_tuned_train_kwargs"),
)
"""The arguments that a study file replaces."""
