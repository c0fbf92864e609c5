"""Make distributions from preference data: JSON, JSONL, CSV, Parquet, a folder saved by `datasets`, or the hub.

python api/import_distribution.py --data_path preferences.jsonl --output_dir distributions/mine
python api/import_distribution.py --preset rm_bench --data_path total_dataset.json --output_dir distributions/rm_bench
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from genies.cache import cache_dir
from genies.command_line import Arguments
from genies.data.audit.markdown import to_markdown
from genies.data.audit.suite import audit
from genies.data.importing.distribution_writer import Split
from genies.data.importing.hub_data import hub_data
from genies.data.importing.importer import Columns, Imported, Rules, import_suite
from genies.data.importing.layouts import Layout, Transcripts
from genies.data.importing.presets import PRESETS, Preset, listed
from genies.data.importing.sources import Format, Source, open_source
from genies.data.importing.suites import parts_of, slug, suite_shifts
from genies.data.importing.template import DEFAULT, make_template
from genies.data.shifts import read_shifts
from genies.errors import InputError
from genies.files import write_json
from genies.names import check_length, check_name
from genies.quantities import counted
from genies.spelling import spelled


class Origin(Arguments):
    """Where the data is, and the distributions to make of it."""

    data_path: Path | None = None
    """A .json, .jsonl, .csv, .tsv, .parquet or .arrow file, a folder saved by `datasets`, or one of JSON or Parquet
    files."""
    hub_dataset: str | None = None
    """Data set on the hub, OWNER/NAME, in place of --data_path: its data files are downloaded into the cache. HF_TOKEN
    gives access to those with conditions."""
    revision: str | None = None
    """Branch, tag or commit of --hub_dataset (default: the newest); metadata.json records the commit."""
    hub_files: str | None = None
    """Shell pattern of the files of --hub_dataset to use, such as 'helpful-base/*' (default: all data files)."""
    output_dir: Path | None = None
    """Folder of the new distribution, such as distributions/mine; its name is the name of the distribution. The
    distributions of a suite are named <output_dir>_<value>."""
    preset: Literal[tuple(PRESETS)] | None = None  # type: ignore[valid-type]
    """Published data set whose layout, splitting column and license are known; --split_by, --test_share and --license
    override them, and arguments about columns are refused."""
    list_presets: bool = False
    """Print the presets and do nothing else."""
    split_by: str | None = None
    """Column whose values become distributions of their own: a suite, with a shift file over them."""
    sources: list[str] | None = None
    """Values of --split_by to tune on; the suite's shift file has a shift from each of them to every other
    distribution. Default: none, all distributions are targets only."""
    shifts_path: Path | None = None
    """Shift file of a suite (default: distribution_shifts/<name>.json)."""
    format: Format | None = None
    """Format of the data, if the file name does not show it."""
    data_split: str | None = None
    """Split to take from a folder saved by `datasets` that has several."""


class ImportDistributionArguments(Rules, Columns, Origin):
    """Convert preference data to a distribution, or to a suite of distributions.

    Example:
      python api/import_distribution.py --data_path preferences.jsonl --output_dir distributions/mine
        --template '### Instruction:\\n{prompt}\\n\\n### Response:\\n' --license MIT

    A row contains a prompt with one or several chosen and rejected responses, or a prompt, a list of responses and
    their scores. Prompts and responses are texts or conversations (lists of {role, content}). --preset reads a
    published data set, and --list_presets True shows them. A prompt's split depends on nothing but the prompt and
    --test_share.
    """

    parting_turns: Literal["drop", "keep"] = "drop"
    """Rows of transcripts that differ before the last turn: drop leaves them out; with keep, the response is everything
    from the first turn that differs."""
    template: str = DEFAULT
    r"""Text around the prompt, {prompt}; \n is a line end."""
    message_template: str | None = None
    r"""Convert conversations with several turns to a text, with this format of one message, {role} and {content}
    (default: they stay conversations)."""
    keep_splits: bool = False
    """Keep the published train and test splits, recognized by the names of files or folders; validation is the test
    split of data without one, and left out otherwise (default: split by the hash of the prompt)."""
    test_share: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of the prompts in the test split; 1 makes targets without a train split (default: 0.2, or the preset's)."""
    max_train_examples: Annotated[int, Field(ge=1)] | None = None
    """Maximum number of train examples, drawn at random."""
    max_test_examples: Annotated[int, Field(ge=1)] | None = None
    """Maximum number of test examples, drawn at random."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the order of examples and of draws; the split does not depend on it."""
    source: str | None = None
    """Origin of the data, for metadata.json (default: the name of the file or folder)."""
    license: str = "not stated"
    """The data's license, for metadata.json."""
    overwrite: bool = False
    """Replace distributions and shift files that exist."""

    @model_validator(mode="after")
    def _needed(self) -> ImportDistributionArguments:
        if not self.list_presets:
            if self.data_path is None and self.hub_dataset is None:
                raise ValueError(
                    "--data_path PATH is missing, the file or folder of the data"
                    + (", and --output_dir, such as distributions/mine" if self.output_dir is None else "")
                    + " (--hub_dataset OWNER/NAME downloads a data set instead; --list_presets True lists known ones)"
                )
            if self.output_dir is None:
                raise ValueError("--output_dir is missing, the folder of the new distribution: distributions/mine")
            if self.data_path is not None and self.hub_dataset is not None:
                raise ValueError("give the data one way: --data_path PATH, or --hub_dataset OWNER/NAME")
            for name in ("revision", "hub_files"):
                if self.hub_dataset is None and getattr(self, name) is not None:
                    raise ValueError(f"--{name} is for --hub_dataset")
            if self.keep_splits and (self.test_share is not None or self.data_split is not None):
                given = "test_share" if self.test_share is not None else "data_split"
                raise ValueError(f"--{given} has no effect with --keep_splits True; leave one of them out")
        return self

    @model_validator(mode="after")
    def _with_effect(self) -> ImportDistributionArguments:
        """Refuse arguments that would have no effect."""
        if self.preset is not None and (given := sorted(Columns.model_fields.keys() & self.model_fields_set)):
            raise ValueError(f"--{given[0]} has no effect with --preset {self.preset}, which knows the columns")
        if self.parting_turns != "drop" and not isinstance(_layout_of(self.preset), Transcripts):
            raise ValueError("--parting_turns is for transcripts: --preset hh_rlhf")
        if self.split_by is None and (self.preset is None or PRESETS[self.preset].split_by is None):
            given = [name for name in ("sources", "shifts_path") if getattr(self, name) is not None]
            if given:
                raise ValueError(f"--{given[0]} is for a suite; add --split_by COLUMN")
        return self


