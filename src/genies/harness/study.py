"""A study: base models, variants of interventions and seeds."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from genies.contract import check_kwargs
from genies.declaration import read_declaration
from genies.errors import InputError
from genies.folders import named_folder
from genies.harness.job import Kwargs
from genies.names import check_distinct, check_name

BEST = "best"
"""As a reference: the variant of the study with the highest accuracy when tuned and tested on target_reference."""


@dataclass(frozen=True)
class Variant:
    """An intervention's folder with its own arguments and its own name."""

    name: str
    dir: Path
    train_kwargs: Kwargs = field(default_factory=dict)
    eval_kwargs: Kwargs = field(default_factory=dict)
    tunes: bool = True
    """Whether there is anything to train (see genies.declaration)."""
    unlabelled: bool = False
    """Whether training reads unlabelled texts of the target, so that one model is tuned for each target."""

    def unknown(self, seeded: bool = False) -> Iterator[tuple[str, str]]:
        """(argument of the request, name) of each argument that is not among those the script declares."""
        declared = read_declaration(self.dir)
        seed = {"seed": 0} if seeded else {}
        for what, script, given in self._passed():
            known = declared.arguments(script)
            if known is not None:
                yield from ((what, name) for name in {**given, **(seed if self.tunes else {})} if name not in known)

    def _passed(self) -> Iterator[tuple[str, str, Kwargs]]:
        """(argument of the request, script, kwargs) for each script."""
        yield "train_kwargs", "train.py", self.train_kwargs if self.tunes else {}
        yield "eval_kwargs", "eval.py", self.eval_kwargs

    def fault(self, seeded: bool) -> str | None:
        """What is wrong with its arguments; None if no fault is known."""
        for what, kwargs in (("train_kwargs", self.train_kwargs), ("eval_kwargs", self.eval_kwargs)):
            if seeded and "seed" in kwargs:
                return f"{what} of {self.name} contain a seed, and the study has seeds too; use one of them"
        for what, name in self.unknown(seeded):
            script = "train.py" if what == "train_kwargs" else "eval.py"
            known = sorted(read_declaration(self.dir).arguments(script) or ())
            argument = f"--{what}" if name != "seed" else "--seeds"
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}? It has" if near else "it has"
            listed = ", ".join(known) or "none"
            return f"{argument}: {script} of {self.name} has no argument {name!r}; {hint}: {listed}"
        declared = read_declaration(self.dir)
        wrong = [
            f"--{what}: {script} of {self.name}: {fault}"
            for what, script, given in self._passed()
            if (fault := declared.invalid_values(script, given)) is not None
        ]
        return "; ".join(wrong) or None

    def with_known(self, *kinds: str) -> Variant:
        """The variant without the unknown arguments in `kinds` (train_kwargs, eval_kwargs)."""
        unknown = set(self.unknown())
        known: dict[str, Any] = {
            kind: {name: value for name, value in getattr(self, kind).items() if (kind, name) not in unknown}
            for kind in kinds
        }
        return replace(self, **known)


@dataclass(frozen=True)
class Study:
    """Every base model with every variant and every seed, on the same shifts."""

    base_model_dirs: Sequence[Path]
    variants: Sequence[Variant]
    baseline: Variant
    references: Sequence[Variant]
    """With several, the most accurate one on a target_reference is the reference there."""
    seeds: Sequence[int | None] = (None,)
    reference_seeded: bool = False
    """Whether the reference is tuned with every seed instead of once."""
    notes: Sequence[str] = ()
    """Messages about arguments that a baseline or a reference does not have and runs without."""

    def checked(self) -> tuple[Study, dict[str, str]]:
        """The study without variants with invalid arguments, and the fault of each, by name.

        Of several references, those with invalid arguments are left out. Raises InputError if no variant or no
        reference is left, or if the baseline has invalid arguments.
        """
        seeded = any(seed is not None for seed in self.seeds)
        faults = {each.name: fault for each in self.variants if (fault := each.fault(seeded))}
        left = [each for each in self.variants if each.name not in faults]
        if not left:
            raise InputError("; ".join(faults.values()))
        wrong = {each.name: each.fault(seeded and self.reference_seeded) for each in self.references}
        references = [each for each in self.references if wrong[each.name] is None]
        for fault in (self.baseline.fault(False), None if references else wrong[self.references[0].name]):
            if fault is not None:
                raise InputError(fault)
        return replace(self, variants=left, references=references), faults


def check_names(base_model_dirs: Sequence[Path], variants: Sequence[Variant]) -> None:
    """InputError for two base models or two variants that would write to the same folder."""
    check_distinct([folder.name for folder in base_model_dirs], "the base models")
    check_distinct([*dict.fromkeys(each.name for each in variants)], "the variants")
    by_name: dict[str, Path] = {}
    for folder in base_model_dirs:
        if by_name.setdefault(folder.name, folder) != folder:
            raise _one_name(by_name[folder.name], folder)
    dirs: dict[str, Path] = {}
    for each in variants:
        if dirs.setdefault(each.name, each.dir) != each.dir:
            raise _one_name(dirs[each.name], each.dir)
        beside = each.dir.with_name(each.name)
        if each.name != each.dir.name and (beside / "eval.py").is_file():
            raise InputError(
                f"variant {each.name!r} of {each.dir} has the name of another intervention, {beside}, and would "
                "write to the same folders; choose another name"
            )


def _one_name(first: Path, second: Path) -> InputError:
    return InputError(
        f"{first} and {second} are two folders with the same name, and models and evaluations are stored by name; "
        "rename one of them"
    )


def variant(name: str, folder: Path, train_kwargs: Kwargs, eval_kwargs: Kwargs, where: Mapping[str, str]) -> Variant:
    """A variant with a valid name and valid arguments; `where` names the arguments of the request in messages."""
    check_name(name, f"--{where['name']}", "a variant")
    if name == BEST:
        raise InputError(f"--{where['name']}: a variant cannot be named {BEST!r}, which means the best variant")
    check_kwargs(where["train_kwargs"], train_kwargs)
    check_kwargs(where["eval_kwargs"], eval_kwargs)
    declared = read_declaration(folder)
    return Variant(name, folder, train_kwargs, eval_kwargs, declared.tunes, declared.unlabelled)


def check_no_upload(*given: Kwargs) -> None:
    """A run trains many models, but a repository contains one."""
    if any(kwargs.get("push_to_hub") is not None for kwargs in given):
        raise InputError(
            "push_to_hub: every model of this run would be uploaded to the same repository; remove it here, and "
            "give it to api/train.py for the one model to publish"
        )


def distinct_models(given: Sequence[Path], argument: str) -> list[Path]:
    """The folders of base models, each once."""
    return list(dict.fromkeys(named_folder(each, argument) for each in given))
