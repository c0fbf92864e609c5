"""The starter suite: made again byte for byte, true, balanced, and without shortcuts that need no understanding."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from random import Random

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from genies.data.distribution import Distribution, Pair, pairs
from genies.data.shifts import read_shifts
from genies.data.starter import countries, everyday, tasks
from genies.data.starter.questions import exchanged, near_numbers
from genies.data.starter.suite import SUITE
from genies.metrics.shift_means import FEWEST_SOURCES

ROOT = Path(__file__).resolve().parents[2]
DISTRIBUTIONS = ROOT / "distributions"
SHIFTS = read_shifts(ROOT / "distribution_shifts" / "starter_all.json")
NAMES = [recipe.name for recipe in SUITE]
ABOUT_A_CUE = {recipe.name for recipe in SUITE if not recipe.cue.startswith("none")}


@pytest.fixture(scope="module", params=NAMES)
def distribution(request: pytest.FixtureRequest) -> Distribution:
    return Distribution(DISTRIBUTIONS / request.param)


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONHASHSEED": "77"}
    argv = [sys.executable, "-m", "genies.data.starter", *arguments]
    return subprocess.run(argv, capture_output=True, text=True, env=environment, check=False)


def test_the_generator_makes_the_committed_files_again_byte_for_byte(tmp_path: Path) -> None:
    assert command(str(tmp_path)).returncode == 0

    def files(folder: Path) -> dict[str, bytes]:
        return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.glob("starter_*/*"))}

    made, committed = files(tmp_path), files(DISTRIBUTIONS)
    assert list(made) == list(committed)
    assert [name for name in made if made[name] != committed[name]] == []
    assert sum(map(len, committed.values())) < 2_000_000


@pytest.mark.parametrize("arguments", [(), ("one", "two"), ("--help-me",)])
def test_the_generator_says_what_it_expects(arguments: tuple[str, ...]) -> None:
    done = command(*arguments)
    assert done.returncode == 2
    assert "python -m genies.data.starter OUTPUT_DIR" in done.stderr
    assert "Traceback" not in done.stderr


def test_sizes_and_metadata_agree(distribution: Distribution) -> None:
    responses = {len(example.responses) for example in distribution.train + distribution.test}
    assert len(responses) == 1
    counts = {"train": len(distribution.train), "test": len(distribution.test), "responses": responses.pop()}
    assert counts == distribution.metadata["counts"]
    assert (counts["train"], counts["test"]) == (200, 100)
    assert 2 <= counts["responses"] <= 4
    assert distribution.metadata["id"] == distribution.name
    assert distribution.metadata["license"] == "MIT"
    assert set(distribution.metadata["overlapping_datasets"]) < set(NAMES)


def test_no_prompt_stands_twice(distribution: Distribution) -> None:
    prompts = [example.prompt_text for example in distribution.train + distribution.test]
    assert len(set(prompts)) == 300


def test_best_responses_stand_at_all_positions_equally_often(distribution: Distribution) -> None:
    for split in (distribution.train, distribution.test):
        counts = Counter(example.best for example in split)
        assert set(counts) == {(place,) for place in range(len(split[0].responses))}
        assert max(counts.values()) - min(counts.values()) <= 1


def test_examples_are_short(distribution: Distribution) -> None:
    characters = [len(example.prompt_text) + sum(map(len, example.responses)) for example in distribution.train]
    assert np.mean(characters) < 240  # about 60 tokens


def share_preferred(examples: list[Pair], score: Callable[[str, str], float]) -> float:
    """Accuracy of a score of (prompt, response) over pairs, ties at one half."""
    differences = [score(pair.prompt_text, pair.best) - score(pair.prompt_text, pair.worse) for pair in examples]
    return float(np.mean(np.heaviside(differences, 0.5)))


def number(prompt: str, response: str) -> float:
    return float(response) if response.isdigit() else 0.0


def length(prompt: str, response: str) -> float:
    return len(response)


def words(prompt: str, response: str) -> float:
    return len(response.split())


def echo(prompt: str, response: str) -> float:
    """Share of the response's words that the prompt holds."""
    found = re.findall(r"\w+", response.lower())
    return len(set(found) & set(re.findall(r"\w+", prompt.lower()))) / len(set(found))