def _layout_of(preset: str | None) -> Layout | None:
    return None if preset is None else PRESETS[preset].layout


def main(args: ImportDistributionArguments, root: Path) -> int:
    if args.list_presets:
        print(listed())
        return 0
    assert args.output_dir is not None
    folder = Path(os.path.abspath(args.output_dir))  # noqa: PTH100 - resolve() would follow links
    check_name(folder.name, "--output_dir")
    check_length(folder.name, 50, "--output_dir")
    template = make_template(args.template, args.message_template)
    data_path, origin = _data(args, root)
    source = open_source(data_path, args.format, args.data_split, args.keep_splits)
    preset = PRESETS[args.preset] if args.preset else None
    split_by = args.split_by or (preset.split_by if preset else None)
    _check_preset(args, preset, source)
    folders: dict[str | None, Path] = parts_of(source, split_by, folder) if split_by else {None: folder}
    _check_sources(args.sources or [], [value for value in folders if value is not None], split_by)
    license_ = args.license if args.license != "not stated" or preset is None else preset.license
    about = {"source": args.source or data_path.resolve().name, "license": license_, **origin}
    if preset is not None:
        about |= {"suite": folder.name, "preset": str(args.preset), "citation": preset.citation}
    share = args.test_share or (preset.test_share if preset else 0.2)
    if share == 1 and args.sources and not args.keep_splits:
        raise InputError("--sources needs a train split, but --test_share is 1; choose a smaller share")
    shifts_path = args.shifts_path or root / "distribution_shifts" / f"{folder.name}.json"
    if split_by is not None and shifts_path.exists() and not args.overwrite:
        raise InputError(f"--shifts_path {shifts_path} exists; choose another name, or add --overwrite True")
    made, without_part = import_suite(
        source,
        _layout(args, source),
        template,
        Split(args.seed, share, args.max_train_examples, args.max_test_examples),
        folders,
        split_by,
        suite=folder.name,
        about=about,
        rules=args,
        overwrite=args.overwrite,
        progress=True,
    )
    if split_by is None:
        show(made[folder], args.output_dir, args.ties == "keep")
        return 0
    _show_suite(made, args.ties == "keep")
    for field, count in without_part.items():
        print(f"left out: {count:,} rows of no distribution, with a malformed {field}")
    shifts = suite_shifts([each.name for each in made], [f"{folder.name}_{slug(each)}" for each in args.sources or []])
    write_json(shifts_path, [{**shift, "category": folder.name} for shift in shifts])
    print(f"{counted(len(shifts), 'shift')} in {shifts_path}\n")
    print(to_markdown(audit(list(made), read_shifts(shifts_path))), end="")
    return 0


