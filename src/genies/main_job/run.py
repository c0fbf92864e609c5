"""A run of the main job: its plan, what must run, and its evaluations and failures so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from genies.cache import cache_dir
from genies.data.leaks import Leaks
from genies.evaluation_file import Evaluation
from genies.file_hashes import FileHashes
from genies.folders import normal
from genies.harness.decide import Check, absent_base_model, decide
from genies.harness.failures import Failures
from genies.harness.fingerprint import Identities
from genies.harness.inputs import check_inputs
from genies.harness.order import Result
from genies.harness.plan import Plan, Row
from genies.harness.store import Store
from genies.main_job.request import MetricsRequest
from genies.main_job.tables import Table, make_table, plan_tables, write_tables
from genies.processes.hardware import Hardware
from genies.table.rows import TableRow


@dataclass
class Run:
    """Everything that the main job knows of one request."""

    request: MetricsRequest
    root: Path
    plan: Plan
    store: Store
    hashes: FileHashes
    checks: Sequence[Check]
    tables: Sequence[Table]
    leaks: Leaks | None = None
    """None: leaked test examples are not excluded."""
    evaluations: dict[Path, Evaluation] = field(default_factory=dict)
    """The reused ones and those made so far, by their files."""
    failures: Failures = field(default_factory=Failures)
    started: int = 0
    """How many jobs started a process."""

    @classmethod
    def of(cls, request: MetricsRequest, root: Path, plan: Plan, hardware: Hardware, with_tables: bool = True) -> Run:
        """The run before any job runs; only reads files. InputError for missing inputs and for impossible tables."""
        store, hashes = request.store(root), FileHashes(cache_dir(root) / "file_hashes.json")
        checks = decide(plan.jobs, request.policy(), Identities(hashes, root, hardware))
        check_inputs(checks, store, request.named_by, "base_model_dir", request.argument_of)
        tables = plan_tables(plan, normal(request.output_path)) if with_tables else []
        run = cls(request, root, plan, store, hashes, checks, tables)
        for check in checks:
            for name, output in check.outputs.items():
                if output.evaluation is not None and not output.run:
                    run.evaluations[check.job.outputs[name]] = output.evaluation
        return run

    def exclude_leaked(self) -> None:
        """Find the test examples that leak in the shifts, if the request excludes them; InputError without the data."""
        if not self.request.exclude_leaked:
            return
        folders = self.plan.distribution_folders()
        self.leaks = Leaks(lambda name: folders[name])
        for shift in dict.fromkeys(row.shift for row in self.plan.rows if row.shift.source):
            self.leaks.leaked(shift.source, shift.target)
            self.leaks.leaked(shift.source, shift.source)
            self.leaks.leaked(shift.target_reference, shift.target_reference)

    def add(self, result: Result) -> bool:
        """Add the result of a job; returns whether it failed for a new reason."""
        self.started += result.started
        self.evaluations |= result.done
        return result.failure is not None and self.failures.add(result)

    @property
    def unverified(self) -> list[str]:
        """The files of reused evaluations that are not known to be made from the inputs of the request."""
        checks = [check for check in self.checks if check.job.role == "evaluate"]
        return sorted(
            str(check.job.outputs[name])
            for check in checks
            for name, output in check.outputs.items()
            if output.standing.unverified and not output.run
        )

    @property
    def absent_base_models(self) -> Counter[Path]:
        """How many unverified evaluations could not be compared with a base model, by its missing folder."""
        outputs = ((check, output) for check in self.checks for output in check.outputs.values() if not output.run)
        return Counter(check.job.base_model_dir for check, output in outputs if absent_base_model(check, output))

    def table(self, rows: Sequence[Row] | None = None) -> list[TableRow]:
        """The table of these rows of the plan, of all by default, with the evaluations so far."""
        return make_table(self.plan.rows if rows is None else rows, self.plan, self.evaluations, self.leaks)

    def write_tables(self, done: Collection[Path] | None = None) -> None:
        """Write the tables; with `done`, only those with rows from one of these evaluation files."""
        write_tables(self.tables, self.plan, self.evaluations, done, self.leaks)