@pytest.mark.parametrize("score", [length, words, number, echo])
@pytest.mark.parametrize("name", [name for name in NAMES if name not in ABOUT_A_CUE])
def test_no_surface_score_tells_right_from_wrong(name: str, score: Callable[[str, str], float]) -> None:
    distribution = Distribution(DISTRIBUTIONS / name)
    accuracy = share_preferred(pairs(distribution.train + distribution.test), score)
    # A tempting answer to a trick question is often a number of the question: that much is the trick.
    tolerance = 0.15 if (name, score) == ("starter_trick_questions", echo) else 0.07
    assert accuracy == pytest.approx(0.5, abs=tolerance)


def bag_of_words_accuracy(distribution: Distribution, analyzer: str) -> float:
    """Test accuracy of a logistic regression on the words or letters of the responses, which never sees the prompt."""
    count = CountVectorizer(analyzer=analyzer, ngram_range=(1, 2), token_pattern=r"\S+" if analyzer == "word" else None)
    train, test = pairs(distribution.train), pairs(distribution.test)
    count.fit([pair.best for pair in train] + [pair.worse for pair in train])
    known, unknown = (
        (count.transform([pair.best for pair in part]) - count.transform([pair.worse for pair in part])).toarray()
        for part in (train, test)
    )
    labels = np.repeat([1, 0], len(train))
    classifier = LogisticRegression(fit_intercept=False, max_iter=1000).fit(np.vstack([known, -known]), labels)
    return float(np.mean(np.heaviside(np.round(classifier.decision_function(unknown), 6), 0.5)))


@pytest.mark.parametrize("analyzer", ["word", "char"])
def test_the_words_of_a_response_alone_do_not_tell_right_from_wrong(distribution: Distribution, analyzer: str) -> None:
    accuracy = bag_of_words_accuracy(distribution, analyzer)
    if distribution.name in ("starter_long_right", "starter_short_right"):
        assert accuracy > 0.95, "the cue that the shift is about"
    else:
        assert accuracy < 0.65


def test_length_points_to_opposite_answers_in_the_length_shift() -> None:
    for name, accuracy in (("starter_long_right", 1.0), ("starter_short_right", 0.0)):
        assert share_preferred(pairs(Distribution(DISTRIBUTIONS / name).test), length) == accuracy


def test_the_mistaken_user_names_the_wrong_answer_every_time() -> None:
    for example in Distribution(DISTRIBUTIONS / "starter_mistaken_user").test:
        assert example.prompt_text.split("\n")[1].endswith(f": {example.worse_responses[0]}.")


def test_shifts_name_distributions_of_the_suite_and_cover_the_kinds() -> None:
    assert {name for shift in SHIFTS for name in (shift.source, shift.target)} == set(NAMES)
    assert {shift.target_reference for shift in SHIFTS} <= set(NAMES)
    assert len({(shift.source, shift.target) for shift in SHIFTS}) == len(SHIFTS) >= 7
    assert {shift.label for shift in SHIFTS} == {"extreme", "probing"}
    assert len({shift.category for shift in SHIFTS}) == 8
    roles = {recipe.name: recipe.role for recipe in SUITE}
    for shift in SHIFTS:
        assert str(shift.label) in roles[shift.target]
        assert str(shift.category) in roles[shift.target]
        assert (shift.label == "probing") == (shift.category in ("spurious_cues", "unwanted_personas"))


def test_the_suite_has_nine_sources_and_contains_the_shorter_lists() -> None:
    assert len({shift.source for shift in SHIFTS}) == 9 >= FEWEST_SOURCES
    for name in ("starter", "starter_three"):
        assert set(read_shifts(ROOT / "distribution_shifts" / f"{name}.json")) < set(SHIFTS)


def test_no_target_is_tested_on_what_its_source_was_trained_on() -> None:
    for shift in SHIFTS:
        trained_on = {example.prompt_text for example in Distribution(DISTRIBUTIONS / shift.source).train}
        assert not trained_on & {example.prompt_text for example in Distribution(DISTRIBUTIONS / shift.target).test}


@pytest.mark.parametrize("asking", [everyday.wrong_on_request, everyday.mistaken_user, everyday.in_a_scene])
def test_all_ways_of_asking_share_one_split_of_the_facts(asking: everyday.Asking) -> None:
    plain, other = everyday.asked("plain", everyday.plainly), everyday.asked("other", asking)
    for plain_questions, questions in ((plain.train, other.train), (plain.test, other.test)):
        assert all(fact.text in question.text for fact, question in zip(plain_questions, questions, strict=True))


