"""Make a card: evaluate the scorer, answer the questions, write the files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genies.card.answers import answers, calibration
from genies.card.content import Card, read_card
from genies.card.measuring import Plan, evaluations_of, plan_targets, request_of
from genies.card.page import references, to_html, to_markdown
from genies.card.picture import write_picture
from genies.card.questions import Question
from genies.errors import InputError
from genies.evaluation_file import Evaluation
from genies.files import read_text, write_text
from genies.lm.text_format import recorded_format
from genies.provenance import surroundings
from genies.shipped import SHIPPED

REFERENCE = Path(__file__).with_name("reference.json")
"""The card of the starter model, SmolLM2-135M-Instruct, by log-probability in raw format."""


FILES = ("index.html", "card.md", "card.svg", "card.png")
"""The files of a card beside card.json."""


@dataclass(frozen=True)
class Order:
    """What to make a card of."""

    model: Path
    scorer: str
    questions: list[Question]
    output: Path
    distributions: Path
    max_examples: int
    eval_kwargs: dict[str, Any]
    other: tuple[Path, str] | None = None
    """A scorer to compare with."""
    more: dict[str, Any] = field(default_factory=dict)
    """Arguments of the main job."""

    def plan(self) -> Plan:
        """The targets; those of transformations are written."""
        shipped = SHIPPED / "distributions"
        return plan_targets(
            self.questions, self.distributions, shipped, self.output / "distributions", self.max_examples
        )

    @property
    def kwargs(self) -> dict[str, Any]:
        return {"max_examples": self.max_examples, **self.eval_kwargs}


def check_output(folder: Path, model: str) -> None:
    """InputError for a folder whose files a card of `model` would replace: those of another model, or of a person."""
    if (folder / "card.json").exists():
        name = read_card(folder / "card.json").name
        if name != model:
            raise InputError(f"--output_dir {folder} contains the card of {name}; give another folder, or delete it")
        return
    taken = [name for name in FILES if (folder / name).exists()]
    if taken:
        raise InputError(
            f"--output_dir {folder} contains {taken[0]}, which is not of a card (there is no card.json); give another "
            "folder"
        )


def make_card(order: Order, root: Path) -> Card:
    """Evaluate the scorer and write card.json, card.md, index.html, card.svg and card.png; returns the card."""
    plan = order.plan()
    evaluations = _evaluated(order, plan, order.model, order.scorer, root)
    others = None if order.other is None else _evaluated(order, plan, *order.other, root)
    one = next(iter(evaluations.values()))
    formats = sorted({each.prompt_format for each in evaluations.values() if each.prompt_format is not None})
    card = Card(
        name=order.model.name,
        scorer=Path(order.scorer).name,
        prompt_format=", ".join(formats) or "none",
        dtype=one.dtype,
        max_examples=order.max_examples,
        warnings=_warnings(order, evaluations, formats),
        answers=answers(order.questions, plan, evaluations, others),
        calibration=calibration(evaluations),
        compared_with=None if order.other is None else order.other[0].name,
        provenance=_provenance(root),
    )
    write_card(card, order.output)
    return card


def write_card(card: Card, folder: Path) -> None:
    """Write the files of a card."""
    reference = read_card(REFERENCE) if REFERENCE.is_file() else None
    if reference is not None and reference.name == card.name and reference.scorer == card.scorer:
        reference = None if reference.prompt_format == card.prompt_format else reference
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(card.model_dump(mode="json"), ensure_ascii=False, indent=1)
    write_text(folder / "card.json", text + "\n")
    write_text(folder / "card.md", to_markdown(card, reference))
    write_text(folder / "index.html", to_html(card, reference))
    write_picture(card, references(card.answers, reference), folder)


def _evaluated(order: Order, plan: Plan, model: Path, scorer: str, root: Path) -> dict[str, Evaluation]:
    request = request_of(model, scorer, plan, order.output, order.kwargs, order.more)
    return evaluations_of(request, root)


def _warnings(order: Order, evaluations: Mapping[str, Evaluation], formats: Sequence[str]) -> list[str]:
    found = []
    template = any((order.model / name).is_file() for name in ("chat_template.jinja", "chat_template.json"))
    config = order.model / "tokenizer_config.json"
    template = template or (config.is_file() and '"chat_template"' in read_text(config, "tokenizer config"))
    tuned_here = recorded_format(order.model) is not None  # it is scored in the format of its training
    if template and not tuned_here and list(formats) == ["raw"]:
        found.append(
            "The model has a chat template, but it was scored in raw format: another way than it is used. "
            "--prompt_format chat scores it in its own."
        )
    assumed = dict.fromkeys(text for each in evaluations.values() for text in each.assumptions or [])
    found += [f"Assumed: {text}" for text in assumed]
    lacking = sorted(name for name in order.plan().folders if name not in evaluations)
    if lacking:
        found.append(f"Not evaluated: {', '.join(lacking)}.")
    return found


def _provenance(root: Path) -> dict[str, str]:
    about = surroundings(root)
    versions = about.get("versions", {})
    shown = {name: str(versions[name]) for name in ("genies", "torch", "transformers") if name in versions}
    return {**shown, **{name: str(about[name]) for name in ("git_commit", "platform") if name in about}}
