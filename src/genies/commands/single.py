"""Run a single job as the main job runs it."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from genies.cache import cache_dir
from genies.errors import BAD_INPUT, InputError, termination_as_interrupt
from genies.file_hashes import FileHashes
from genies.folders import intervention_folder
from genies.harness.decide import Check
from genies.harness.execute import carry_out
from genies.harness.fingerprint import Identities
from genies.harness.inputs import check_inputs, check_locks
from genies.harness.job import Kwargs
from genies.harness.order import Order, Place, Result
from genies.harness.places import Places
from genies.harness.store import Store
from genies.harness.study import Variant, variant
from genies.processes.hardware import all_hidden, this_machine


def own_variant(
    folder: Path, root: Path, train_kwargs: Kwargs = MappingProxyType({}), eval_kwargs: Kwargs = MappingProxyType({})
) -> Variant:
    """The intervention in a folder, under the folder's name; InputError for arguments that it does not have."""
    folder = intervention_folder(folder, root, "intervention_dir")
    names = {"name": "intervention_dir", "train_kwargs": "train_kwargs", "eval_kwargs": "eval_kwargs"}
    made = variant(folder.name, folder, train_kwargs, eval_kwargs, names)
    fault = made.fault(seeded=False)
    if fault is not None:
        raise InputError(fault)
    return made


def identities_of_machine(root: Path) -> Identities:
    hashes = FileHashes(cache_dir(root) / "file_hashes.json")
    return Identities(hashes, root, this_machine(hidden=all_hidden(os.environ)))


def run_single(
    check: Check, request: Places, root: Path, hashes: FileHashes, fresh: bool, store: Store | None = None
) -> Result:
    """Run the job if it has to run. store: where results are kept, if not where the request says."""
    store = store or request.store(root)
    check_inputs([check], store)
    if not check.run:
        return Result(check.job.title)
    check_locks([check], store)
    try:
        with termination_as_interrupt():
            settings = replace(request.settings(root), store=store, fresh=fresh)
            return carry_out(Order(check.reduced(), settings), Place(hashes))
    finally:
        hashes.save()


def exit_status(result: Result) -> int:
    if result.failure is None:
        return 0
    print(f"error: {result.failure}", file=sys.stderr)
    return BAD_INPUT if result.bad_input else 1