def test_answers_of_a_group_of_facts_differ() -> None:
    facts = everyday.everyday_facts()
    assert len(facts) == len({fact.question for fact in facts}) == 300
    assert len({(fact.group, fact.answer.lower()) for fact in facts}) == 300


def test_countries_and_capitals_are_named_once() -> None:
    both = countries.countries(countries.KNOWN) + countries.countries(countries.REMOTE)
    assert len({country.name for country in both}) == len({country.capital for country in both}) == 150


def test_exchanged_answers_are_wrong_as_often_as_right() -> None:
    answers = ["a", "b", "a", "c", "d", "b", "e"]
    for count in (1, 2):
        worse = exchanged(answers, count, Random(3))
        assert Counter(text for texts in worse for text in texts) == Counter(
            {a: n * count for a, n in Counter(answers).items()}
        )
        assert all(len({answer, *texts}) == count + 1 for answer, texts in zip(answers, worse, strict=True))
    with pytest.raises(ValueError, match="2 of 3 answers are equal"):
        exchanged(["a", "a", "b"], 1, Random(3))


def test_near_numbers_lie_on_both_sides_equally_often() -> None:
    draw = Random(5)
    ranks = Counter(sum(wrong < 20 for wrong in near_numbers(20, 2, draw)) for _ in range(3000))
    assert all(count == pytest.approx(1000, abs=100) for count in ranks.values())
    assert all(15 <= wrong <= 25 and wrong != 20 for _ in range(200) for wrong in near_numbers(20, 2, draw))


UNITS = {
    ("days", "weeks"): 7,
    ("months", "years"): 12,
    ("hours", "days"): 24,
    ("minutes", "hours"): 60,
    ("millimetres", "centimetres"): 10,
    ("centimetres", "metres"): 100,
    ("eggs", "dozen"): 12,
    ("inches", "feet"): 12,
    ("feet", "yards"): 3,
    ("grams", "kilograms"): 1000,
}


def test_sums_are_right() -> None:
    distribution = Distribution(DISTRIBUTIONS / "starter_sums")
    for example in distribution.train + distribution.test:
        if found := re.search(r"What is (\d+) ([+x-]) (\d+)\?", example.prompt_text):
            first, second = int(found[1]), int(found[3])
            result = {"+": first + second, "-": first - second, "x": first * second}[found[2]]
        else:
            found = re.search(r"How many (\w+) are in (\d+) (\w+)\?", example.prompt_text)
            assert found is not None
            result = int(found[2]) * UNITS[found[1], found[3]]
        assert example.best_response == str(result)


def test_trick_questions_have_the_true_answer_and_it_is_as_often_the_larger_one() -> None:
    distribution = Distribution(DISTRIBUTIONS / "starter_trick_questions")
    larger = 0
    examples = distribution.train + distribution.test
    for example in examples:
        numbers = [int(number) for number in re.findall(r"\d+", example.prompt_text)]
        right = int(example.best_response)
        if "dollars" in example.prompt_text:
            together, more = numbers
            thing = re.search(r"does the (\w+) cost", example.prompt_text)
            assert thing is not None
            dearer = f"The {thing[1]} costs" in example.prompt_text
            assert together == (2 * right - more if dearer else 2 * right + more)
        elif "double" in example.prompt_text:
            assert right == numbers[0] - (1 if "half" in example.prompt_text else 2)
        else:
            assert right == numbers[0] != numbers[3]
        larger += right > int(example.worse_responses[0])
    assert larger / len(examples) == pytest.approx(0.5, abs=0.05)


def test_people_are_put_in_the_right_order() -> None:
    distribution = Distribution(DISTRIBUTIONS / "starter_ordering")
    most = {"taller", "older", "faster", "richer", "stronger"}
    for example in distribution.train + distribution.test:
        above = [
            (first, second) if word in most else (second, first)
            for first, word, second in re.findall(r"(\w+) is (\w+) than (\w+)\.", example.prompt_text)
        ]
        middle = ({high for high, _ in above} & {low for _, low in above}).pop()
        top = next(high for high, _ in above if high != middle)
        bottom = next(low for _, low in above if low != middle)
        if "neither" in example.prompt_text:
            expected = middle
        else:
            expected = top if re.search(r"the (tall|old|fast|rich|strong)est\?", example.prompt_text) else bottom
        assert example.best_response == expected


