"""Rows of preference data: what each layout gives, and that every malformed one is refused by its field."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genies.data.importing.layouts import Pairs, Scored
from genies.data.importing.rows import Malformed, Preference, Tie
from genies.data.importing.template import DEFAULT, make_template
from genies.errors import InputError

DEFAULT_MESSAGE = r"{role}: {content}\n"
PLAIN = make_template("{prompt}", DEFAULT_MESSAGE)
PAIRS = Pairs("chosen", "rejected", "prompt")
CHATS = Pairs("chosen", "rejected", None)
SCORED = Scored("responses", "scores", "prompt", "response", "score")
OBJECTS = Scored("responses", None, "prompt", "text", "rating")


def chat(*turns: str, roles: str = "uauauaua") -> list[dict[str, Any]]:
    names = {"u": "user", "a": "assistant", "s": "system"}
    return [{"role": names[role], "content": turn} for role, turn in zip(roles, turns, strict=False)]


def pairs(prompt: object = "p", chosen: object = "c", rejected: object = "r") -> dict[str, Any]:
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected}


def scored(responses: object, scores: object, prompt: object = "p") -> dict[str, Any]:
    return {"prompt": prompt, "responses": responses, "scores": scores}


@pytest.mark.parametrize(
    ("layout", "values", "expected"),
    [
        (PAIRS, pairs(), ("p", ("c", "r"), 0)),
        (PAIRS, pairs(" p\n", "c ", "c"), (" p\n", ("c ", "c"), 0)),  # nothing is stripped
        (PAIRS, pairs(rejected=["r", "s", "t"]), ("p", ("c", "r", "s", "t"), 0)),
        (PAIRS, pairs(chat("p"), chat("c", roles="a"), chat("r", roles="a")), ("p", ("c", "r"), 0)),
        (PAIRS, pairs("p", chat("p", "c"), chat("p", "r")), ("p", ("c", "r"), 0)),
        (PAIRS, pairs(chat("p"), chat("p", "c"), chat("p", "r")), ("p", ("c", "r"), 0)),
        (PAIRS, pairs("p", chat("c", roles="a"), "r"), ("p", ("c", "r"), 0)),
        (PAIRS, pairs("p", "c", [chat("r", roles="a"), "s"]), ("p", ("c", "r", "s"), 0)),
        (CHATS, pairs("ignored", chat("p", "c"), chat("p", "r")), ("p", ("c", "r"), 0)),
        (
            CHATS,
            pairs(0, chat("be brief", "p", "c", roles="sua"), chat("be brief", "p", "r", roles="sua")),
            ("system: be brief\nuser: p\n", ("c", "r"), 0),
        ),
        (
            CHATS,
            pairs(0, chat("p", "q", "o", "c"), chat("p", "q", "o", "r")),
            ("user: p\nassistant: q\nuser: o\n", ("c", "r"), 0),
        ),
        (
            CHATS,  # as `datasets` stores a sequence of objects
            pairs(0, {"role": ["user", "assistant"], "content": ["p", "c"]}, chat("p", "r")),
            ("p", ("c", "r"), 0),
        ),
        (SCORED, scored(["a", "b", "c"], [1, 3.5, -2]), ("p", ("a", "b", "c"), 1)),
        (SCORED, scored(["a", "b", "c"], [0, 0, 1]), ("p", ("a", "b", "c"), 2)),  # ties below the best are harmless
        (SCORED, scored(["a", "b"], [Decimal("0.1"), Decimal("0.2")]), ("p", ("a", "b"), 1)),
        (SCORED, scored(["a", "b"], [10**400, 5]), ("p", ("a", "b"), 0)),
        (SCORED, scored('["a", "b"]', "[2, 1]"), ("p", ("a", "b"), 0)),  # as a CSV file holds lists
        (SCORED, scored([chat("p", "a"), chat("p", "b")], [0, 1]), ("p", ("a", "b"), 1)),
        (
            OBJECTS,
            {"prompt": "p", "responses": [{"text": "a", "rating": 1, "x": None}, {"text": "b", "rating": 2}]},
            ("p", ("a", "b"), 1),
        ),
    ],
)
def test_what_a_row_gives(layout: Pairs | Scored, values: dict[str, Any], expected: tuple[Any, ...]) -> None:
    prompt, responses, best = expected
    assert layout.read(values, PLAIN) == Preference(prompt, responses, (best,))


NAN, INFINITY = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("layout", "values", "message"),
    [
        (PAIRS, {"chosen": "c", "rejected": "r"}, "field prompt: is missing"),
        (PAIRS, {"prompt": "p", "rejected": "r"}, "field chosen: is missing"),
        (PAIRS, pairs(None), "field prompt: expected text or a list of messages, got null"),
        (PAIRS, pairs(7), "field prompt: .* got a number"),
        (PAIRS, pairs(True), "field prompt: .* got a boolean"),
        (PAIRS, pairs(b"p"), "field prompt: .* got bytes"),
        (PAIRS, pairs({"a": 1}), "field prompt: .* got an object"),
        (PAIRS, pairs(""), "field prompt: expected a prompt, got empty text"),
        (PAIRS, pairs(" \n"), "field prompt: expected a prompt, got empty text"),
        (PAIRS, pairs("\ud800"), "field prompt: is not UTF-8 text"),
        (PAIRS, pairs(chosen=None), "field chosen: .* got null"),
        (PAIRS, pairs(chosen=1.5), "field chosen: .* got a number"),
        (PAIRS, pairs(chosen=""), "field chosen: expected a response, got empty text"),
        (PAIRS, pairs(chosen=["a", "a"]), r"field chosen\[1\]: expected different responses"),
        (PAIRS, pairs(chosen="\udcff"), "field chosen: is not UTF-8"),
        (PAIRS, pairs(chosen="x" * (1 << 24) + "x"), "field chosen: expected at most 16,777,216 characters"),
        (PAIRS, pairs(rejected="\t"), "field rejected: expected a response, got empty text"),
        (PAIRS, pairs(rejected=[]), "field rejected: expected a list of messages, got an empty list"),
        (PAIRS, pairs(rejected=["r", None]), r"field rejected\[1\]: .* got null"),
        (PAIRS, pairs(rejected=["r", ["s"]]), r"field rejected\[1\]\[0\]: expected an object with role"),
        (PAIRS, pairs(chosen="same", rejected="same"), "field rejected: .* the same text as in chosen"),
        (PAIRS, pairs(rejected=["r", "s", "r"]), r"field rejected\[2\]: .* same text as in rejected\[0\]"),
        (PAIRS, pairs(chosen=[None]), r"field chosen\[0\]: expected text or a list of messages, got null"),
        (PAIRS, pairs(chosen=[{"role": "assistant"}]), r"field chosen\[0\]\.content: is missing"),
        (PAIRS, pairs(chosen=[{"role": None, "content": "c"}]), r"field chosen\[0\]\.role: expected text, got null"),
        (PAIRS, pairs(chosen=[{"role": "assistant", "content": None}]), r"field chosen\[0\]\.content: .* null"),
        (PAIRS, pairs(chosen=[{"role": "assistant", "content": [{"text": "c"}]}]), r"\[0\]\.content: .* got a list"),
        (PAIRS, pairs(chosen=chat("p")), r"field chosen\[0\]\.role: expected assistant, got 'user'"),
        (PAIRS, pairs("q", chat("p", "c"), chat("p", "r")), "field prompt: is not part of the conversation"),
        (PAIRS, pairs(chat("q"), chat("p", "c"), chat("p", "r")), "field prompt: differs from the conversation"),
        (PAIRS, pairs("p", chat("p", "c"), chat("q", "r")), "field rejected: the conversation before the response"),
        (PAIRS, pairs("p", chat("p", "c"), "r"), "field rejected: the conversation before the response differs"),
        (PAIRS, pairs({"role": ["user"], "content": []}), "field prompt: expected as many roles as contents"),
        (PAIRS, pairs([]), "field prompt: expected a list of messages, got an empty list"),
        (CHATS, pairs("p", "c", "r"), "field chosen: expected a conversation"),
        (CHATS, pairs("p", chat(" ", "c"), chat(" ", "r")), "field chosen: expected a prompt, got empty text"),
        (SCORED, {"prompt": "p", "responses": ["a", "b"]}, "field scores: is missing"),
        (SCORED, scored(None, [1]), "field responses: expected a list, got null"),
        (SCORED, scored({"a": 1}, [1]), "field responses: expected a list, got an object"),
        (SCORED, scored("a", [1]), "field responses: expected JSON"),
        (SCORED, scored('{"a": 1}', [1]), "field responses: expected a list, got an object"),
        (SCORED, scored("[" * 100_000, [1]), "field responses: expected JSON"),
        (SCORED, scored(["a", "b"], None), "field scores: expected a list, got null"),
        (SCORED, scored(["a", "b"], [1]), "field scores: expected 2 scores, .* got 1"),
        (SCORED, scored([], []), "field responses: expected at least 2 responses, got 0"),
        (SCORED, scored(["a"], [1]), "field responses: expected at least 2 responses, got 1"),
        (SCORED, scored(["a", "b"], [1, None]), r"field scores\[1\]: expected a number, got null"),
        (SCORED, scored(["a", "b"], [1, "2"]), r"field scores\[1\]: expected a number, got text"),
        (SCORED, scored(["a", "b"], [True, False]), r"field scores\[0\]: expected a number, got a boolean"),
        (SCORED, scored(["a", "b"], [NAN, 1]), r"field scores\[0\]: expected a finite number, got nan"),
        (SCORED, scored(["a", "b"], [1, INFINITY]), r"field scores\[1\]: expected a finite number, got inf"),
        (SCORED, scored(["a", "b"], [1, Decimal("NaN")]), r"field scores\[1\]: expected a finite number, got NaN"),
        (SCORED, scored(["a", "b"], "[NaN, 1]"), r"field scores\[0\]: expected a finite number, got nan"),
        (SCORED, scored(["a", "b", "a"], [1, 2, 3]), r"field responses\[2\]: .* same text as in responses\[0\]"),
        (SCORED, scored(["a", None], [1, 2]), r"field responses\[1\]: .* got null"),
        (SCORED, scored(["a", ""], [1, 2]), r"field responses\[1\]: expected a response, got empty text"),
        (OBJECTS, scored(["a", "b"], 0), r"field responses\[0\]: expected an object with rating, got text"),
        (OBJECTS, scored([{"text": "a"}], 0), r"field responses\[0\]\.rating: is missing"),
        (OBJECTS, scored([{"rating": 1}], 0), r"field responses\[0\]\.text: is missing"),
        (OBJECTS, scored([{"text": None, "rating": 1}, {"text": "b", "rating": 2}], 0), r"\[0\]\.text: .* got null"),
    ],
)
def test_a_malformed_row_is_refused_by_its_field(layout: Pairs | Scored, values: dict[str, Any], message: str) -> None:
    with pytest.raises(Malformed, match=message) as caught:
        layout.read(values, PLAIN)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
    assert caught.value.field in ("prompt", "chosen", "rejected", "responses", "scores")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text("ab", max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["role", "content", "text", "rating"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(
    st.sampled_from([PAIRS, CHATS, SCORED, OBJECTS]),
    st.dictionaries(st.sampled_from(["prompt", "chosen", "rejected", "responses", "scores"]), json_values),
)
def test_whatever_stands_in_a_row_it_is_an_example_or_malformed(layout: Pairs | Scored, values: dict[str, Any]) -> None:
    try:
        prompt, responses, best, styles, name = layout.read(values, PLAIN)
    except (Malformed, Tie):
        return
    assert (styles, name) == (None, None)
    assert isinstance(prompt, str)
    assert prompt.strip()
    assert len(set(responses)) == len(responses) >= 2
    assert all(response.strip() for response in responses)
    assert all(0 <= place < len(responses) for place in best)
    assert best


# Templates


def test_the_default_template_is_that_of_the_official_distributions() -> None:
    assert make_template(DEFAULT, DEFAULT_MESSAGE).fill("Hi {x} {prompt}") == (
        "### Instruction:\nHi {x} {prompt}\n\n### Response:\n"
    )


def test_a_template_is_typed_as_in_a_shell() -> None:
    assert make_template(r"a\n\t\\n{prompt}{0}%s\x", DEFAULT_MESSAGE).fill("P") == "a\n\t\\nP{0}%s\\x"


def test_placeholders_in_a_conversation_are_text() -> None:
    template = make_template("{prompt}", "<{role}>{content}</{role}>".replace("</{role}>", "|"))
    assert (
        PAIRS.read(pairs(chat("{content}", "{role}", "o"), chat("c", roles="a"), chat("r", roles="a")), template).prompt
        == "<user>{content}|<assistant>{role}|<user>o|"
    )


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("no place", "{role}{content}"),
        ("{prompt}{prompt}", "{role}{content}"),
        ("{prompt}", "{role}"),
        ("{prompt}", ""),
    ],
)
def test_a_template_without_its_placeholders_is_refused(prompt: str, message: str) -> None:
    with pytest.raises(InputError, match=r"template: expected \{\w+\} once, got it [02] times"):
        make_template(prompt, message)
