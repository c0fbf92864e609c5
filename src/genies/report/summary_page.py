"""The first page: for each suite, which intervention generalizes best, and the heat map of all shifts."""

from __future__ import annotations

from collections.abc import Sequence

from genies.report.browser import Browser
from genies.report.figures import METRICS
from genies.report.pages import Site
from genies.report.section import Part, section
from genies.report.study import Study

COLUMNS = ("differential_elicitation", "source_ID_accuracy", "RMS_calibration_error", "brier_score", "log_loss")
"""The metrics of the second table, after generalization. The copied tables contain all."""

SIGNED = ("differential_elicitation", "margin")


def write_summary_page(site: Site, study: Study, parts: Sequence[Part], browser: Browser) -> None:
    sections = [section(site, part, browser) for part in parts]
    site.page(
        "index.html",
        "index.html",
        "summary",
        title=_title(parts),
        about=_about(study, parts),
        sections=sections,
        metrics=[metric for metric in METRICS if metric.name in COLUMNS],
        signed=SIGNED,
        notes=[*study.notes, *browser.notes],
        weights=parts[0].summary.weights,
    )


def _title(parts: Sequence[Part]) -> str:
    interventions = len({entry.intervention for part in parts for entry in part.grid.entries})
    shifts = sum(len(part.grid.shifts) for part in parts)
    first = (
        "How one intervention generalizes"
        if interventions == 1
        else f"How {_words(interventions)} interventions generalize"
    )
    return f"{first} over {_words(shifts)} shift{'' if shifts == 1 else 's'}"


def _words(count: int) -> str:
    small = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
    return small[count] if count < len(small) else str(count)


def _about(study: Study, parts: Sequence[Part]) -> list[str]:
    """Short facts about the study that its set-up lines do not contain."""
    unverified = sum(not reading.verified for reading in study.readings)
    models = {model for part in parts for model in part.grid.models}
    words = [f"{len(parts)} suites"] if len(parts) > 1 else []
    words += [f"{len(models)} base models"] if len(models) > 1 else []
    words.append(f"{len(study.readings):,} evaluations")
    words.append("all verified" if unverified == 0 else f"{unverified:,} unverified")
    if parts[0].summary.weights == "published":
        words.append("shifts weighted as in the release")
    return words
