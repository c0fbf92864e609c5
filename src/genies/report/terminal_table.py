"""The main results of a suite as a table that fits a terminal of 100 columns, best first."""

from __future__ import annotations

from collections.abc import Sequence

from genies import markdown
from genies.metrics.shift_means import FEWEST_SOURCES
from genies.report.figures import MAIN
from genies.report.lines import marked
from genies.report.markup import Cell, TextTable, markdown_table
from genies.report.ordering import best_first, difference_of
from genies.report.pages import bare_p, seeds
from genies.report.summary import MeanSummary, Summary

WIDTH = 100
_LONGEST = 22
"""Longer names are cut, so that the table fits."""


def terminal_table(summary: Summary, name: str = "", interventions: Sequence[str] | None = None) -> str:
    """The difference from the untuned model, its p-value and the accuracy of each intervention over all shifts, and
    what the intervals and p-values are about.

    name: the name of the suite, for the caption.
    """
    whole = summary.groups[0]
    means = [mean for mean in whole.means if interventions is None or mean.intervention in interventions]
    models = list(dict.fromkeys(mean.base_model for mean in means))
    blocks = []
    for model in models:
        chosen = sorted((each for each in means if each.base_model == model), key=best_first)
        complete = all(mean.shifts == mean.of for mean in chosen)
        rows = [_row(mean, complete) for mean in chosen]
        count = len(whole.shifts)
        caption = ", ".join(filter(None, (name, model, f"mean over {count} shift{'' if count == 1 else 's'}")))
        header = ["intervention", "difference from untuned", "p", "accuracy", "seeds"]
        header += [] if complete else ["shifts"]
        table = TextTable(caption, header, rows, 1)
        blocks.append(f"**{markdown.escaped(caption)}**\n\n{markdown_table(table)}")
        blocks += filter(None, [_scope(chosen, count)])
    return "\n\n".join(blocks) + "\n"


def _scope(means: Sequence[MeanSummary], shifts: int) -> str:
    """What the intervals and p-values of a table are about; empty if there are none."""
    differences = [each for mean in means if (each := mean.verdict.against_baseline) is not None]
    abouts = {each.about for each in differences if each.interval is not None}
    few = f"about these shifts only{{}} fewer than {FEWEST_SOURCES} sources"
    if abouts <= {"other sources"}:
        scope = "about other sources"
    elif shifts == 1:
        scope = "about other prompts of this shift"
    elif "other sources" in abouts:
        scope = f"about other sources, or {few.format(' where there are')}"
    else:
        scope = few.format(", because there are")
    said = [f"In brackets: 95 % intervals, {scope}."] if abouts else []
    if any(each.adjusted_p_value is not None for each in differences):
        said.append("p is adjusted for the number of rows (Holm). Bold: p < 0.05.")
    return "\n".join(said)


def _row(mean: MeanSummary, complete: bool) -> list[Cell]:
    """complete: all rows are over all shifts; otherwise the number of shifts is shown in place of an interval."""
    tested, value = mean.verdict.against_baseline, difference_of(mean)
    interval, p = "", ""
    if tested is not None and tested.interval is not None:
        interval = f"[{tested.interval.low:+.3f}, {tested.interval.high:+.3f}]"
    if tested is not None and tested.adjusted_p_value is not None:
        p = bare_p(tested.adjusted_p_value)
    accuracy = mean.estimates[MAIN.name]
    shown = accuracy.interval if complete else None
    ends = "" if shown is None else f"[{shown.low:.3f}, {shown.high:.3f}]"
    cut = mean.intervention if len(mean.intervention) <= _LONGEST else mean.intervention[: _LONGEST - 1] + "…"
    name = marked(cut, mean.uses_target_texts)
    untuned = mean.verdict.is_baseline
    return [
        Cell(name),
        Cell("untuned" if untuned else "" if value is None else f"{value:+.3f}", interval, _is_significant(mean)),
        Cell(p),
        Cell("" if accuracy.value is None else f"{accuracy.value:.3f}", ends),
        Cell(seeds(mean.seeds) if mean.shifts else ""),
        *([] if complete else [Cell(f"{mean.shifts}/{mean.of}")]),
    ]


def _is_significant(mean: MeanSummary) -> bool:
    return mean.verdict.direction in ("up", "down")
