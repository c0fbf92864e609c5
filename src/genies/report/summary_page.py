"""The first page: metrics of interventions over all shifts and over groups of shifts, and the heat map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from genies.report.browser import Browser
from genies.report.cells import Entry, Grid
from genies.report.drawing import Line, Scale, axis, scale_of, track
from genies.report.figures import BASELINE, CAPABILITY, MAIN, METRICS
from genies.report.heat import heat_map
from genies.report.pages import Site
from genies.report.paper_figures import write_paper_figures
from genies.report.published import DRAWN, Published, published_for
from genies.report.sentences import Contender, Lead, lead
from genies.report.study import Study
from genies.report.summary import Group, MeanSummary, Summary
from genies.report.tables import to_csv, to_json, to_latex, to_markdown
from genies.report.verdicts import is_rival, tests_of

COLUMNS = (
    "generalization_accuracy",
    "differential_elicitation",
    "source_ID_accuracy",
    "RMS_calibration_error",
    "brier_score",
    "log_loss",
)
"""The metrics in the page's tables. The reference lines show two more, and the copied tables contain all."""

SIGNED = ("differential_elicitation", "margin")


def write_summary_page(site: Site, study: Study, summary: Summary, grid: Grid, browser: Browser) -> None:
    published = published_for(grid.shifts)
    whole = summary.groups[0]
    site.page(
        "index.html",
        "index.html",
        "summary",
        title=_title(grid),
        about=_about(study, summary, grid),
        leads=[each for model in grid.models if (each := _lead(whole, model, grid)) is not None],
        groups=[
            _group(group, number, grid, published if group is whole else None, _copies(summary, group))
            for number, group in enumerate(summary.groups)
        ],
        metrics=[metric for metric in METRICS if metric.name in COLUMNS],
        signed=SIGNED,
        weights=summary.weights,
        several_models=len(grid.models) > 1,
        heat=heat_map(grid),
        tables=write_tables(site, summary),
        figures=write_paper_figures(site, whole, grid),
        published=published,
        drawn=DRAWN,
        notes=[*summary.notes, *browser.notes],
        interventions=len({entry.intervention for entry in grid.entries}),
    )


def write_tables(site: Site, summary: Summary) -> list[dict[str, str]]:
    """Write files with all values, and return their addresses and titles."""
    folder = site.folder / "tables"
    folder.mkdir()
    files = (
        ("shifts.csv", "every shift (CSV)", to_csv(summary)),
        ("means.csv", "means (CSV)", to_csv(summary, "means")),
        ("tables.md", "tables (Markdown)", to_markdown(summary)),
        ("tables.tex", "tables (LaTeX)", to_latex(summary)),
        ("summary.json", "everything (JSON)", to_json(summary)),
    )
    for name, _, text in files:
        (folder / name).write_bytes(text.encode("utf-8"))
    return [{"href": f"tables/{name}", "title": title} for name, title, _ in files]


def _copies(summary: Summary, group: Group) -> dict[str, str]:
    """The table of one group as text, by format."""
    alone = replace(summary, groups=[group])
    return {
        "Markdown": to_markdown(alone, ["means"]),
        "LaTeX": to_latex(alone, ["means"]),
        "CSV": to_csv(alone, "means"),
    }


def _title(grid: Grid) -> str:
    interventions = len({entry.intervention for entry in grid.entries})
    shifts = len(grid.shifts)
    first = (
        "How one intervention generalizes"
        if interventions == 1
        else f"How {_words(interventions)} interventions generalize"
    )
    return f"{first} over {_words(shifts)} shift{'' if shifts == 1 else 's'}"


def _words(count: int) -> str:
    small = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
    return small[count] if count < len(small) else str(count)


def _about(study: Study, summary: Summary, grid: Grid) -> list[str]:
    """Short facts about the study."""
    seeds = {each.seed for each in study.shifts if each.seed is not None}
    formats = sorted({reading.evaluation.dtype for reading in study.readings if reading.evaluation.dtype})
    unverified = sum(not reading.verified for reading in study.readings)
    words = [", ".join(grid.models)]
    if len(seeds) > 1:
        words.append(f"{len(seeds)} seeds")
    words.append(f"{len(study.readings):,} evaluations")
    if formats:
        words.append(" and ".join(formats))
    chat = {reading.evaluation.prompt_format for reading in study.readings} - {None}
    if "chat" in chat:
        words.append("chat format" if len(chat) == 1 else "chat and raw format")
    words.append("all verified" if unverified == 0 else f"{unverified:,} unverified")
    if summary.weights == "published":
        words.append("shifts weighted as in the release")
    return words


