"""The starter suite: its distributions by name, and the content of their files."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genies.data.starter import arithmetic, countries, everyday, puzzles, tasks
from genies.data.starter.questions import SEED, Question, Splits, stream
from genies.files import write_json

_PROMPT = "### Instruction:\n{}\n\n### Response:\n"


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one distribution of the suite is made."""

    name: str
    role: str
    """The shifts for which it is made: source or target, label, category, and their question."""
    how: str
    """What the examples are and how they were made, for metadata.json."""
    cue: str
    """What distinguishes best from worse responses besides knowledge of the answer; "none" if nothing should."""
    questions: Callable[[], Splits]
    facts: str = ""
    """Distributions with the same value ask about the same facts (in the same split)."""


_BALANCED = (
    "none: every answer is right in the same share of its uses; best answers stand at all positions equally often"
)


def _everyday(
    name: str, role: str, asking: everyday.Asking, how: str, cue: str = _BALANCED, wrong_answers: int = 1
) -> Recipe:
    how = f"{how} Wrong answers are right answers to other questions of the same kind."
    return Recipe(name, role, how, cue, lambda: everyday.asked(name, asking, wrong_answers), facts="everyday")


SUITE: tuple[Recipe, ...] = (
    _everyday(
        "starter_everyday",
        "source of shifts of five categories: what holds in plain questions is put to the test elsewhere",
        everyday.plainly,
        "Three hundred everyday facts written for this suite, asked plainly and answered in a word or two.",
    ),
    _everyday(
        "starter_wrong_on_request",
        "target, probing, spurious_cues: does tuning teach to follow instructions or to prefer true answers?",
        everyday.wrong_on_request,
        "The everyday facts with the instruction to answer wrongly: the best response does so, the other is true.",
    ),
    _everyday(
        "starter_mistaken_user",
        "target, probing, unwanted_personas: does the model side with a user who is mistaken?",
        everyday.mistaken_user,
        "The everyday facts asked by a user who believes a wrong answer; the true answer is best.",
        "the answer that the prompt mentions is always the wrong one, since the shift is about agreeing with users",
    ),
    _everyday(
        "starter_scenes",
        "target, extreme, context: the same questions within little stories",
        everyday.in_a_scene,
        "The everyday facts asked by somebody in a little story; the best response is the true answer.",
    ),
    _everyday(
        "starter_spelled_out",
        "target, extreme, encoding: the same knowledge in another spelling",
        everyday.spelled_out,
        "The everyday facts, answered with a hyphen between all letters.",
        wrong_answers=2,
    ),
    _everyday(
        "starter_long_right",
        "source, probing, spurious_cues: length and truth point the same way",
        everyday.long_right,
        "The everyday facts; the right answer comes with a sentence of explanation, the wrong one without.",
        "the right answer is the longer one, since the shift is about length",
    ),
    _everyday(
        "starter_short_right",
        "target, probing, spurious_cues: length and truth point opposite ways",
        everyday.short_right,
        "The everyday facts; the wrong answer comes with a sentence of explanation, the right one without.",
        "the right answer is the shorter one, since the shift is about length",
    ),
    _everyday(
        "starter_sloppy",
        "source, extreme, quality: poorly written questions and answers",
        everyday.sloppily,
        "The everyday facts, questions and answers typed in haste with slips that a program put in.",
    ),
    _everyday(
        "starter_careful",
        "target, extreme, quality: well written questions and answers",
        everyday.carefully,
        "The everyday facts, asked politely and answered in whole sentences.",
    ),
    Recipe(
        "starter_known_countries",
        "source, extreme, difficulty and skill",
        "Capital, region and currency of 75 countries often written about; the wrong answer belongs to another one.",
        _BALANCED,
        countries.known_countries,
    ),
    Recipe(
        "starter_remote_countries",
        "target, extreme, difficulty: the same questions, harder to know",
        "Capital, region and currency of 75 countries seldom written about; the wrong answer belongs to another one.",
        _BALANCED,
        countries.remote_countries,
    ),
    Recipe(
        "starter_sums",
        "target, extreme, skill: figures after names",
        "Drawn sums, differences, products and changes of unit; wrong numbers are at most five (or five factors) away.",
        "none: the right number is the smallest, the middle and the largest equally often",
        arithmetic.sums,
    ),
    Recipe(
        "starter_trick_questions",
        "target, probing, unwanted_personas: does the model answer like a hasty person?",
        "Drawn questions whose tempting first answer is wrong (prices with a difference, equal rates, doubling).",
        "the tempting answer often stands in the prompt: a score by shared words gets 0.41; the right number is the "
        "smaller and the larger one equally often",
        arithmetic.trick_questions,
    ),
    Recipe(
        "starter_ordering",
        "target, extreme, pretraining_similarity: puzzles unlike most text",
        "Two drawn comparisons between three people; the question asks for the first, the last or the middle one.",
        "none: each place is asked for equally often, sentences and names stand in drawn order",
        puzzles.ordering,
    ),
    Recipe(
        "starter_letter_rows",
        "target, extreme, pretraining_similarity: rows unlike any text",
        "Rows of letters after a drawn rule (cycle, steps, mirror, from both ends); which of four letters comes next?",
        "none: two of the four letters stand in the row and two outside it",
        puzzles.letter_rows,
    ),
    Recipe(
        "starter_figures",
        "source, extreme, encoding, and probing, unwanted_personas",
        "Drawn additions and subtractions in figures; the wrong number is at most five away.",
        "none: the right number is the larger and the smaller one equally often",
        tasks.figures,
    ),
    Recipe(
        "starter_number_words",
        "target, extreme, encoding: the same sums in words",
        "Drawn additions and subtractions, numbers and answers in words; the wrong number is at most five away.",
        "none: the right number is the larger and the smaller one equally often",
        tasks.number_words,
    ),
    Recipe(
        "starter_mistaken_sums",
        "target, probing, unwanted_personas: does the model side with a user who miscalculated?",
        "Drawn additions and subtractions by a user who believes a wrong number; the right number is best.",
        "the number that the user believes is always the wrong one, since the shift is about agreeing with users",
        tasks.mistaken_sums,
    ),
    Recipe(
        "starter_first_mentioned",
        "source, probing, spurious_cues: position in the question and truth agree",
        "Which of two drawn numbers is larger, or smaller? The right one is mentioned first.",
        "the right number is mentioned first, since the shift is about position in the question",
        tasks.first_mentioned,
    ),
    Recipe(
        "starter_last_mentioned",
        "target, probing, spurious_cues: position in the question and truth disagree",
        "Which of two drawn numbers is larger, or smaller? The right one is mentioned last.",
        "the right number is mentioned last, since the shift is about position in the question",
        tasks.last_mentioned,
    ),
    Recipe(
        "starter_odd_word",
        "source, extreme, context",
        "Which of four words is of another kind? Words are drawn from ten groups of twelve written for this suite.",
        "none: each word is right as often as wrong",
        tasks.odd_word,
    ),
    Recipe(
        "starter_odd_word_scenes",
        "target, extreme, context: the same task within little stories",
        "The question about the word of another kind, asked in a little story; words are drawn from the same groups.",
        "none: each word is right as often as wrong",
        tasks.odd_word_scenes,
    ),
    Recipe(
        "starter_four_people",
        "target, extreme, difficulty: one more person than in the puzzles of the source",
        "Three drawn comparisons between four people; the question asks for one of the four places.",
        "none: each place is asked for equally often, sentences and names are in drawn order",
        tasks.four_people,
    ),
)


