"""What the jobs that will run are given, looked at before the first of them starts."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from pathlib import Path

from genies.data.distribution import Distribution, SplitName
from genies.data.shifts import resolve
from genies.errors import InputError
from genies.harness.decide import Check
from genies.harness.locks import check_lock_folder
from genies.harness.store import Store


def check_inputs(
    checks: Sequence[Check],
    store: Store,
    named_by: Callable[[str], str] = lambda _: "",
    model_argument: str = "model_dir",
    argument_of: Callable[[str], str] = lambda _: "intervention_dir",
) -> None:
    """Raise InputError for what a job that will run lacks: a script, a model that no job makes, a sound distribution.

    named_by: where the request names a distribution, for messages. model_argument: the argument that names the models
    which no job makes. argument_of: the argument that names a variant. What is reused may lack its model.
    """
    running = [check.job.only(check.wanted) for check in checks if check.run]
    for script, variant in sorted({(job.script, job.variant) for job in running}):
        check_script(script, store, argument_of(variant))
    for folder in sorted({job.model_dir for job in running if job.needs is None}):
        check_model(folder, store, model_argument)
    splits: set[tuple[Path, SplitName]] = {
        (folder, "train" if job.role == "train" else "test") for job in running for folder in job.distributions.values()
    }
    for folder, split in sorted(splits):
        if not folder.is_dir():
            resolve(folder.name, folder.parent, named_by(folder.name))  # says which names are near
        Distribution(folder).split(split)


def check_locks(checks: Sequence[Check], store: Store) -> None:
    """InputError, before anything runs, when the jobs that will run could not take their locks."""
    needed = {file.parent for check in checks if check.run for file in store.lock_files(check.job)}
    for folder, argument in ((store.models_dir, "models_dir"), (store.results_dir, "results_dir")):
        if folder / ".locks" in needed:
            check_lock_folder(folder, argument)


def check_model(folder: Path, store: Store, argument: str) -> None:
    """InputError unless a model's folder is there; it offers the same name in models/, else the nearest ones."""
    if folder.is_dir():
        return
    meant = store.models_dir / folder.name
    if meant.is_dir():
        hint = f"did you mean {store.shown(meant)}?"
    else:
        beside = {path for parent in (folder.parent, store.models_dir) for path in parent.glob("[!.]*/")}
        near = difflib.get_close_matches(folder.name, {path.name for path in beside})
        found = ", ".join(store.shown(path) for name in near for path in sorted(beside) if path.name == name)
        hint = f"nearest names: {found}" if found else "check the spelling, or fetch a base model"
    raise InputError(
        f"--{argument}: model folder {store.shown(folder)} does not exist; {hint} "
        "(download_model_from_hf.py fetches base models, api/train.py makes tuned ones)"
    )


def check_script(script: Path, store: Store, argument: str = "intervention_dir") -> None:
    """InputError unless the intervention's folder and the script in it are there; it offers the nearest names."""
    folder = script.parent
    if not folder.is_dir():
        own = store.root / "src" / "interventions"
        known = {path.parent.name: path.parent for place in (own, folder.parent) for path in place.glob("*/eval.py")}
        near = difflib.get_close_matches(folder.name, known)
        found = ", ".join(store.shown(known[name]) for name in near or sorted(known))
        hint = f"; {'nearest names' if near else 'there are'}: {found}" if found else ""
        raise InputError(f"--{argument}: intervention folder {store.shown(folder)} does not exist{hint}")
    if not script.is_file():
        raise InputError(
            f"--{argument}: intervention {store.shown(folder)} has no {script.name}; "
            "an intervention is a folder with train.py and eval.py"
        )
