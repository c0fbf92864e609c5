import json
import re
from typing import Any

import pytest

from genies.data.distribution import Example, Pair
from genies.errors import InputError
from genies.lm.text import encode
from genies.methods.demonstrations import Demonstration, Demonstrations, demonstrate, draw_demonstrations, prompt_after
from genies.methods.responses import encode_pairs
from tests.support.tiny_models import make_tokenizer

EXAMPLES = [Example(index, f"Q{index}?", ("no", f" yes {index}"), (1,)) for index in range(20)]


def draw(tmp_path, **changes):
    values: dict[str, Any] = {"examples": EXAMPLES, "num_shots": 4, "resample": False, "seed": 0}
    return draw_demonstrations(tmp_path, **(values | changes))


def test_prompt_after_puts_blank_lines_between():
    shown = [Demonstration("Q: 1 + 1?\nA:", " 2"), Demonstration("Q: 2?\nA:", " 3")]
    assert prompt_after(shown, "Q: 1 + 2?\nA:") == "Q: 1 + 1?\nA: 2\n\nQ: 2?\nA: 3\n\nQ: 1 + 2?\nA:"
    assert prompt_after([], "Q") == "Q"


def test_the_draw_is_seeded_and_takes_best_responses_of_different_examples(tmp_path):
    drawn = draw(tmp_path)
    assert drawn == draw(tmp_path)
    assert drawn != draw(tmp_path, seed=1)
    assert len(set(drawn.pool)) == 4
    assert {(each.prompt, each.response) for each in drawn.pool} <= {
        (each.prompt, each.best_response) for each in EXAMPLES
    }
    assert drawn.of_example(0, 0) == drawn.of_example(7, 3) == drawn.pool


def test_resampling_draws_by_seed_and_example(tmp_path):
    drawn = draw(tmp_path, resample=True)
    shown = {(index, seed): tuple(drawn.of_example(index, seed)) for index in range(5) for seed in range(3)}
    assert len(drawn.pool) == 20
    assert all(len(set(each)) == 4 for each in shown.values())
    assert len(set(shown.values())) == 15
    assert shown[3, 1] == tuple(drawn.of_example(3, 1))


def test_what_was_saved_is_loaded(tmp_path):
    for resample in (False, True):
        drawn = draw(tmp_path, resample=resample)
        drawn.save(tmp_path)
        assert Demonstrations.load(tmp_path) == drawn


def test_too_few_examples_are_a_message(tmp_path):
    with pytest.raises(InputError, match=rf"--num_shots \d+: {re.escape(str(tmp_path))} has only 3 training examples"):
        draw(tmp_path, examples=EXAMPLES[:3])


@pytest.mark.parametrize(
    "damage",
    [[], {}, {"num_shots": 9}, {"num_shots": None}, {"pool": [{"prompt": "p"}]}, {"pool": [3]}, {"num_shots": 0}],
)
def test_a_damaged_file_is_a_message(damage, tmp_path):
    value = {"num_shots": 1, "resample": False, "pool": [{"prompt": "p", "response": "r"}]}
    (tmp_path / "demonstrations.json").write_text(json.dumps(value))
    assert Demonstrations.load(tmp_path).num_shots == 1
    damaged = value | damage if damage else damage
    (tmp_path / "demonstrations.json").write_text(json.dumps(damaged))
    with pytest.raises(InputError, match="damaged"):
        Demonstrations.load(tmp_path)


def test_demonstrations_that_do_not_fit_are_dropped_oldest_first_for_all_pairs_of_an_example(tmp_path):
    tokenizer, drawn = make_tokenizer("byte_level"), draw(tmp_path)
    pairs = [
        Pair(0, "short?", "a", "b"),
        Pair(5, "long?", "a", "b"),
        Pair(5, "long?", "a", "warm water " * 12),
        Pair(9, "longest? " * 40, "a", "b"),
    ]

    def tokens(count, pair):
        shown = prompt_after(drawn.pool[4 - count :], pair.prompt)
        return max(len(each.ids) for each in encode(tokenizer, [(shown, pair.best), (shown, pair.worse)]))

    limit = tokens(2, pairs[2])
    assert tokens(4, pairs[0]) <= limit < tokens(3, pairs[2])
    shown = demonstrate(drawn, pairs, tokenizer, limit, seed=0)
    assert shown.shots == {0: 4, 5: 2, 9: 0}
    assert [pair.prompt for pair in shown.pairs] == [
        prompt_after(drawn.pool, "short?"),
        *[prompt_after(drawn.pool[2:], "long?")] * 2,
        "longest? " * 40,
    ]
    encoded = encode_pairs(tokenizer, limit, shown.pairs, tmp_path)
    assert encoded.left_out == (9,)
    assert shown.counts(encoded) == {
        "eval_demonstrations": 4,
        "eval_dropped_demonstrations": 2,
        "eval_examples_with_dropped_demonstrations": 1,
    }
    assert [len(group) for group in shown.groups(encoded)] == [2, 4]


def test_without_a_limit_nothing_is_dropped(tmp_path):
    shown = demonstrate(draw(tmp_path), [Pair(0, "long " * 99, "a", "b")], make_tokenizer("byte_level"), None, seed=0)
    assert shown.shots == {0: 4}
