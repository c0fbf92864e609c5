"""Import preference data: assign columns, read and validate all rows, and write the result as a distribution."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from tqdm import tqdm

from genies.data.importing.distribution_writer import Split, Spool, staged, write_metadata
from genies.data.importing.rows import Layout, Malformed, Pairs, Preference, Scored, parse_json
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
    prompts: int
    train: int
    test: int
    responses: dict[str, int]
    """Number of examples by number of responses."""


def import_distribution(
    source: Source,
    layout: Layout,
    template: Template,
    split: Split,
    folder: Path,
    *,
    about: dict[str, Any] | None = None,
    json_columns: Sequence[str] = (),
    skip_malformed: bool = False,
    overwrite: bool = False,
    progress: bool = False,
) -> Imported:
    """Write the distribution `folder` from preference data.

    about: keys for metadata.json in addition to the counts and settings of the import.
    json_columns: columns whose text is JSON, such as conversations in a CSV file.
    Raises InputError, and writes nothing, for malformed rows (unless they are skipped) and damaged files.
    """
    with staged(folder, overwrite) as work:
        with tempfile.TemporaryFile(dir=work) as file:  # without a name, so that it disappears if the import is killed
            spool = Spool(file, split.seed, most_spooled(source))
            rows, left_out = _collect(source, layout, template, spool, json_columns, skip_malformed, progress)
            train, test = split.divide(spool.keys)
            counts = Counter(spool.write(work / "new" / "train.json", train))
            counts.update(spool.write(work / "new" / "test.json", test))
        responses = {number: counts[number] for number in sorted(counts, key=int)}
        imported = Imported(rows, left_out, spool.prompts(), len(train), len(test), responses)
        write_metadata(
            work / "new",
            {"id": folder.name, **(about or {}), **_made_from(source, layout, template, split)}
            | {"counts": asdict(imported)},
        )
    return imported


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


def _collect(
    source: Source,
    layout: Layout,
    template: Template,
    spool: Spool,
    json_columns: Sequence[str],
    skip_malformed: bool,
    progress: bool,
) -> tuple[int, dict[str, int]]:
    """Add all rows to the spool. Returns the number of rows, and the number of skipped rows by invalid field."""
    left_out: Counter[str] = Counter()
    faults: list[str] = []
    rows = 0
    bar = tqdm(source.rows(layout.columns()), desc="rows", leave=False, disable=None if progress else True)
    for row in bar:
        rows += 1
        try:
            spool.add(row.number, _preference(row, layout, template, json_columns))
        except Malformed as error:
            left_out[error.field or "row"] += 1
            if not skip_malformed:
                faults.append(f"row {row.number}, {error}")
                if len(faults) == SHOWN_FAULTS:
                    break
    if faults:
        raise InputError(
            f"{source.path}: malformed rows (the first row is row 0): {'; '.join(faults)}"
            f"{'; ...' if len(faults) == SHOWN_FAULTS else ''}. Nothing was written; "
            "repair the data, or skip such rows with --skip_malformed True"
        )
    if not len(spool.keys):
        raise InputError(f"{source.path} has {rows} rows, but no valid example")
    return rows, dict(sorted(left_out.items()))


def _preference(row: Row, layout: Layout, template: Template, json_columns: Sequence[str]) -> Preference:
    if isinstance(row.values, Malformed):
        raise row.values
    values = row.values
    for column in json_columns:
        if isinstance(values.get(column), str):
            values = {**values, column: parse_json(values[column], column)}
    return layout.read(values, template)
