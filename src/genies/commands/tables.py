"""Tables of a results folder: the main results, or with --full all means, paired differences and shifts.

python api/tables.py --results_dir results --format markdown
python api/tables.py --results_dir results --table differences --against mms
python api/tables.py --results_dir results --format latex --table means --output means.tex
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from genies.command_line import Arguments
from genies.data.shifts import read_shifts
from genies.errors import InputError
from genies.files import write_text
from genies.report.comparing import check_name
from genies.report.leaks import exclude_leaked
from genies.report.process_settings import for_many_evaluations
from genies.report.reading import check_given_interventions, read_study
from genies.report.suites import Suite, joined_csv, joined_json, suites
from genies.report.summary import summarize
from genies.report.tables import ALL, Tables, Which, check_choices, to_csv, to_json
from genies.report.terminal_table import terminal_table
from genies.shipped import place


class TablesArguments(Arguments):
    """Print or write the tables of a results folder, with 95 % intervals. Each suite has its own tables.

    Example:
      python api/tables.py --results_dir results --format latex --output tables.tex
    """

    aliases: ClassVar[dict[str, str]] = {
        "results": "results_dir",
        "distributions": "distributions_dir",
        "capability": "reference",
    }

    results_dir: Path = Path("results")
    """Results folder; the tables under generalization_metrics/ list its shifts."""
    format: Literal["markdown", "latex", "csv", "json"] = "markdown"
    """Output format. CSV starts with the documented columns."""
    table: Literal["means", "differences", "shifts"] | None = None
    """Means over all shifts, labels and categories; paired differences from the baseline; or every shift (default:
    all; CSV: shifts; JSON: always all)."""
    full: bool = False
    """Print all tables in Markdown. By default a terminal shows only the main results, best first."""
    columns: Annotated[list[str], Field(min_length=1)] | None = None
    """Metrics in the tables of means and shifts, in this order (Markdown and LaTeX), such as
    '["generalization_accuracy", "differential_elicitation"]' (default: all)."""
    interventions: Annotated[list[str], Field(min_length=1)] | None = None
    """Interventions with rows (Markdown and LaTeX), such as '["mms", "lora_fine_tune"]' (default: all)."""
    against: str | None = None
    """An intervention to compare the others with, in addition to the baseline."""
    output: Path | None = None
    """File to write (default: standard output)."""
    published_weights: bool = False
    """Count each shift as often as its table lists it, as the release did with its 69 (default: once)."""
    shifts: Path | None = None
    """JSON file of shifts (default: those in the tables of the results folder)."""
    baseline: str = "zero_shot"
    """With --shifts: the baseline intervention."""
    reference: str = "lora_fine_tune"
    """With --shifts: the reference intervention of the target-tuned capability."""
    distributions_dir: Path = Path("distributions")
    """Folder of the distributions. Needed for leaks, and if an evaluation does not contain the example of each pair."""
    exclude_leaked: bool = False
    """Leave out test examples whose prompt is in the train split of the distribution tuned on."""


def main(args: TablesArguments, root: Path) -> None:
    if args.format == "json" and args.table is not None:
        raise InputError(f"--table {args.table} goes with markdown, latex and csv; JSON holds all tables")
    given = args.model_fields_set
    results = args.results_dir if "results_dir" in given else root / args.results_dir
    distributions = args.distributions_dir if "distributions_dir" in given else place(args.distributions_dir, root)
    shifts = None if args.shifts is None else read_shifts(args.shifts)
    check_given_interventions(results, args)
    with for_many_evaluations():
        study = read_study(results, shifts, args.baseline, args.reference, distributions)
        if args.exclude_leaked:
            study = exclude_leaked(study, distributions)
        parts = suites(study, distributions)
        texts = [(part.name, _text(args, part, len(parts) > 1)) for part in parts]
    for fault in study.faults:
        print(f"note: {fault}", file=sys.stderr)
    if args.format == "csv":
        text = joined_csv(texts)
    elif args.format == "json":
        text = joined_json(texts)
    else:
        text = "\n".join(text for _, text in texts) + (HINT if _is_short(args) else "")
    if args.output is None:
        print(text, end="")
    else:
        write_text(args.output, text)
        print(f"wrote {args.output}")


def _text(args: TablesArguments, part: Suite, several: bool) -> str:
    """The text of one suite in the chosen format."""
    summary = summarize(part.study, "published" if args.published_weights else "unique")
    if args.against is not None:
        check_name(summary, args.against)
    check_choices(summary, args.columns, args.interventions)
    which: tuple[Which, ...] = ALL if args.table is None else (args.table,)
    name = part.name if several else ""
    if args.format == "csv":
        return to_csv(summary, which[-1], args.against)
    if args.format == "json":
        return to_json(summary, args.against)
    tables = Tables(summary, which, args.against, args.columns, args.interventions)
    if args.format == "latex":
        return (f"% {name}\n" if name else "") + tables.latex()
    if _is_short(args):
        return terminal_table(summary, name, args.interventions)
    return (f"# {name}\n\n" if name else "") + tables.markdown()


def _is_short(args: TablesArguments) -> bool:
    """Whether only the main results are printed."""
    chosen = args.full or args.table or args.columns or args.output or args.against
    return args.format == "markdown" and not chosen


HINT = "\nAll metrics, differences, shifts and notes: --full True\n"
