"""A study file: base models, variants, seeds and shifts in YAML."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from genies.errors import InputError
from genies.folders import intervention_folder
from genies.harness.study import BEST, Study, Variant, check_no_upload, distinct_models, variant
from genies.model_faults import faults_of
from genies.yaml_file import read_yaml


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


def study_of_file(file: StudyFile, path: Path, root: Path) -> Study:
    """The study in the file at `path`; InputError for invalid names and arguments."""

    def made(entry: VariantEntry, what: str) -> Variant:
        folder = intervention_folder(entry.dir, root, f"study {path}, {what}")
        check_no_upload(entry.train_kwargs)
        where = {name: f"study {path}, {what}, {name}" for name in ("name", "train_kwargs", "eval_kwargs")}
        return variant(entry.name or folder.name, folder, entry.train_kwargs, entry.eval_kwargs, where)

    variants = [made(each, f"variants.{index}") for index, each in enumerate(file.variants)]
    twice = [name for name, count in Counter(each.name for each in variants).items() if count > 1]
    if twice:
        raise InputError(f"--study {path} has two variants named {twice[0]!r}; give each its own name")
    named = [each for each in variants if Path(each.name) == file.reference.dir]
    best = file.reference.dir == Path(BEST)
    references = variants if best else named or [made(file.reference, "reference")]
    return Study(
        distinct_models(file.base_models, f"study {path}, base_models"),
        variants,
        made(file.baseline, "baseline"),
        references,
        [None] if file.seeds is None else list(dict.fromkeys(file.seeds)),
        file.seed_reference,
    )