def _lead(group: Group, model: str, grid: Grid) -> tuple[str, str, Lead] | None:
    """A base model, the shifts of its means, and the opening sentences about it.

    Only means over the same shifts are compared; interventions with missing shifts are listed separately. None if
    several interventions have means but none over all shifts, or if there is no mean.
    """
    means = [mean for mean in group.means if mean.base_model == model and _value(mean, MAIN.name) is not None]
    complete = [mean for mean in means if mean.shifts == mean.of]
    compared = complete or (means if len(means) == 1 else [])
    left_out = [mean.intervention for mean in group.means if mean.base_model == model and mean not in compared]
    said = lead([_contender(mean, group, grid) for mean in compared], left_out)
    if said is None:
        return None
    if len(group.shifts) == 1:
        return model, f"On {group.shifts[0]}".replace(" > ", " → "), said
    shifts = f"{compared[0].shifts} shifts" if complete else f"{compared[0].shifts} of {compared[0].of} shifts"
    return model, f"On average over {shifts}", said


def _contender(mean: MeanSummary, group: Group, grid: Grid) -> Contender:
    estimate = mean.estimates[MAIN.name]
    assert estimate.value is not None
    cells = grid.of_entry(Entry(mean.base_model, mean.intervention), group.shifts)
    references = {seed.row.target_tuned_capability_intervention for cell in cells for seed in cell.seeds}
    return Contender(
        mean.intervention,
        estimate.value,
        estimate.interval,
        mean.verdict,
        _value(mean, BASELINE.name),
        _value(mean, CAPABILITY.name),
        " and ".join(sorted(references)),
        any(is_rival(cell.summary) for cell in cells),
    )


def _value(mean: MeanSummary, metric: str) -> float | None:
    return mean.estimates[metric].value


def _group(
    group: Group, number: int, grid: Grid, published: Published | None, copies: Mapping[str, str]
) -> dict[str, Any]:
    scale = _scale(group, published)
    return {
        "id": f"group-{number}",
        "name": group.name.replace("_", " "),
        "kind": group.kind,
        "shifts": len(group.shifts),
        "models": [_model(group, model, scale, grid, published) for model in grid.models],
        "axis": axis(scale),
        "incomplete": any(mean.shifts < mean.of for mean in group.means),
        "sources": len({shift.source for shift in group.shifts}),
        "few": any(each.limit for mean in group.means for each in mean.estimates.values()),
        "seeded": len({mean.seeds for mean in group.means if mean.shifts}) > 1,
        "marked": any(mark.starred for mean in group.means for mark in mean.verdict.marks.values()),
        "tests": tests_of(each for mean in group.means for each in mean.verdict.differences),
        "copies": copies,
    }


def _scale(group: Group, published: Published | None) -> Scale:
    values = [0.5]
    for mean in group.means:
        for metric in (MAIN.name, BASELINE.name, CAPABILITY.name):
            value = _value(mean, metric)
            values += [] if value is None else [value]
        interval = mean.estimates[MAIN.name].interval
        values += [] if interval is None else [interval.low, interval.high]
        diamond = published.value(mean.intervention, MAIN.name) if published else None
        values += [] if diamond is None else [diamond]
    return scale_of(values)


def _row(mean: MeanSummary, scale: Scale, published: Published | None) -> dict[str, Any]:
    baseline = _value(mean, "baseline_accuracy")
    capability = _value(mean, "target_tuned_capability")
    lines = [
        Line(value, kind) for value, kind in ((baseline, "baseline"), (capability, "capability")) if value is not None
    ]
    estimate = mean.estimates[MAIN.name]
    interval = None if estimate.interval is None else (estimate.interval.low, estimate.interval.high)
    diamond = published.value(mean.intervention, MAIN.name) if published else None
    return {
        "mean": mean,
        "track": track(scale, estimate.value, interval, lines, diamond, mean.verdict.direction),
        "published": diamond,
    }


def _model(group: Group, model: str, scale: Scale, grid: Grid, published: Published | None) -> dict[str, Any]:
    """The rows of one base model in descending order of accuracy, and the values of its reference lines."""
    means = [mean for mean in group.means if mean.base_model == model]
    means.sort(key=lambda mean: (_value(mean, MAIN.name) is None, -(_value(mean, MAIN.name) or 0)))
    baselines = _references(group, means, grid, "baseline_intervention", "baseline_accuracy")
    capabilities = _references(group, means, grid, "target_tuned_capability_intervention", "target_tuned_capability")
    return {
        "name": model,
        "rows": [_row(mean, scale, published) for mean in means],
        "baselines": baselines,
        "capabilities": capabilities,
    }


def _references(
    group: Group, means: Sequence[MeanSummary], grid: Grid, column: str, metric: str
) -> list[tuple[str, float]]:
    """The name and value of each reference, from the most complete of the means compared with it."""
    found: dict[str, float] = {}
    for mean in sorted(means, key=lambda each: -each.shifts):
        entry = Entry(mean.base_model, mean.intervention)
        cells = grid.of_entry(entry, group.shifts)
        names = {getattr(reading.row, column) for cell in cells for reading in cell.seeds}
        value = _value(mean, metric)
        if value is not None:
            found.setdefault(" and ".join(sorted(names)), value)
    return list(found.items())
