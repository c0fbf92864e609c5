"""One attempt at a job: recover, run its script, validate the outputs, move them into place."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from genies.data.unlabelled import write_unlabelled
from genies.errors import InputError
from genies.evaluation_file import Evaluation
from genies.folder_hashes import model_content
from genies.harness.decide import Check
from genies.harness.failures import absent_model, failed, outdated, refusals
from genies.harness.fingerprint import fingerprint
from genies.harness.order import Order, Place, Result
from genies.harness.promote import (
    Origin,
    changed_since_planned,
    closed_folders,
    forget_start,
    prepare,
    promote_evaluation,
    promote_model,
    recover,
)
from genies.harness.store import Store
from genies.processes.process import Supervisor, step_environment

TOGETHER = "genies.methods.training.processes"
"""The module that starts a script in several processes; the harness only runs it, because it imports no torch."""


@dataclass(frozen=True)
class Attempt:
    """One attempt at an order, under the locks of the job."""

    order: Order
    place: Place
    locks: Sequence[int]
    """Descriptors that stay open until the job's last process has ended."""
    batch_tokens: int | None = None
    """The token budget in place of the job's own, after it ran out of memory."""

    def result(self) -> Result:
        """Recover outputs of a killed attempt, run the script, validate its outputs and move them into place."""
        order, store, hashes = self.order, self.order.settings.store, self.place.hashes
        job = order.job.only(order.check.wanted)
        if not job.model_dir.is_dir():
            text = absent_model(store.shown(job.model_dir))
            return Result(job.title, failure=f"{job.title}: {text}", bad_input=True, outdated=True)
        if changed := changed_since_planned(order.check, hashes, store.root):
            return Result(job.title, failure=f"{job.title}: {outdated(changed)}", outdated=True)
        staging = store.staging(job, fingerprint(order.check.parts))
        content = model_content(hashes, job.model_dir) if job.role == "evaluate" else None
        done = {} if order.settings.fresh else recover(order.check, staging, content, hashes, store.root)
        if left := order.check.without(done).wanted:
            check = Check(job.only(left), left)
            result = self._judged(check, staging, self._ran(check, staging, content), content)
            return replace(result, done={**evaluations(done), **result.done})
        return Result(job.title, done=evaluations(done))

    def _ran(self, check: Check, staging: Path, content: str | None) -> Origin:
        """Run the script of a job to its end; it writes below `staging`."""
        job, settings, store = check.job, self.order.settings, self.order.settings.store
        log = store.new_log(job)
        given = (
            job if self.batch_tokens is None else replace(job, kwargs={**job.kwargs, "batch_tokens": self.batch_tokens})
        )
        argv = given.argv(staging, store.shown)
        if job.role == "train" and settings.processes > 1:
            argv[1:1] = ["-m", TOGETHER, str(settings.processes)]
        origin = Origin(job.identity, argv, datetime.now(UTC).isoformat(timespec="seconds"), store.root, log)
        prepare(staging, check, content, origin)
        copy = job.unlabelled_copy(staging)
        if job.unlabelled is not None and copy is not None:
            write_unlabelled(job.unlabelled, copy)
        supervisor = Supervisor(
            argv,
            working_dir=store.root,
            environment=step_environment(settings.threads),
            log_file=log,
            timeout=settings.timeout,
            held_open=self.locks,
            read_only=closed_folders(job, store) if settings.protect else (),
            preloaded=self.place.preloaded(self.order),
        )
        with supervisor, self.place.slot() as gpu:
            started = datetime.now(UTC).isoformat(timespec="seconds")
            outcome = supervisor.run(verbose=settings.verbose, cancel_fd=self.place.cancel_fd, gpu=gpu)
        return replace(origin, started=started, outcome=outcome)

    def _judged(self, check: Check, staging: Path, ran: Origin, content: str | None) -> Result:
        """Validate the outputs of a script, move the valid ones into place, and return the job's result."""
        job, store, hashes, outcome = check.job, self.order.settings.store, self.place.hashes, ran.outcome
        result = Result(job.title, outcome.seconds, started=True)
        log = f"\n  log: {store.shown(ran.log)}"
        if changed := changed_since_planned(check, hashes, store.root):
            forget_start(staging)
            why = outdated(changed, job.script.name)
            return replace(result, failure=f"{job.title}: {why}{log}", outdated=True)
        failure: str | None = None
        if job.role == "train":
            if outcome.succeeded and not (failure := _no_folder(staging, store)):
                promote_model(check, staging, ran, hashes)
            failure = failure and f"{job.title}: {failure}"
        else:
            done, refused = dict[Path, Evaluation](), dict[Path, InputError]()
            for name, output in job.staged(staging).items():
                try:
                    done[job.outputs[name]] = promote_evaluation(check, name, output, ran, content)
                except InputError as error:
                    refused[output] = error
            forget_start(staging)
            result = replace(result, done=done)
            failure = refusals(job.title, refused) if refused else None
        if not outcome.succeeded:
            return failed(result, job, ran.outcome, ran.log, store)
        if failure is None and job.role == "evaluate":
            shutil.rmtree(staging, ignore_errors=True)
        return replace(result, failure=failure and f"{failure}{log}")


def _no_folder(staging: Path, store: Store) -> str | None:
    if staging.is_dir():
        return None
    return f"train.py did not leave the folder {store.shown(staging)}; write what eval.py needs into --output_dir"


def evaluations(found: Mapping[Path, Evaluation | None]) -> dict[Path, Evaluation]:
    """The evaluations among files that were found or recovered; a model has none."""
    return {path: evaluation for path, evaluation in found.items() if evaluation is not None}
