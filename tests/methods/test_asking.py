import pytest

from genies.data.distribution import Distribution, Example
from genies.errors import InputError
from genies.methods.asking import Answers, parse_ranking, preference, printable
from tests.support.scripts import planted_examples, write_distribution


@pytest.mark.parametrize(
    ("ranking", "one", "other", "expected"),
    [([2, 0], 2, 0, 1.0), ([2, 0], 0, 2, 0.0), ([2, 0], 1, 0, 0.0), ([2, 0], 1, 3, 0.5), ([], 0, 1, 0.5)],
)
def test_what_is_ranked_higher_is_preferred(ranking, one, other, expected):
    assert preference(ranking, one, other) == expected


@pytest.mark.parametrize(
    ("typed", "expected"),
    [("2", [2]), ("2, 1", [2, 1]), ("3 1 2", [3, 1, 2]), ("12", []), ("1 1", []), ("", []), ("-1", []), ("²", [])],
)
def test_a_ranking_is_numbers_each_once(typed, expected):
    assert parse_ranking(typed, 3) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\x1b[2Jb", r"a\x1b[2Jb"),
        ("one\r\n\ttwo\n", "one\n\ttwo\n"),
        ("three\rfour\x9b\x00", r"three\rfour\x9b\x00"),
        ("\u202ex\u2066\u2028", r"\u202ex\u2066\u2028"),
        ("naïve 日本 👩\u200d🔬 \\n", "naïve 日本 👩\u200d🔬 \\n"),
    ],
)
def test_only_control_characters_become_escapes(text, expected):
    assert printable(text) == expected


@pytest.mark.parametrize("ranking", [[7], [0, 0], [-1]])
def test_an_answer_that_names_no_response_is_damage(ranking, tmp_path):
    distribution = Distribution(write_distribution(tmp_path / "d", [], planted_examples(2, 0)))
    answers = Answers(tmp_path / "o.json", distribution)
    answers.keep(0, ranking)
    with pytest.raises(InputError, match="is damaged"):
        Answers(tmp_path / "o.json", distribution)


def test_answers_are_there_for_the_next_who_looks_and_gone_when_forgotten(tmp_path):
    distribution = Distribution(write_distribution(tmp_path / "d", [], planted_examples(2, 0)))
    answers = Answers(tmp_path / "o.json", distribution)
    answers.keep(1, [1, 0])
    answers.keep(0, [])
    again = Answers(tmp_path / "o.json", distribution)
    assert again.rankings == {1: [1, 0], 0: []}
    examples = [Example(0, "", ("a", "b"), (0,)), Example(1, "", ("a", "b"), (1,))]
    assert again.probabilities(examples).tolist() == [0.5, 1.0]
    assert again.passes(examples) == 1
    again.forget()
    assert Answers(tmp_path / "o.json", distribution).rankings == {}
    assert not list(tmp_path.glob(".*"))