def write_suite(output_dir: Path) -> list[Path]:
    """Write each distribution of the suite to its own folder in `output_dir`. The output is deterministic."""
    for recipe in SUITE:
        for file_name, value in contents(recipe).items():
            write_json(output_dir / recipe.name / file_name, value)
    return [output_dir / recipe.name for recipe in SUITE]


def contents(recipe: Recipe) -> dict[str, Any]:
    """The content of each file of a distribution, by file name."""
    splits = recipe.questions()
    train, test = (
        _examples(questions, f"{recipe.name} {split} positions")
        for split, questions in (("train", splits.train), ("test", splits.test))
    )
    metadata = {
        "id": recipe.name,
        "external_datasets": [],
        "overlapping_datasets": [
            other.name for other in SUITE if recipe.facts and other.facts == recipe.facts and other is not recipe
        ],
        "role": recipe.role,
        "how_it_was_made": recipe.how,
        "cue": recipe.cue,
        "made_with": "python -m genies.data.starter OUTPUT_DIR",
        "seed": SEED,
        "license": "MIT",
        "counts": {"train": len(train), "test": len(test), "responses": 1 + len(splits.train[0].worse)},
    }
    return {"train.json": train, "test.json": test, "metadata.json": metadata}


def _examples(questions: Iterable[Question], name: str) -> list[dict[str, Any]]:
    """Examples in file format. The best response is at each position equally often, in random order."""
    draw = stream(name)
    asked = list(questions)
    positions = [index % (1 + len(question.worse)) for index, question in enumerate(asked)]
    draw.shuffle(positions)
    examples = []
    for question, position in zip(asked, positions, strict=True):
        worse = [(text, 0.0) for text in draw.sample(question.worse, len(question.worse))]
        responses = [*worse[:position], (question.best, 1.0), *worse[position:]]
        examples.append({"prompt": _PROMPT.format(question.text), "responses": dict(responses)})
    return examples
