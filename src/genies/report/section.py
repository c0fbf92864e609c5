"""The section of one suite on the first page: opening sentences, tables of groups of shifts, and the heat map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from genies.metrics.verdict import Difference
from genies.report.browser import Browser
from genies.report.cells import Entry, Grid
from genies.report.drawing import Line, Scale, axis, scale_of, track
from genies.report.figures import BASELINE, CAPABILITY, MAIN
from genies.report.heat import heat_class, heat_maps
from genies.report.ordering import best_first, difference_of
from genies.report.pages import Site, slug_of
from genies.report.paper_figures import HeatFigure, MeansFigure, figure_files, paper_figures
from genies.report.published import DRAWN, Published, published_for
from genies.report.samples import write_script
from genies.report.sentences import Contender, Lead, lead
from genies.report.setup import differing, setup_line
from genies.report.suites import Suite
from genies.report.summary import Group, MeanSummary, Summary
from genies.report.tables import to_csv, to_json, to_latex, to_markdown
from genies.report.verdicts import is_rival, tests_of


@dataclass(frozen=True)
class Part:
    """A suite with its statistics and cells."""

    suite: Suite
    summary: Summary
    grid: Grid
    alone: bool
    """Whether it is the only suite of the report; its files and headings then have no name."""

    @cached_property
    def figures(self) -> list[MeansFigure | HeatFigure]:
        """Its figures for papers."""
        return paper_figures(self.summary.groups[0], self.grid, self.prefix)

    @property
    def prefix(self) -> str:
        """The beginning of its identifiers and file names."""
        return "" if self.alone else f"{slug_of(self.suite.name)}-"


def section(site: Site, part: Part, browser: Browser) -> dict[str, Any]:
    """The content of one suite's section. Writes its files with tables and figures."""
    summary, grid = part.summary, part.grid
    published = published_for(grid.shifts)
    whole = summary.groups[0]
    several = len(grid.models) > 1
    return {
        "name": part.suite.name,
        "prefix": part.prefix,
        "shifts": len(grid.shifts),
        "setups": _setups(part),
        "warnings": differing(part.suite.study.shifts),
        "leads": [each for model in grid.models if (each := _lead(whole, model, grid)) is not None],
        "overview": _overview(whole, grid) if several else None,
        "groups": [
            _group(group, f"{part.prefix}group-{number}", grid, published, _copies(site, part, number))
            for number, group in enumerate(summary.groups)
        ],
        "weights": summary.weights,
        "several_models": several,
        "models": grid.models,
        "heat": _heat(site, part, browser),
        "tables": _write_tables(site, part),
        "figures": figure_files(part.figures),
        "published": published,
        "drawn": DRAWN,
    }


def _setups(part: Part) -> list[list[str]]:
    """The set-up of each base model. With several models, one line if they have the same, and none if it is unknown."""
    lines = [setup_line(part.suite.study.shifts, model) for model in part.grid.models]
    if len(lines) > 1 and all(line[1:] == lines[0][1:] for line in lines):
        lines = [[", ".join(part.grid.models), *lines[0][1:]]]
    return lines if len(lines) == 1 else [line for line in lines if len(line) > 1]


def _heat(site: Site, part: Part, browser: Browser) -> dict[str, Any]:
    """The heat maps. The lines of their tooltips are in files that are loaded on first use."""
    heat = heat_maps(part.grid, browser, part.summary.groups[0])
    for number, each in enumerate(heat["maps"]):
        each["key"] = f"details/{part.prefix}heat-{number}"
        write_script(site.folder / "data" / f"{each['key']}.js", each["key"], each.pop("details"))
    return heat


def _write_tables(site: Site, part: Part) -> list[dict[str, str]]:
    """Write files with all values, and return their addresses and titles."""
    folder = site.folder / "tables"
    folder.mkdir(exist_ok=True)
    summary = part.summary
    files = (
        ("shifts.csv", "every shift (CSV)", to_csv(summary)),
        ("means.csv", "means (CSV)", to_csv(summary, "means")),
        ("tables.md", "tables (Markdown)", to_markdown(summary)),
        ("tables.tex", "tables (LaTeX)", to_latex(summary)),
        ("summary.json", "everything (JSON)", to_json(summary)),
    )
    for name, _, text in files:
        (folder / f"{part.prefix}{name}").write_bytes(text.encode("utf-8"))
    return [{"href": f"tables/{part.prefix}{name}", "title": title} for name, title, _ in files]


