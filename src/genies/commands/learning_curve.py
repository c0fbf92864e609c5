"""Evaluate the models after single steps of a training, and draw accuracy against steps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from genies import markdown
from genies.commands.evaluate import identity_of_model, named_targets
from genies.commands.single import exit_status, identities_of_machine, own_variant, run_single
from genies.errors import InputError
from genies.evaluation_file import Evaluation, read_evaluation
from genies.folders import named_folder
from genies.harness.decide import Policy, check_evaluation
from genies.harness.fingerprint import Identities
from genies.harness.job import Job
from genies.harness.places import Kwargs, Places
from genies.harness.plan import evaluation_job
from genies.harness.store import Store, identity_in, training_record
from genies.harness.study import Variant
from genies.kept_steps import kept_steps


class CurveRequest(Places):
    """Evaluate the models that a training kept after single steps, and draw accuracy against steps.

    Example:
      python api/train.py --model_dir models/SmolLM2-135M-Instruct --train_distribution starter_everyday
        --intervention_dir src/interventions/lora_fine_tune
        --train_kwargs '{"num_train_steps": 24, "keep_steps": [3, 6, 12]}'
      python api/learning_curve.py --intervention_dir src/interventions/lora_fine_tune
        --model_dirs '["models/lora_fine_tune/SmolLM2-135M-Instruct-starter_everyday"]'
        --distributions '["starter_everyday", "starter_wrong_on_request"]'

    Evaluations are kept below the output folder: after a stop, run the same command again.
    """

    aliases: ClassVar[dict[str, str]] = {"use_cached": "use_cached_evaluations"}

    model_dirs: list[Path]
    """Folders of tuned models with kept steps (--keep_steps): one, or one for each seed, whose mean is drawn."""
    intervention_dir: Path
    """Folder of the intervention, whose eval.py is run."""
    distributions: list[str]
    """Folders or names of distributions, such as the source and its targets."""
    eval_kwargs: Kwargs
    """Arguments for eval.py, as '{"max_examples": 60}'."""
    output_dir: Path = Path("learning_curve")
    """Folder of the curve: learning_curve.csv, .json, .svg and .png."""
    use_cached_evaluations: bool = True
    """Reuse evaluations made from the same model, data, arguments and code."""


@dataclass(frozen=True)
class _Model:
    """A tuned model with its models after single steps."""

    folder: Path
    steps: dict[int, Path]
    """The last one is `folder` itself."""
    pairs: dict[int, int]


def main(request: CurveRequest, root: Path) -> int:
    """Evaluate the kept steps of some models, write the curve, and return the exit status."""
    # Imported here: --help must not wait for the statistics.
    from genies.learning_curve.picture import write_picture
    from genies.learning_curve.points import LearningCurve, Point, point, write_points

    models = _models(request)
    made = own_variant(request.intervention_dir, root, eval_kwargs=request.eval_kwargs)
    targets = named_targets(request.distributions, request, root)
    store = Store(root, request.store(root).models_dir, request.output_dir.resolve())
    found: dict[tuple[int, str], list[Evaluation]] = {}
    identities = identities_of_machine(root)
    for step, job in _jobs(models, made, targets, store):
        status = _evaluate(job, request, store, root, identities)
        if status:
            return status
        for target, path in job.outputs.items():
            found.setdefault((step, target), []).append(read_evaluation(path)[0])
    trained = identity_in(training_record(models[0].folder) or {})
    points: list[Point] = [
        point(step, models[0].pairs.get(step), target, found[step, target])
        for target in targets
        for step in models[0].steps
    ]
    curve = LearningCurve(
        intervention=made.name if trained is None else trained.variant,
        base_model=models[0].folder.name if trained is None else trained.base_model,
        source=None if trained is None else trained.source,
        models=[each.folder.name for each in models],
        points=points,
    )
    write_points(curve, store.results_dir)
    write_picture(curve, store.results_dir)
    steps = list(models[0].steps)
    rows = [
        [markdown.escaped(target), *(f"{each.accuracy:.3f}" for each in points if each.distribution == target)]
        for target in targets
    ]
    print("\n".join(markdown.table(["accuracy after step", *map(str, steps)], rows, numbers=range(1, len(steps) + 1))))
    print(f"curve: {request.output_dir / 'learning_curve.svg'}")
    return 0


def _models(request: CurveRequest) -> list[_Model]:
    from genies.learning_curve.points import pairs_by_step

    if not request.model_dirs:
        raise InputError("--model_dirs is empty; expected the folder of at least one tuned model")
    found: list[_Model] = []
    for given in request.model_dirs:
        folder = named_folder(given, "model_dirs")
        steps = kept_steps(folder)
        if not steps:
            raise InputError(
                f"--model_dirs {folder}: expected step-<N> folders in it, found none; train it with "
                "--train_kwargs '{\"keep_steps\": [..]}'"
            )
        pairs = pairs_by_step(folder)
        last = max(pairs, default=0)
        if last <= max(steps):
            raise InputError(
                f"--model_dirs {folder}: its training_log.jsonl does not say after how many steps training ended; "
                "train it again"
            )
        found.append(_Model(folder, {**steps, last: folder}, pairs))
    first = found[0]
    for other in found[1:]:
        if other.steps.keys() != first.steps.keys():
            raise InputError(
                f"--model_dirs: {first.folder} has the steps {list(first.steps)}, and {other.folder} has "
                f"{list(other.steps)}; a mean needs the same steps"
            )
        if _tuned_on(other.folder) != _tuned_on(first.folder):
            raise InputError(
                f"--model_dirs: {first.folder} and {other.folder} are not one training with two seeds: base model, "
                "source or intervention differ"
            )
    names = [each.folder.name for each in found]
    if len(set(names)) < len(names):
        raise InputError(f"--model_dirs: two folders are called {max(names, key=names.count)}; rename one of them")
    return found


def _tuned_on(model_dir: Path) -> tuple[str, str, str | None] | None:
    """What a model's training record says about it, without the seed."""
    identity = identity_in(training_record(model_dir) or {})
    return None if identity is None else (identity.variant, identity.base_model, identity.source)


def _jobs(models: list[_Model], made: Variant, targets: dict[str, Path], store: Store) -> Iterator[tuple[int, Job]]:
    """The evaluation of each kept step of each model."""
    for model in models:
        for step, folder in model.steps.items():
            name = f"{model.folder.name}-step{step}"
            job = evaluation_job(made, folder, None, folder)
            identity = identity_of_model(job.identity, model.folder)
            job = replace(job, identity=replace(identity, base_model=name, source=None, seed=None))
            for target, path in targets.items():
                job = job.with_target(target, path, store.evaluation_file(made.name, name, target))
            yield step, job


def _evaluate(job: Job, request: CurveRequest, store: Store, root: Path, identities: Identities) -> int:
    (check,) = check_evaluation(job, None, Policy(use_cached_evaluations=request.use_cached_evaluations), identities)
    result = run_single(check, request, root, identities.hashes, not request.use_cached_evaluations, store)
    return exit_status(result)
