"""Chat format: what is scored is the response as the model's own template writes it, with its end of turn."""

import numpy as np
import pytest
from transformers import AddedToken

from genies.data.conversation import Message
from genies.lm.chat import RenderingError
from genies.lm.model import load_model
from genies.lm.scoring import response_log_probabilities
from genies.lm.shared_prefix import response_log_probabilities as after_shared_prefix
from genies.lm.text import encode
from tests.support.chat_templates import TEMPLATES, chat_tokenizer
from tests.support.plain import plain_log_probability
from tests.support.tiny_models import make_network, make_tokenizer

ASKED = (Message("user", "Which city is the capital of France?"),)
LONGER = (
    Message("user", "Hello"),
    Message("assistant", "Water is warm."),
    Message("user", "  Add the numbers 12 and 30.\n"),
)
TEXTS = [(ASKED, "Paris is warm."), (ASKED, " the sun\n"), (LONGER, "42"), (LONGER, "größere Äpfel"), (ASKED, "")]
AS_SHOWN = {"trims_and_bos": str.strip, "thinking": lambda text: text.lstrip("\n")}


def messages(conversation):
    return [message._asdict() for message in conversation]


def by_the_recipe(tokenizer, conversation, response, kind):
    """Ids of the whole conversation, and where the response begins and ends, found with the generation prompt."""
    prompt = tokenizer.apply_chat_template(messages(conversation), tokenize=False, add_generation_prompt=True)
    if kind == "thinking":
        prompt += "<think>\n\n</think>\n\n"
    elif kind == "strict":
        prompt += " "
    shown = AS_SHOWN.get(kind, str)(response)
    end = {"strict": "</s>", "no_end": ""}.get(kind, "<|end|>")
    whole = tokenizer.apply_chat_template(
        [*messages(conversation), {"role": "assistant", "content": response}], tokenize=True, return_dict=True
    )["input_ids"]
    # A token that begins before the response and reaches into it belongs to the response.
    alone = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    before = next((at for at, (one, other) in enumerate(zip(alone, whole, strict=False)) if one != other), len(alone))
    until = len(tokenizer(prompt + shown + end, add_special_tokens=False)["input_ids"])
    return whole, before, until


@pytest.mark.parametrize("kind", TEMPLATES)
@pytest.mark.parametrize("style", ["byte_level", "byte_level_with_bos"])
def test_scores_are_those_of_a_plain_forward_pass_on_the_rendered_conversation(tiny_chat_model, kind, style):
    tokenizer = chat_tokenizer(kind, style)
    texts = [text for text in TEXTS if kind != "no_end" or text[1]]
    folder = tiny_chat_model(tokenizer)
    model = load_model(folder)
    sequences = encode(tokenizer, texts)
    totals, counts = response_log_probabilities(model, sequences)
    shared, _ = after_shared_prefix(model, sequences)
    for place, (conversation, response) in enumerate(texts):
        ids, before, until = by_the_recipe(tokenizer, conversation, response, kind)
        assert list(sequences[place].ids) == ids
        expected = plain_log_probability(folder, ids, range(before, until))
        assert totals[place] == pytest.approx(expected, abs=2e-4)
        assert counts[place] == until - before
    np.testing.assert_allclose(shared, totals, atol=2e-4)


def test_the_last_token_of_the_answer_and_its_end_of_turn_are_where_representations_are_read():
    tokenizer = chat_tokenizer("line_end")
    (sequence,) = encode(tokenizer, [(ASKED, "Paris")])
    assert tokenizer.decode(sequence.read_until("last_response")).endswith("assistant\nParis")
    assert tokenizer.decode(sequence.read_until("end_of_text")).endswith("Paris<|end|>")
    assert tokenizer.decode(sequence.ids).endswith("Paris<|end|>\n")


