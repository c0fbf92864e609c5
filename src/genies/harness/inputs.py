"""Checks of the inputs of all jobs before the first one starts."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from genies.data.distribution import Distribution, SplitName
from genies.data.shifts import resolve
from genies.errors import InputError
from genies.harness.decide import Check
from genies.harness.store import Store
from genies.locks import check_lock_folder
from genies.shipped import SHIPPED

_NAMED = 20


def check_inputs(
    checks: Sequence[Check],
    store: Store,
    named_by: Callable[[str], str] = lambda _: "",
    model_argument: str = "model_dir",
    argument_of: Callable[[str], str] = lambda _: "intervention_dir",
) -> None:
    """Raise InputError if a job that will run lacks its script, a model that no job makes, or a valid distribution.

    For messages: named_by returns where the request names a distribution; model_argument is the argument that names
    the models; argument_of returns the argument that names a variant. Reused results do not need their inputs.
    """
    running = [check.job.only(check.wanted) for check in checks if check.run]
    for script, variant in sorted({(job.script, job.variant) for job in running}):
        check_script(script, store, argument_of(variant))
    for folder in sorted({job.model_dir for job in running if job.needs is None}):
        check_model(folder, store, model_argument)
    splits: set[tuple[Path, SplitName]] = {
        (folder, "train" if job.role == "train" else "test") for job in running for folder in job.distributions.values()
    }
    splits |= {(job.unlabelled, "train") for job in running if job.unlabelled is not None}
    check_distributions({folder for folder, _ in splits}, named_by)
    for folder, split in sorted(splits):
        Distribution(folder).split(split)


def check_distributions(distributions: Collection[Path], named_by: Callable[[str], str]) -> None:
    """InputError for missing distributions, with names similar to the first one."""
    missing = sorted(folder for folder in distributions if not folder.is_dir())
    if not missing:
        return
    first, *others = missing
    try:
        resolve(first.name, first.parent, named_by(first.name))
    except InputError as error:
        named = ", ".join(folder.name for folder in others[:_NAMED])
        more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
        raise InputError(f"{error}; also missing: {named}{more}" if others else str(error)) from None


def check_locks(checks: Sequence[Check], store: Store) -> None:
    """InputError, before anything runs, if the jobs that will run cannot create their locks."""
    needed = {file.parent for check in checks if check.run for file in store.lock_files(check.job)}
    for folder, argument in ((store.models_dir, "models_dir"), (store.results_dir, "results_dir")):
        if folder / ".locks" in needed:
            check_lock_folder(folder, argument)


def check_model(folder: Path, store: Store, argument: str) -> None:
    """InputError if a model's folder is missing; it suggests the same name in models/, or else similar names."""
    if folder.is_dir():
        return
    meant = store.models_dir / folder.name
    if meant.is_dir():
        hint = f"did you mean {store.shown(meant)}?"
    else:
        beside = {path for parent in (folder.parent, store.models_dir) for path in parent.glob("[!.]*/")}
        near = difflib.get_close_matches(folder.name, {path.name for path in beside})
        found = ", ".join(store.shown(path) for name in near for path in sorted(beside) if path.name == name)
        hint = f"similar names: {found}" if found else "check the spelling, or download a base model"
    raise InputError(
        f"--{argument}: model folder {store.shown(folder)} does not exist; {hint} "
        "(download_model_from_hf.py downloads base models, api/train.py makes tuned models)"
    )


def check_script(script: Path, store: Store, argument: str = "intervention_dir") -> None:
    """InputError if the intervention's folder or its script is missing; it suggests similar names."""
    folder = script.parent
    if not folder.is_dir():
        own = Path("src") / "interventions"
        shipped = {path.parent.name: path.parent.name for path in (SHIPPED / own).glob("*/eval.py")}
        here = {
            path.parent.name: store.shown(path.parent)
            for place in (store.root / own, folder.parent)
            for path in place.glob("*/eval.py")
        }
        known = shipped | here
        near = difflib.get_close_matches(folder.name, known)
        found = ", ".join(known[name] for name in near or sorted(known))
        hint = f"; {'similar names' if near else 'known interventions'}: {found}" if found else ""
        raise InputError(f"--{argument}: intervention folder {store.shown(folder)} does not exist{hint}")
    if not script.is_file():
        raise InputError(
            f"--{argument}: intervention {store.shown(folder)} has no {script.name}; "
            "an intervention is a folder with train.py and eval.py"
        )