def _check_preset(args: ImportDistributionArguments, preset: Preset | None, source: Source) -> None:
    """Refuse data that lacks the column by which the preset divides its data set."""
    if preset is not None and args.split_by is None and preset.split_by not in (None, *source.columns):
        raise InputError(
            f"--preset {args.preset} expects the column {preset.split_by!r}, which "
            f"{args.data_path or args.hub_dataset} does not have; its columns are {', '.join(source.columns)[:500]}. "
            "Choose the preset of this data set, or name the columns instead of a preset"
        )


def _data(args: ImportDistributionArguments, root: Path) -> tuple[Path, dict[str, str]]:
    """Where the data is, downloaded if it is on the hub, and keys for metadata.json about its origin."""
    if args.hub_dataset is None:
        assert args.data_path is not None
        return args.data_path, {}
    done = hub_data(args.hub_dataset, args.revision, args.hub_files, cache_dir(root))
    chosen = {} if args.hub_files is None else {"hub_files": args.hub_files}
    about = {"source": args.source or args.hub_dataset, "hub_dataset": args.hub_dataset, "revision": done.commit}
    return done.folder, about | chosen


def _layout(args: ImportDistributionArguments, source: Source) -> Layout:
    layout = _layout_of(args.preset)
    if layout is None:
        return args.layout_of(source.columns)
    return replace(layout, keep_parting=args.parting_turns == "keep") if isinstance(layout, Transcripts) else layout


def _check_sources(sources: Sequence[str], known: Sequence[str], split_by: str | None) -> None:
    unknown = [each for each in sources if each not in known]
    if unknown:
        raise InputError(f"--sources: {split_by} has no value {unknown[0]!r}; it has {', '.join(known)[:500]}")


def _show_suite(made: dict[Path, Imported], kept: bool) -> None:
    for folder, imported in made.items():
        print(f"{folder.name}: {imported.train:,} train and {imported.test:,} test examples")
        _show_left_out(imported, kept)


def show(imported: Imported, output_dir: Path, kept: bool = False) -> None:
    """Print what was written and what was left out."""
    print(f"{imported.rows:,} rows, {imported.prompts:,} distinct prompts")
    _show_left_out(imported, kept)
    print(f"{imported.train:,} train and {imported.test:,} test examples in {output_dir}")
    print(spelled(f"look for defects: python api/check_distributions.py {output_dir}"))


def _show_left_out(imported: Imported, kept: bool) -> None:
    left_out = sum(imported.left_out.values())
    for field, count in imported.left_out.items():
        print(f"  left out: {count:,} with a malformed {field}")
    if left_out:
        print(f"  left out in all: {left_out:,}")
    if imported.in_both:
        print(
            f"  in both published splits: {imported.in_both:,} prompts; --exclude_leaked of the main job excludes them"
        )
    if imported.ties:
        done = "kept as examples without a worse response" if kept else "left out (--ties keep keeps them)"
        print(f"  ties: {imported.ties:,} rows, {done}")
    if imported.parting:
        print(f"  conversations that differ before the last turn: {imported.parting:,} rows, left out (--parting_turns "
              "keep keeps them)")  # fmt: skip
