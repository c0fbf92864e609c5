"""Import preference data: assign columns, read and validate all rows, and write the result as a distribution."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from tqdm import tqdm

from genies.command_line import Arguments
from genies.data.importing.distribution_writer import (
    Order,
    Split,
    Spool,
    check_free,
    make_parent,
    staged,
    write_metadata,
)
from genies.data.importing.layouts import Layout, Pairs, Scored
from genies.data.importing.rows import Malformed, Parting, Preference, Tie, parse_json
from genies.data.importing.sources import Row, Source
from genies.data.importing.template import Template
from genies.errors import InputError
from genies.files import sha256_of_file

SHOWN_FAULTS = 5
"""Maximum number of malformed rows in an error message; reading stops there."""


class Columns(Arguments):
    """The columns of the data, as arguments."""

    layout: Literal["auto", "pairs", "scores"] = "auto"
    """Layout of the rows, if the columns are ambiguous: chosen and rejected, or responses and scores."""
    prompt_column: str = "prompt"
    """Column of the prompt; without it, the conversations must contain the prompt."""
    chosen_column: str = "chosen"
    """Column of the best response."""
    rejected_column: str = "rejected"
    """Column of the worse response, or of a list of them."""
    responses_column: str = "responses"
    """Column of the list of responses."""
    scores_column: str = "scores"
    """Column of their scores; without it, every response is an object that contains its score."""
    response_field: str = "response"
    """If responses are objects: the field of the text."""
    score_field: str = "score"
    """If responses are objects: the field of the score."""

    def layout_of(self, available: Sequence[str]) -> Layout:
        """How to read data with the columns `available`. Raises InputError if one is missing."""
        prompt = self.prompt_column if self.prompt_column in available else None
        scored = self.responses_column in available and self.chosen_column not in available
        if self.layout == "scores" or (self.layout == "auto" and scored):
            self._need(available, "responses_column")
            scores = self.scores_column if self.scores_column in available else None
            return Scored(self.responses_column, scores, prompt, self.response_field, self.score_field)
        self._need(available, "chosen_column", "rejected_column")
        return Pairs(self.chosen_column, self.rejected_column, prompt)

    def _need(self, available: Sequence[str], *arguments: str) -> None:
        for argument in arguments:
            if (name := getattr(self, argument)) not in available:
                raise InputError(
                    f"the data has no column {name!r} (--{argument}); its columns are "
                    f"{', '.join(available)[:500]}. Expected prompt, chosen and rejected, or prompt, responses and "
                    "scores; set other names with the --..._column arguments"
                )


class Rules(Arguments):
    """What becomes of rows that are no ordinary examples, as arguments."""

    ties: Literal["drop", "keep"] = "drop"
    """Rows whose responses are equally good: drop leaves them out, keep makes examples without a worse response, which
    no score counts."""
    json_columns: list[str] | None = None
    """Columns that contain JSON as text, such as conversations in a CSV file."""
    skip_malformed: bool = False
    """Skip and count malformed rows instead of refusing the data."""


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
    in_both: int = 0
    """Number of prompts in both published splits, if those are kept."""


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
    made, _ = import_suite(
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
    suite: str = "",
    about: dict[str, Any] | None = None,
    rules: Rules | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> tuple[dict[Path, Imported], dict[str, int]]:
    """Write a distribution for each value of the column `split_by`, as `folders` names them (None without the column).

    Returns what each contains, and the number of malformed rows by field that belong to none of them.
    suite: the name of the suite, for metadata.json.
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
        divided = {value: _divided(split, spools[value], split_by, value) for value in folders}
        made_from, made = _made_from(source, layout, template, split), {}
        for value, folder in folders.items():
            spool, found, (train, test) = spools[value], counts[value], divided[value]
            with staged(folder, overwrite) as work:
                sizes = Counter(spool.write(work / "new" / "test.json", test))
                if len(train) or (split.test_share < 1 and source.in_test is None):
                    sizes.update(spool.write(work / "new" / "train.json", train))
                responses = {number: sizes[number] for number in sorted(sizes, key=int)}
                made[folder] = Imported(
                    found.rows, dict(sorted(found.left_out.items())), found.ties, found.parting,
                    spool.prompts(), len(train), len(test), responses, spool.in_both(),
                )  # fmt: skip
                part = {} if value is None else {"suite": suite, "part": {str(split_by): value}}
                metadata = {"id": folder.name, **(about or {}), **part, **made_from, "counts": asdict(made[folder])}
                write_metadata(work / "new", metadata)
    nowhere = {} if None in folders else dict(sorted(counts[None].left_out.items()))
    return made, nowhere


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
            **({} if source.in_test is None else {"splits": "as published"}),
        },
        "columns": asdict(layout),
        "template": template.prompt,
        "message_template": template.message,
        **asdict(split),
    }


@dataclass(slots=True)
class _Counts:
    """What became of the rows of one distribution."""

    rows: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    ties: int = 0
    parting: int = 0


def _collect(
    source: Source,
    layout: Layout,
    template: Template,
    spools: dict[str | None, Spool],
    split_by: str | None,
    rules: Rules,
    progress: bool,
) -> dict[str | None, _Counts]:
    """Add all rows to the spools. Returns the counts of each, and of None for the rows that belong to none."""
    counts: dict[str | None, _Counts] = {part: _Counts() for part in (None, *spools)}
    faults: list[str] = []
    wanted = [*layout.columns(), *([split_by] if split_by else [])]
    for row in tqdm(source.rows(wanted), desc="rows", leave=False, disable=None if progress else True):
        part = _part(row, split_by)
        found = counts[part]
        found.rows += 1
        try:
            example = _preference(row, layout, template, rules.json_columns or ())
            if part not in spools:
                raise Malformed(str(split_by), "is missing")
            spools[part].add(row.number, example, row.in_test)
        except Tie as tie:
            found.ties += 1
            if rules.ties == "keep" and part in spools:
                spools[part].add(row.number, tie.preference, row.in_test)
        except Parting:
            found.parting += 1
        except Malformed as error:
            found.left_out[error.field or "row"] += 1
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
            raise InputError(f"{source.path} has {counts[part].rows} rows{where}, but no valid example")
    return counts


def _part(row: Row, split_by: str | None) -> str | None:
    """The value of the column `split_by`; None without it."""
    value = row.values.get(split_by) if split_by and isinstance(row.values, dict) else None
    return None if value is None else str(value)


def _divided(split: Split, spool: Spool, split_by: str | None, part: str | None) -> tuple[Order, Order]:
    """The division of a spool; an InputError names the part."""
    try:
        return split.divide(spool.keys, spool.published)
    except InputError as error:
        raise error if part is None else InputError(f"{split_by} {part!r}: {error}") from None


def _preference(row: Row, layout: Layout, template: Template, json_columns: Sequence[str]) -> Preference:
    if isinstance(row.values, Malformed):
        raise row.values
    values = row.values
    for column in json_columns:
        if isinstance(values.get(column), str):
            values = {**values, column: parse_json(values[column], column)}
    return layout.read(values, template)
