"""A study: base models, variants of interventions and seeds, from a study file or from the command line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from genies.command_line import read_yaml
from genies.contract import check_kwargs
from genies.declaration import faults_of, read_declaration
from genies.errors import InputError
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

    def unknown(self, seeded: bool = False) -> Iterator[tuple[str, str]]:
        """(argument of the request, name) of each argument that is not among those the script declares."""
        declared = read_declaration(self.dir)
        seed = {"seed": 0} if seeded else {}
        for what, script, given in (
            ("train_kwargs", "train.py", self.train_kwargs if self.tunes else {}),
            ("eval_kwargs", "eval.py", self.eval_kwargs),
        ):
            known = declared.arguments(script)
            if known is not None:
                yield from ((what, name) for name in {**given, **(seed if self.tunes else {})} if name not in known)

    def fault(self, seeded: bool) -> str | None:
        """What is wrong with its arguments; None if no fault is known."""
        for what, kwargs in (("train_kwargs", self.train_kwargs), ("eval_kwargs", self.eval_kwargs)):
            if seeded and "seed" in kwargs:
                return f"{what} of {self.name} contain a seed, and the study has seeds too; use one of them"
        for what, name in self.unknown(seeded):
            script = "train.py" if what == "train_kwargs" else "eval.py"
            known = ", ".join(sorted(read_declaration(self.dir).arguments(script) or ())) or "none"
            argument = f"--{what}" if name != "seed" else "--seeds"
            return f"{argument}: {script} of {self.name} has no argument {name!r}; it has: {known}"
        return None

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


class VariantEntry(BaseModel):
    """A variant in a study file."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, defer_build=True)

    dir: Path
    """Folder of the intervention, or its name below src/interventions."""
    name: str = ""
    """Name under which its models and evaluations are stored (default: the folder's name)."""
    train_kwargs: Annotated[dict[str, Any], Field(default_factory=dict)]
    eval_kwargs: Annotated[dict[str, Any], Field(default_factory=dict)]

    @classmethod
    def named(cls, folder: str) -> VariantEntry:
        return cls.model_validate({"dir": folder})


class StudyFile(BaseModel):
    """The content of a study file."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, defer_build=True)

    base_models: Annotated[list[Path], Field(min_length=1)]
    """Folders of untuned base models."""
    variants: Annotated[list[VariantEntry], Field(min_length=1)]
    """The variants to compare; an entry is an object or just the folder of an intervention."""
    shifts: Path | list[Any]
    """A file of shifts, or a list of entries in the same format."""
    seeds: Annotated[list[Annotated[int, Field(ge=0, lt=2**32)]], Field(min_length=1)] | None = None
    baseline: VariantEntry = Field(default_factory=lambda: VariantEntry.named("src/interventions/zero_shot"))
    """Evaluated on the untuned model."""
    reference: VariantEntry = Field(default_factory=lambda: VariantEntry.named("src/interventions/lora_fine_tune"))
    """Tuned and tested on target_reference: an intervention, the name of a variant, or `best`."""
    seed_reference: bool = False
    """Also train the reference with each seed."""


def read_study_file(path: Path) -> StudyFile:
    """The study in a YAML file; InputError names the file and the invalid fields."""
    value = read_yaml(path, "--study", "base_models, variants and shifts")
    entries = value.get("variants")
    if isinstance(entries, list):
        value["variants"] = [_entry(each) for each in entries]
    for name in ("baseline", "reference"):
        if name in value:
            value[name] = _entry(value[name])
    try:
        return StudyFile.model_validate(value)
    except ValidationError as error:
        raise InputError(f"--study {path}: {faults_of(error, StudyFile)}") from None


def _entry(value: object) -> object:
    return {"dir": value} if isinstance(value, str) else value


def variant(name: str, folder: Path, train_kwargs: Kwargs, eval_kwargs: Kwargs, where: Mapping[str, str]) -> Variant:
    """A variant with a valid name and valid arguments; `where` names the arguments of the request in messages."""
    check_name(name, f"--{where['name']}", "a variant")
    if name == BEST:
        raise InputError(f"--{where['name']}: a variant cannot be named {BEST!r}, which means the best variant")
    check_kwargs(where["train_kwargs"], train_kwargs)
    check_kwargs(where["eval_kwargs"], eval_kwargs)
    return Variant(name, folder, train_kwargs, eval_kwargs, read_declaration(folder).tunes)