def test_an_end_of_turn_that_is_added_but_not_special_counts():
    tokenizer = make_tokenizer("byte_level")
    tokenizer.add_tokens([AddedToken("<|end|>", special=False), AddedToken("  ", special=False)])
    tokenizer.chat_template = "{% for m in messages %}{{ m.role }}: {{ m.content }}  <|end|>{% endfor %}"
    (sequence,) = encode(tokenizer, [(ASKED, "Paris")])
    assert tokenizer.decode([sequence.ids[place] for place in sequence.response]) == " Paris  <|end|>"
    read = tokenizer.decode(list(sequence.read_until("last_response")))
    assert str(read).endswith("assistant: Paris")


def test_variables_of_the_template_reach_it():
    tokenizer = chat_tokenizer("line_end")
    tokenizer.chat_template = "{{ mood }}" + TEMPLATES["line_end"]
    (sequence,) = encode(tokenizer, [(ASKED, "Paris")], {"mood": "warm "})
    assert tokenizer.decode(sequence.ids).startswith("warm <|start|>user")


@pytest.mark.parametrize(
    ("kind", "conversation", "response", "said"),
    [
        ("strict", (Message("system", "Be brief."), *ASKED), "Paris", "System role not supported"),
        ("strict", ASKED + ASKED, "Paris", "Conversation roles must alternate"),
        ("upper", ASKED, "Paris", "writes the unchanged response 0 times"),
        ("twice", ASKED, "Paris", "writes the unchanged response 2 times"),
        ("broken", ASKED, "Paris", "fails"),
        ("moves", ASKED, "<think>why</think>Paris", "changes the response"),
    ],
)
def test_a_conversation_that_cannot_be_rendered_or_found_is_named(kind, conversation, response, said):
    tokenizer = chat_tokenizer("strict")
    tokenizer.chat_template = {
        "strict": TEMPLATES["strict"],
        "upper": "{% for m in messages %}{{ m.content[:1] | upper }}{{ m.content[1:] | upper }}{% endfor %}",
        "twice": "{% for m in messages %}{{ m.content }}{{ m.content }}{% endfor %}",
        "broken": "{% for m in messages %}{{ m.content | missing_filter }}{% endfor %}",
        "moves": "{% for m in messages %}{{ m.content.split('</think>')[-1] }}{% endfor %}",
    }[kind]
    with pytest.raises(RenderingError, match=said) as caught:
        encode(tokenizer, [(conversation, response)])
    assert caught.value.place == 0


@pytest.fixture(scope="module")
def tiny_chat_model(tmp_path_factory):
    def write(tokenizer):
        folder = tmp_path_factory.mktemp("chat")
        make_network("llama", len(tokenizer)).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return folder

    return write


@pytest.mark.parametrize("kind", TEMPLATES)
def test_a_prompt_that_was_rendered_before_is_refused(kind):
    """It would be rendered twice, and the score would be that of another conversation."""
    tokenizer = chat_tokenizer(kind)
    rendered = tokenizer.apply_chat_template(messages(ASKED), tokenize=False, add_generation_prompt=True)
    opening = rendered.partition(ASKED[0].content)[2].strip()
    if any(token in opening for token in tokenizer.all_special_tokens):
        for text in (rendered, rendered.strip()):
            with pytest.raises(RenderingError, match="would be rendered twice") as error:
                encode(tokenizer, [*TEXTS[:1], ((Message("user", text),), "Paris")])
            assert error.value.place == 1
    # A special token elsewhere in a prompt is a part of the question.
    asked = (Message("user", f"What is {tokenizer.eos_token} in a text?"),)
    assert encode(tokenizer, [(asked, "Its end.")])


@pytest.mark.parametrize("kind", [kind for kind in TEMPLATES if kind != "no_end"])
def test_a_response_that_ends_with_its_end_of_turn_gets_no_second_one(kind):
    tokenizer = chat_tokenizer(kind)
    end = "</s>" if kind == "strict" else "<|end|>"
    plain, once, with_line_end = encode(tokenizer, [(ASKED, "Paris" + ending) for ending in ("", end, f"{end}\n")])
    assert plain == once == with_line_end
    # In the middle of a response, it is a part of it.
    (within,) = encode(tokenizer, [(ASKED, f"Paris{end} is warm")])
    assert len(within.response) > len(plain.response) + 1
