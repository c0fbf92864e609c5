"""Run an intervention's scripts on generated inputs, two at a time, and record what they change."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from genies.contract import evaluation_items, train_items
from genies.data.unlabelled import write_unlabelled
from genies.declaration import read_declaration
from genies.harness.checking.made_project import Copy, MadeProject, Role, make_project
from genies.harness.checking.snapshot import Snapshot, at_work, differences, outline, tree
from genies.processes.process import Outcome, last_lines, run_process, step_environment

_AT_ONCE = 2
_LOG_LINES = 6
NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Ran:
    """A script's run."""

    script: str
    outcome: Outcome
    log: Path
    output_dir: Path
    outputs: dict[Role, Path] = field(default_factory=dict)
    """For an evaluation, the output path of each distribution."""
    model_dir: str = ""
    """For an evaluation, the value of --model_dir."""

    @property
    def succeeded(self) -> bool:
        return self.outcome.succeeded and self.output_dir.is_dir()

    def describe(self) -> str:
        """How it ended, with the last lines of its log."""
        if self.outcome.succeeded and not self.output_dir.is_dir():
            return f"{self.script} exited with status 0, but deleted the folder of --output_dir"
        said = "".join(f"\n| {line[:200]}" for line in last_lines(self.log, _LOG_LINES))
        return f"{self.script} {self.outcome.describe()}{said}"


class Runs:
    """The runs of one check: their order, their logs, and what they changed outside of their outputs."""

    def __init__(
        self,
        intervention_dir: Path,
        root: Path,
        folder: Path,
        base_model_dir: Path | None,
        timeout: float,
        train_kwargs: Mapping[str, Any],
        eval_kwargs: Mapping[str, Any],
    ) -> None:
        """`root` is the project root, the working directory of the scripts; `folder` is empty."""
        self.intervention_dir, self.root = intervention_dir, root
        self.base_model_dir, self.timeout = base_model_dir, timeout
        self.train_kwargs, self.eval_kwargs = train_kwargs, eval_kwargs
        self.project: MadeProject = make_project(folder, base_model_dir)
        self.strays: list[str] = []
        """Changes outside of the outputs, with the runs that made them."""
        self._cancel_read, self._cancel_write = os.pipe()

    def close(self) -> None:
        """Close the descriptors; the folders are kept."""
        for descriptor in (self._cancel_read, self._cancel_write):
            if descriptor >= 0:
                os.close(descriptor)

    def train(self, *orders: tuple[Copy, Role]) -> list[Ran]:
        """A training run on a source for each order."""
        return self._round([partial(self._train, copy, role) for copy, role in orders], "training")

    def evaluate(self, *orders: tuple[Copy, Path, Sequence[Role]]) -> list[Ran]:
        """An evaluation run, of a tuned model on distributions, for each order."""
        return self._round([partial(self._evaluate, *order) for order in orders], "evaluation")

    def train_and_evaluate(
        self, training: tuple[Copy, Role], evaluation: tuple[Copy, Path, Sequence[Role]], more: Mapping[str, Any]
    ) -> list[Ran]:
        """A training run and an evaluation run of another model, both with `more` after their kwargs."""
        orders = [partial(self._train, *training, more=more), partial(self._evaluate, *evaluation, more=more)]
        return self._round(orders, f"a run with {', '.join(f'--{name}' for name in more)}")

    def _train(self, copy: Copy, role: Role, number: int, more: Mapping[str, Any] = NOTHING) -> Ran:
        output = self._new_output(copy, f"model-{number}")
        items = train_items(
            self._shown(copy, copy.base_model),
            self._shown(copy, copy.distributions[role]),
            self._shown(copy, output),
            {**self.train_kwargs, **more},
            self._unlabelled(copy, number),
        )
        return self._run("train.py", items, number, output, {})

    def _evaluate(
        self, copy: Copy, model: Path, roles: Sequence[Role], number: int, more: Mapping[str, Any] = NOTHING
    ) -> Ran:
        output = self._new_output(copy, f"evaluations-{number}")
        outputs = {role: output / f"{copy.distributions[role].name}.json" for role in roles}
        items = evaluation_items(
            self._shown(copy, model),
            [self._shown(copy, copy.distributions[role]) for role in roles],
            [self._shown(copy, path) for path in outputs.values()],
            {**self.eval_kwargs, **more},
        )
        return replace(self._run("eval.py", items, number, output, outputs), model_dir=self._shown(copy, model))

    def _unlabelled(self, copy: Copy, number: int) -> str | None:
        """A target's texts without labels, for an intervention that reads them."""
        if not read_declaration(self.intervention_dir).unlabelled:
            return None
        folder = self.project.scratch / f"unlabelled-{number}" / copy.distributions["target"].name
        write_unlabelled(copy.distributions["target"], folder)
        return self._shown(copy, folder)

    def _new_output(self, copy: Copy, name: str) -> Path:
        output = copy.outputs / name
        output.mkdir()
        return output

    def _shown(self, copy: Copy, path: Path) -> str:
        """Absolute in the plain copy, relative to the project root in the other, because the harness passes both."""
        return os.path.relpath(path, self.root) if copy is self.project.awkward else str(path)

    def _run(self, script: str, items: list[str], number: int, output: Path, outputs: dict[Role, Path]) -> Ran:
        log = self.project.logs / f"{number}-{script.removesuffix('.py')}.log"
        path = self.intervention_dir / script
        shown = str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)
        outcome = run_process(
            [sys.executable, shown, *items],
            working_dir=self.root,
            environment=self._environment(number),
            log_file=log,
            timeout=self.timeout,
            verbose=False,
            cancel_fd=self._cancel_read,
        )
        return Ran(script, outcome, log, output, outputs)

    def _environment(self, number: int) -> dict[str, str]:
        """As for a job of the main job, but with its own temporary folder, and with a hash seed that differs between
        runs, so that results that depend on the order of a set differ."""
        usual = step_environment(threads=max(1, (os.cpu_count() or 1) // _AT_ONCE))
        return {**usual, "PYTHONHASHSEED": str(number), "TMPDIR": str(self.project.scratch)}

    def _round(self, runs: Sequence[Callable[[int], Ran]], stage: str) -> list[Ran]:
        """Do the runs, two at a time; then record what they changed, and restore the generated inputs."""
        first = len(list(self.project.logs.iterdir())) + 1
        before, others = self._snapshot(), at_work(self.root)
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            try:
                futures = [threads.submit(run, first + place) for place, run in enumerate(runs)]
                done = [future.result() for future in futures]
            except BaseException:
                os.close(self._cancel_write)  # the reading end becomes readable, which ends the scripts
                self._cancel_write = -1
                threads.shutdown(wait=True, cancel_futures=True)
                raise
        others |= at_work(self.root)
        changed = differences(before, self._snapshot({ran.output_dir for ran in done}), without=others)
        if changed:
            self.strays += [f"in {stage}, {line}" for line in changed]
            make_project(self.project.folder, self.base_model_dir)
        return done

    def _snapshot(self, outputs: Collection[Path] = ()) -> Snapshot:
        """All files that no script may change, including the outputs of earlier runs."""
        without = {self.project.logs, self.project.scratch, *outputs}
        return {**outline(self.root), **tree(self.intervention_dir), **tree(self.project.folder, without)}