def _copies(site: Site, part: Part, number: int) -> list[str]:
    """Write the table of one group as text in a file that is loaded when it is copied, and return the formats."""
    alone = replace(part.summary, groups=[part.summary.groups[number]])
    texts = {
        "Markdown": to_markdown(alone, ["means"]),
        "LaTeX": to_latex(alone, ["means"]),
        "CSV": to_csv(alone, "means"),
    }
    key = f"copies/{part.prefix}group-{number}"
    write_script(site.folder / "data" / f"{key}.js", key, texts)
    return list(texts)


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
    return model, f"On {'average over ' if compared[0].shifts > 1 else ''}{shifts}", said


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


def _overview(group: Group, grid: Grid) -> dict[str, Any]:
    """The matrix of interventions and base models, and for each model the best intervention."""
    by_key = {(mean.base_model, mean.intervention): mean for mean in group.means}
    names = list(dict.fromkeys(mean.intervention for mean in sorted(group.means, key=best_first)))
    best = [mean for mean in group.means if mean.verdict.mark(MAIN.name).standing == "best"]
    above = [mean for mean in best if mean.verdict.direction == "up"]
    return {
        "rows": [
            {
                "name": name,
                "means": [
                    None if (mean := by_key.get((model, name))) is None else _summary_cell(mean)
                    for model in grid.models
                ],
            }
            for name in names
            if any((mean := by_key.get((model, name))) and mean.shifts for model in grid.models)
        ],
        "best": [(mean.base_model, mean.intervention, difference_of(mean)) for mean in best],
        "above": [mean.base_model for mean in above],
    }


def _summary_cell(mean: MeanSummary) -> dict[str, Any]:
    tested, difference = mean.verdict.against_baseline, difference_of(mean)
    return {
        "mean": mean,
        "difference": difference,
        "kind": heat_class(difference, mean.verdict.direction),
        "p": tested.adjusted_p_value if tested else None,
    }


def _group(
    group: Group, identity: str, grid: Grid, published: Published | None, copies: Sequence[str]
) -> dict[str, Any]:
    whole = group.kind == "all"
    scale = _scale(group, published if whole else None)
    means = group.means
    return {
        "id": identity,
        "name": group.name.replace("_", " "),
        "kind": group.kind,
        "shifts": len(group.shifts),
        "models": [_model(group, model, scale, grid, published if whole else None) for model in grid.models],
        "axis": axis(scale, signed=True),
        "incomplete": any(mean.shifts < mean.of for mean in means),
        "sources": len({shift.source for shift in group.shifts}),
        "few": any(each.limit for mean in means for each in mean.estimates.values()),
        "seeded": any(mean.seeds != (1, 1) for mean in means if mean.shifts),
        "marked": any(mark.starred for mean in means for mark in mean.verdict.marks.values()),
        "tests": tests_of(each for mean in means for each in mean.verdict.differences),
        "copies": copies,
    }


def _published_difference(published: Published | None, intervention: str) -> float | None:
    if published is None:
        return None
    values = [published.value(intervention, metric.name) for metric in (MAIN, BASELINE)]
    return None if values[0] is None or values[1] is None else values[0] - values[1]


def _scale(group: Group, published: Published | None) -> Scale:
    values = [0.0]
    for mean in group.means:
        tested = mean.verdict.against_baseline
        for value in (difference_of(mean), _published_difference(published, mean.intervention), _capability(mean)):
            values += [] if value is None else [value]
        if tested is not None and tested.interval is not None:
            values += [tested.interval.low, tested.interval.high]
    return scale_of(values)


def _capability(mean: MeanSummary) -> float | None:
    """The target-tuned capability minus the baseline."""
    capability, baseline = _value(mean, CAPABILITY.name), _value(mean, BASELINE.name)
    return None if capability is None or baseline is None else capability - baseline


def _row(mean: MeanSummary, scale: Scale, published: Published | None) -> dict[str, Any]:
    capability = _capability(mean)
    lines = [Line(0.0, "zero"), *([] if capability is None else [Line(capability, "capability")])]
    tested: Difference | None = mean.verdict.against_baseline
    interval = None if tested is None or tested.interval is None else (tested.interval.low, tested.interval.high)
    diamond = _published_difference(published, mean.intervention)
    value = difference_of(mean)
    return {
        "mean": mean,
        "tested": tested,
        "difference": value,
        "track": track(scale, value, interval, lines, diamond, mean.verdict.direction),
        "published": diamond,
    }


def _model(group: Group, model: str, scale: Scale, grid: Grid, published: Published | None) -> dict[str, Any]:
    """The rows of one base model, best first, and the values of its reference lines."""
    means = sorted((mean for mean in group.means if mean.base_model == model), key=best_first)
    return {
        "name": model,
        "rows": [_row(mean, scale, published) for mean in means],
        "baselines": _references(group, means, grid, "baseline_intervention", BASELINE.name),
        "capabilities": _references(group, means, grid, "target_tuned_capability_intervention", CAPABILITY.name),
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
