"""Make a distribution from preference data: JSONL, CSV, Parquet, or a folder saved by `datasets`.

python api/import_distribution.py --data_path preferences.jsonl --output_dir distributions/mine
python api/import_distribution.py --data_path ultra/ --data_split train_prefs --output_dir distributions/ultra
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from genies.command_line import Arguments
from genies.data.importing.distribution_writer import Split
from genies.data.importing.importer import Columns, Imported, import_distribution
from genies.data.importing.sources import Format, open_source
from genies.data.importing.template import DEFAULT, DEFAULT_MESSAGE, make_template
from genies.names import check_length, check_name
from genies.spelling import spelled


class ImportDistributionArguments(Arguments):
    """Convert preference data to a distribution.

    Example:
      python api/import_distribution.py --data_path preferences.jsonl --output_dir distributions/mine
        --template '### Instruction:\\n{prompt}\\n\\n### Response:\\n' --license MIT

    A row holds a prompt, a chosen and a rejected response (or several), or a prompt, a list of responses and their
    scores. Prompts and responses are texts or conversations (lists of {role, content}). Examples with the same prompt
    always go to the same split.
    """

    data_path: Path
    """A .jsonl, .csv, .tsv, .parquet or .arrow file, a folder saved by `datasets`, or one of Parquet files."""
    output_dir: Path
    """Folder of the new distribution, such as distributions/mine; its name is the name of the distribution."""
    format: Format | None = None
    """Format of the data, if the file name does not show it."""
    data_split: str | None = None
    """Split to take from a folder saved by `datasets` that has several."""
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
    json_columns: list[str] | None = None
    """Columns that contain JSON as text, such as conversations in a CSV file."""
    template: str = DEFAULT
    r"""Text around the prompt, {prompt}; \n is a line end."""
    message_template: str = DEFAULT_MESSAGE
    r"""Format of one message, {role} and {content}, in a conversation with several; a single message is its content."""
    test_share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of the examples in the test split."""
    max_train_examples: Annotated[int, Field(ge=1)] | None = None
    """Maximum number of train examples, drawn at random."""
    max_test_examples: Annotated[int, Field(ge=1)] | None = None
    """Maximum number of test examples, drawn at random."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the split and of all random order."""
    source: str | None = None
    """Origin of the data, for metadata.json (default: the name of the file or folder)."""
    license: str = "not stated"
    """The data's license, for metadata.json."""
    skip_malformed: bool = False
    """Skip and count malformed rows instead of refusing the data."""
    overwrite: bool = False
    """Replace the distribution in output_dir."""


def main(args: ImportDistributionArguments, root: Path) -> int:
    folder = Path(os.path.abspath(args.output_dir))  # noqa: PTH100 - resolve() would follow links
    check_name(folder.name, "--output_dir")
    check_length(folder.name, 50, "--output_dir")
    template = make_template(args.template, args.message_template)
    source = open_source(args.data_path, args.format, args.data_split)
    columns = Columns(
        args.prompt_column,
        args.chosen_column,
        args.rejected_column,
        args.responses_column,
        args.scores_column,
        args.response_field,
        args.score_field,
    )
    imported = import_distribution(
        source,
        columns.layout(source.columns, args.layout),
        template,
        Split(args.seed, args.test_share, args.max_train_examples, args.max_test_examples),
        folder,
        about={"source": args.source or args.data_path.resolve().name, "license": args.license},
        json_columns=args.json_columns or (),
        skip_malformed=args.skip_malformed,
        overwrite=args.overwrite,
        progress=True,
    )
    show(imported, args.output_dir)
    return 0


def show(imported: Imported, output_dir: Path) -> None:
    """Print what was written and what was skipped."""
    left_out = sum(imported.left_out.values())
    print(f"{imported.rows:,} rows, {imported.prompts:,} distinct prompts")
    for field, count in imported.left_out.items():
        print(f"  left out: {count:,} with a malformed {field}")
    if left_out:
        print(f"  left out in all: {left_out:,}")
    print(f"{imported.train:,} train and {imported.test:,} test examples in {output_dir}")
    print(spelled(f"look for defects: python api/check_distributions.py {output_dir}"))
