"""One training or evaluation as a value: its identity, its inputs and its outputs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from genies.contract import evaluation_items, train_items
from genies.declaration import SCRIPTS, Role

Kwargs = Mapping[str, Any]


@dataclass(frozen=True)
class Identity:
    """What a result is. It is stored in the result's record; folder names are never parsed."""

    role: Role
    variant: str
    """The name of the intervention or of a variant of it."""
    base_model: str
    source: str | None
    """The distribution tuned on; None for the untuned model."""
    seed: int | None
    unlabelled: str | None = None
    """The target whose unlabelled texts training reads."""

    def recorded(self) -> dict[str, Any]:
        """As it is stored; `unlabelled` only if there is one."""
        return {name: each for name, each in asdict(self).items() if name != "unlabelled" or each is not None}


@dataclass(frozen=True)
class Job:
    """One process: train.py for one source, or eval.py for one model and any number of targets."""

    identity: Identity
    intervention_dir: Path
    model_dir: Path
    """The value of --model_dir."""
    base_model_dir: Path
    """The untuned model; for a training, and for an evaluation of the untuned model, the same as `model_dir`."""
    distributions: dict[str, Path]
    """The source or the targets, by name."""
    outputs: dict[str, Path]
    """The tuned model's folder, or the evaluation file of each target, by the name of the distribution."""
    kwargs: dict[str, Any]
    needs: str | None = None
    """The key of the training that makes the model; None if no job of the plan makes it."""
    tunes: bool = True
    """Whether the variant tunes a model; if not, the untuned model is evaluated in place of a tuned one."""
    unlabelled: Path | None = None
    """For a training, the target whose texts it reads without labels."""
    optional: frozenset[str] = frozenset()
    """Targets that the table does not need: they are evaluated only together with others."""

    @property
    def role(self) -> Role:
        return self.identity.role

    @property
    def variant(self) -> str:
        return self.identity.variant

    @property
    def script(self) -> Path:
        return self.intervention_dir / SCRIPTS[self.role]

    @property
    def name(self) -> str:
        """The name of the model's folder and of the folder of its evaluations, such as <base model>-<source>."""
        output = next(iter(self.outputs.values()))
        return output.name if self.role == "train" else output.parent.name

    @property
    def key(self) -> str:
        """Identifies the job in its plan."""
        return f"{self.role} {self.variant}, {self.name}"

    @property
    def title(self) -> str:
        """The job's name in messages."""
        return self.titled(list(self.distributions))

    def titled(self, names: Sequence[str]) -> str:
        """The job's name in messages, for some of its distributions."""
        if self.role == "train":
            return self.key
        return f"{self.key}, on {names[0] if len(names) == 1 else f'{len(names)} distributions'}"

    def only(self, names: Collection[str]) -> Job:
        """The same job for some of its distributions and their outputs."""
        kept = {name: path for name, path in self.distributions.items() if name in names}
        return replace(self, distributions=kept, outputs={name: self.outputs[name] for name in kept})

    def with_target(self, name: str, folder: Path, file: Path) -> Job:
        """The same evaluation with one more target."""
        return replace(self, distributions={**self.distributions, name: folder}, outputs={**self.outputs, name: file})

    def staged(self, staging: Path) -> dict[str, Path]:
        """Where the script writes each output before it is checked and moved into place. Optional ones are first, so
        that a job that is killed in between does not look complete."""
        names = sorted(self.outputs, key=lambda name: name not in self.optional)
        return {name: staging if self.role == "train" else staging / self.outputs[name].name for name in names}

    def unlabelled_copy(self, staging: Path) -> Path | None:
        """Where the harness writes the target's texts without labels, beside the tuned model."""
        return None if self.unlabelled is None else staging.parent / "unlabelled" / self.unlabelled.name

    def argv(self, staging: Path, shown: Callable[[Path], str]) -> list[str]:
        """The command line; `shown` converts a path to text."""
        model, given = shown(self.model_dir), [shown(folder) for folder in self.distributions.values()]
        if self.role == "train":
            texts = self.unlabelled_copy(staging)
            items = train_items(model, given[0], shown(staging), self.kwargs, None if texts is None else shown(texts))
        else:
            staged = self.staged(staging)
            items = evaluation_items(model, given, [shown(staged[name]) for name in self.distributions], self.kwargs)
        return [sys.executable, shown(self.script), *items]