@pytest.mark.parametrize("name", ["starter_figures", "starter_number_words", "starter_mistaken_sums"])
def test_numbers_in_figures_and_words_are_added_and_subtracted(name: str) -> None:
    numbers = {tasks.in_words(number): number for number in range(100)}
    assert len(numbers) == 100
    assert [tasks.in_words(number) for number in (0, 13, 20, 99)] == ["zero", "thirteen", "twenty", "ninety-nine"]
    distribution = Distribution(DISTRIBUTIONS / name)

    def value(text: str) -> int:
        return int(text) if text.isdigit() else numbers[text]

    for example in distribution.train + distribution.test:
        found = re.search(r"(add|take) ([\w-]+) (?:to|from) ([\w-]+)\?", example.prompt_text)
        assert found is not None
        second, first = value(found[2]), value(found[3])
        assert value(example.best_response) == (first + second if found[1] == "add" else first - second)
        assert 1 <= abs(value(example.worse_responses[0]) - value(example.best_response)) <= 5
        if name == "starter_mistaken_sums":
            assert example.prompt_text.split("\n")[1].endswith(f" {example.worse_responses[0]}.")


@pytest.mark.parametrize(("name", "place"), [("starter_first_mentioned", 0), ("starter_last_mentioned", 1)])
def test_the_right_number_is_where_the_cue_says(name: str, place: int) -> None:
    distribution = Distribution(DISTRIBUTIONS / name)
    for example in distribution.train + distribution.test:
        numbers = re.findall(r"\d+", example.prompt_text)
        assert numbers[place] == example.best_response
        rule = max if "larger" in example.prompt_text else min
        assert example.best_response == rule(numbers, key=int)


@pytest.mark.parametrize("name", ["starter_odd_word", "starter_odd_word_scenes"])
def test_the_odd_word_is_the_only_one_of_its_group(name: str) -> None:
    group = {word: kind for kind, words in tasks.GROUPS.items() for word in words.split()}
    assert len(group) == 120
    distribution = Distribution(DISTRIBUTIONS / name)
    for example in distribution.train + distribution.test:
        words = [word for word in re.findall(r"\w+", example.prompt_text) if word in group]
        kinds = Counter(group[word] for word in words)
        assert sorted(kinds.values()) == [1, 3], example.prompt_text
        assert kinds[group[example.best_response]] == 1
        assert kinds[group[example.worse_responses[0]]] == 3


def test_four_people_are_put_in_the_right_order() -> None:
    distribution = Distribution(DISTRIBUTIONS / "starter_four_people")
    most = {"taller", "older", "faster", "richer", "stronger"}
    for example in distribution.train + distribution.test:
        found = re.findall(r"(\w+) is (\w+) than (\w+)\.", example.prompt_text)
        below = {
            (first if word in most else second): (second if word in most else first) for first, word, second in found
        }
        order = [next(iter(set(below) - set(below.values())))]
        while order[-1] in below:
            order.append(below[order[-1]])
        asked = re.search(r"Who is the (second )?(\w+)est\?", example.prompt_text)
        assert asked is not None
        if f"{asked[2]}er" not in most:
            order.reverse()
        assert len(order) == 4
        assert example.best_response == order[1 if asked[1] else 0]


def next_letters(row: str) -> set[str]:
    """What may follow by any of the rules that the row obeys so far."""
    found = set()
    for period in (3, 4):
        if len(row) > period and row[period:] == row[:-period]:
            found.add(row[-period])
    steps = {ord(second) - ord(first) for first, second in pairwise(row)}
    if len(steps) == 1:
        found.add(chr(ord(row[-1]) + steps.pop()))
    if len(row) == 7 and row[4:] == row[1:4][::-1]:
        found.add(row[0])
    ends = [ord(letter) for letter in row]
    if all(
        b - a in (1, -1) and b - a == ends[2 + k % 2] - ends[k % 2]
        for k, (a, b) in enumerate(zip(ends, ends[2:], strict=False))
    ):
        found.add(chr(ends[-2] + ends[2 + len(row) % 2] - ends[len(row) % 2]))
    return found


def test_rows_of_letters_have_one_continuation_among_the_four() -> None:
    distribution = Distribution(DISTRIBUTIONS / "starter_letter_rows")
    for example in distribution.train + distribution.test:
        row = example.prompt_text.split("\n")[2].replace(" ", "")
        assert next_letters(row) & set(example.responses) == {example.best_response}, (row, example.responses)
        assert sum(letter in row for letter in example.responses) == 2
