"""A card as one HTML file without scripts from elsewhere, as Markdown with metadata for model hubs, and as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from genies import markdown
from genies.card.content import Answer, Card
from genies.report.drawing import Line, Scale, track
from genies.report.embedding import visible

LIMITS = (
    "All targets are in English, apart from two in Spanish.",
    "A question is answered by the few data sets named under it; each is one sample of what the question is about.",
    "The interval is about other prompts of the same targets, not about other targets.",
    "Labels have known defects where a mark says so.",
    "Nothing is summed into one score: the questions are not of equal weight.",
)
"""What a card does not say."""


def references(answers: Sequence[Answer], reference: Card | None) -> dict[str, float]:
    """The reference's share for each question whose targets it was evaluated on, by the id of the question.

    The shares on single targets are averaged with the numbers of pairs of the answer, so that the reference can be
    compared whichever of its targets are installed.
    """
    if reference is None:
        return {}
    theirs = {each.id: {of.target: of.share for of in each.targets} for each in reference.answers}
    found = {}
    for answer in answers:
        known = theirs.get(answer.id, {})
        pairs = sum(of.pairs for of in answer.targets)
        if pairs and all(of.target in known for of in answer.targets):
            found[answer.id] = sum(known[of.target] * of.pairs for of in answer.targets) / pairs
    return found


def to_html(card: Card, reference: Card | None) -> str:
    """The page; the same bytes for the same card."""
    template = _environment().get_template("card.html")
    return template.render(
        card=card,
        limits=LIMITS,
        references=references(card.answers, reference),
        reference_name=reference.name if reference else None,
        track=_track,
        shown=_shown,
        visible=visible,
    )


def to_markdown(card: Card, reference: Card | None) -> str:
    """A section for a model's README, after YAML metadata in the form of model hubs (model-index)."""
    known = references(card.answers, reference)
    results = [
        {
            "task": {"type": "text-classification", "name": "preference"},
            "dataset": {"name": each.question, "type": f"genies-card/{each.id}"},
            "metrics": [{"type": "accuracy", "name": "share of pairs", "value": round(each.share, 4)}],
        }
        for each in card.answers
        if each.share is not None
    ]
    metadata = yaml.safe_dump(
        {"model-index": [{"name": card.name, "results": results}]}, sort_keys=False, allow_unicode=True, width=1000
    )
    header = ["question", "share", "95 % interval", "prompts", *([reference.name] if reference else [])]
    header += [f"minus {card.compared_with}"] if card.compared_with else []
    rows = []
    for each in card.answers:
        row = [markdown.escaped(each.question + (f" ({'; '.join(each.marks)})" if each.marks else ""))]
        row += [_shown(each.share), _interval(each), str(each.prompts) if each.prompts else ""]
        row += [_shown(known[each.id]) if each.id in known else ""] if reference else []
        row += [_difference(each)] if card.compared_with else []
        rows.append(row)
    lines = ["---", metadata.rstrip(), "---", "", f"## Generalization card of {markdown.escaped(card.name)}", ""]
    about = f"Scored by {card.scorer}, prompt format {card.prompt_format}"
    lines += [f"{about}, at most {card.max_examples} examples of a target. Chance is 0.5.", ""]
    lines += [f"**Warning:** {markdown.escaped(each)}\n" for each in card.warnings]
    lines += markdown.table(header, rows, numbers=range(1, len(header)))
    if card.calibration is not None:
        found = card.calibration
        lines += ["", f"RMS calibration error {found.rms_error:.3f} over {found.pairs:,} pairs: mean confidence "
                  f"{found.average_confidence:.3f}, accuracy {found.accuracy:.3f}."]  # fmt: skip
    return "\n".join([*lines, "", *(f"- {each}" for each in LIMITS)]) + "\n"


def collected(cards: Mapping[Path, Card]) -> str:
    """A sortable HTML table of many cards: a row a scorer, a column a question."""
    questions = {each.id: each.question for card in cards.values() for each in card.answers}
    rows = [(card, {each.id: each for each in card.answers}) for card in cards.values()]
    return _environment().get_template("collected.html").render(questions=questions, rows=rows, shown=_shown)


def _environment() -> Environment:
    found = Environment(
        loader=PackageLoader("genies.card", "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    return found


def _track(answer: Answer, reference: float | None) -> Markup:
    lines = [Line(0.5, "chance"), *([] if reference is None else [Line(reference, "reference")])]
    interval = None if answer.low is None or answer.high is None else (answer.low, answer.high)
    return track(Scale(), answer.share, interval, lines)


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _interval(answer: Answer) -> str:
    return "" if answer.low is None else f"[{answer.low:.2f}, {answer.high:.2f}]"


def _difference(answer: Answer) -> str:
    if answer.difference is None:
        return ""
    ends = "" if answer.difference_low is None else f" [{answer.difference_low:+.2f}, {answer.difference_high:+.2f}]"
    p = answer.adjusted_p_value
    return f"{answer.difference:+.2f}{ends}" + ("" if p is None else f", p = {p:.3f}")
