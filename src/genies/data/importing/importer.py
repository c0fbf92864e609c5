"""Import preference data: assign columns, read and validate all rows, and write the result as a distribution."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from tqdm import tqdm

from genies.data.importing.distribution_writer import Split, Spool, check_free, make_parent, staged, write_metadata
from genies.data.importing.rows import Layout, Malformed, Pairs, Parting, Preference, Scored, Tie, parse_json
from genies.data.importing.sources import Row, Source
from genies.data.importing.template import Template
from genies.errors import InputError
from genies.files import sha256_of_file

SHOWN_FAULTS = 5
"""Maximum number of malformed rows in an error message; reading stops there."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The names of the columns."""

    prompt: str = "prompt"
    chosen: str = "chosen"
    rejected: str = "rejected"
    responses: str = "responses"
    scores: str = "scores"
    response_field: str = "response"
    """Field of a response, if the column of responses contains objects."""
    score_field: str = "score"

    equal_scores: tuple[str, str] | None = None
    """Columns with the scores of chosen and rejected, if equal ones are ties."""

    def layout(self, available: Sequence[str], wanted: Literal["auto", "pairs", "scores"] = "auto") -> Layout:
        """How to read data with these columns. Raises InputError if a column is missing."""
        prompt = self.prompt if self.prompt in available else None
        if wanted == "auto":
            wanted = "scores" if self.responses in available and self.chosen not in available else "pairs"
        if wanted == "scores":
            _need(available, {"responses_column": self.responses})
            scores = self.scores if self.scores in available else None
            return Scored(self.responses, scores, prompt, self.response_field, self.score_field)
        _need(available, {"chosen_column": self.chosen, "rejected_column": self.rejected})
        return Pairs(self.chosen, self.rejected, prompt)


def _need(available: Sequence[str], named: dict[str, str]) -> None:
    for argument, name in named.items():
        if name not in available:
            raise InputError(
                f"the data has no column {name!r} (--{argument}); its columns are "
                f"{', '.join(available)[:500]}. Expected prompt, chosen and rejected, or prompt, responses and scores; "
                "set other names with the --..._column arguments"
            )


@dataclass(frozen=True, slots=True)
class Imported:
    """The result of an import."""

    rows: int
    left_out: dict[str, int]
    """Number of skipped malformed rows by field."""
    ties: int
    """Number of rows whose responses are equally good."""
    parting: int
    """Number of rows whose conversations differ before the last turn, which are left out."""
    prompts: int
    train: int
    test: int
    responses: dict[str, int]
    """Number of examples by number of responses."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What becomes of rows that are no ordinary examples."""

    json_columns: Sequence[str] = ()
    """Columns whose text is JSON, such as conversations in a CSV file."""
    skip_malformed: bool = False
    keep_ties: bool = False
    """Whether ties become examples in which every response is best; otherwise they are left out."""


def import_distribution(
    source: Source,
    layout: Layout,
    template: Template,
    split: Split,
    folder: Path,
    *,
    about: dict[str, Any] | None = None,
    rules: Rules | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> Imported:
    """Write the distribution `folder` from preference data.

    about: keys for metadata.json in addition to the counts and settings of the import.
    Raises InputError, and writes nothing, for malformed rows (unless they are skipped) and damaged files.
    """
    made = import_suite(
        source, layout, template, split, {None: folder}, None,
        about=about, rules=rules, overwrite=overwrite, progress=progress,
    )  # fmt: skip
    return made[folder]


def import_suite(
    source: Source,
    layout: Layout,
    template: Template,
    split: Split,
    folders: dict[str | None, Path],
    split_by: str | None,
    *,
    about: dict[str, Any] | None = None,
    rules: Rules | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> dict[Path, Imported]:
    """Write a distribution for each value of the column `split_by`, as `folders` names them (None without the column).

    Raises as import_distribution does, before any of the distributions is written.
    """
    rules = rules or Rules()
    for folder in folders.values():
        check_free(folder, overwrite)
    place = make_parent(next(iter(folders.values())))
    with ExitStack() as stack:
        spools: dict[str | None, Spool] = {}
        for value in folders:
            # Without a name, so that it disappears if the import is killed.
            file = stack.enter_context(tempfile.TemporaryFile(dir=place))
            spools[value] = Spool(file, split.seed, most_spooled(source))
        counts = _collect(source, layout, template, spools, split_by, rules, progress)
        divided = {value: split.divide(spools[value].keys) for value in folders}
        made = {}
        for value, folder in folders.items():
            spool, (train, test) = spools[value], divided[value]
            with staged(folder, overwrite) as work:
                sizes = Counter(spool.write(work / "new" / "test.json", test))
                if split.test_share < 1:
                    sizes.update(spool.write(work / "new" / "train.json", train))
                responses = {number: sizes[number] for number in sorted(sizes, key=int)}
                made[folder] = Imported(
                    counts.rows[value], dict(sorted(counts.left_out.items())), counts.ties, counts.parting,
                    spool.prompts(), len(train), len(test), responses,
                )  # fmt: skip
                part = {} if value is None else {"part": {str(split_by): value}}
                write_metadata(
                    work / "new",
                    {"id": folder.name, **(about or {}), **part, **_made_from(source, layout, template, split)}
                    | {"counts": asdict(made[folder])},
                )
    return made


MAX_PARTS = 200
"""Maximum number of distributions of a suite."""


def parts_of(source: Source, split_by: str, folder: Path) -> dict[str | None, Path]:
    """The folder of each value of the column `split_by`, in the order of their names: <folder>_<value>.

    Raises InputError for an unknown column, too many values, and two values with one name.
    """
    if split_by not in source.columns:
        raise InputError(
            f"--split_by {split_by}: the data has no such column; it has {', '.join(source.columns)[:500]}"
        )
    values: set[str] = set()
    for row in source.rows([split_by]):
        if isinstance(row.values, dict) and row.values.get(split_by) is not None:
            values.add(str(row.values[split_by]))
            if len(values) > MAX_PARTS:
                raise InputError(
                    f"--split_by {split_by}: more than {MAX_PARTS} different values; choose another column"
                )
    by_name: dict[str, str] = {}
    for value in sorted(values):
        name = f"{folder.name}_{slug(value)}"
        if name in by_name:
            raise InputError(f"--split_by {split_by}: {by_name[name]!r} and {value!r} would both be named {name}")
        by_name[name] = value
    return {value: folder.with_name(name) for name, value in by_name.items()}


def slug(value: str) -> str:
    """A value as part of a folder's name.

    >>> slug("Precise IF"), slug("Helpfulness/Open QA")
    ('precise_if', 'helpfulness_open_qa')
    """
    return re.sub(r"[^a-z0-9]+", "_", value.lower()).strip("_") or "other"


GROWTH, ALWAYS_ALLOWED = 100, 64 << 20
"""Maximum ratio of the size of the examples to that of the data, and a size in bytes that is always allowed.
Decompressed text is 3 to 10 times as large; a few kilobytes of a malicious file can become terabytes."""


def most_spooled(source: Source) -> int:
    """Maximum size in bytes of the examples of this data."""
    return max(ALWAYS_ALLOWED, GROWTH * sum(file.stat().st_size for file in source.files))


def _made_from(source: Source, layout: Layout, template: Template, split: Split) -> dict[str, Any]:
    return {
        "data": {
            "format": source.format,
            "files": [{"name": file.name, "sha256": sha256_of_file(file)} for file in source.files],
        },
        "columns": asdict(layout),
        "template": template.prompt,
        "message_template": template.message,
        **asdict(split),
    }


class _Counts:
    def __init__(self) -> None:
        self.rows: Counter[str | None] = Counter()
        self.left_out: Counter[str] = Counter()
        self.ties = 0
        self.parting = 0


def _collect(
    source: Source,
    layout: Layout,
    template: Template,
    spools: dict[str | None, Spool],
    split_by: str | None,
    rules: Rules,
    progress: bool,
) -> _Counts:
    """Add all rows to the spools, and count those that were not."""
    counts = _Counts()
    faults: list[str] = []
    wanted = [*layout.columns(), *([split_by] if split_by else [])]
    bar = tqdm(source.rows(wanted), desc="rows", leave=False, disable=None if progress else True)
    for row in bar:
        part = None
        if split_by and isinstance(row.values, dict):
            value = row.values.get(split_by)
            part = None if value is None else str(value)
        counts.rows[part] += 1
        try:
            if split_by and part is None:
                raise Malformed(split_by, "is missing")
            spools[part].add(row.number, _preference(row, layout, template, rules.json_columns))
        except Tie as tie:
            counts.ties += 1
            if rules.keep_ties:
                spools[part].add(row.number, tie.preference)
        except Parting:
            counts.parting += 1
        except Malformed as error:
            counts.left_out[error.field or "row"] += 1
            if not rules.skip_malformed:
                faults.append(f"row {row.number}, {error}")
                if len(faults) == SHOWN_FAULTS:
                    break
    if faults:
        raise InputError(
            f"{source.path}: malformed rows (the first row is row 0): {'; '.join(faults)}"
            f"{'; ...' if len(faults) == SHOWN_FAULTS else ''}. Nothing was written; repair the data, name its columns "
            "with the --..._column arguments, choose a preset (--list_presets True), or skip such rows with "
            "--skip_malformed True"
        )
    for part, spool in spools.items():
        if not len(spool.keys):
            where = "" if part is None else f" with {split_by} {part!r}"
            raise InputError(f"{source.path} has {counts.rows[part]} rows{where}, but no valid example")
    return counts


def _preference(row: Row, layout: Layout, template: Template, json_columns: Sequence[str]) -> Preference:
    if isinstance(row.values, Malformed):
        raise row.values
    values = row.values
    for column in json_columns:
        if isinstance(values.get(column), str):
            values = {**values, column: parse_json(values[column], column)}
    return layout.read(values, template)
