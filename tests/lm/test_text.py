import pytest
from tokenizers import Tokenizer, models, processors
from transformers import PreTrainedTokenizerFast

from genies.errors import InputError
from genies.lm.text import TokenSequence, encode
from tests.tiny_models import TOKENIZERS, make_tokenizer

TEXTS = [
    ("### Instruction: Add. ### Response:", " The sum is 42."),
    ("the be", "st answer"),
    ("trailing space ", "  two more\n"),
    ("今日は", "良い天気です。"),
    ("a prompt", ""),
    ("", "a response"),
]


@pytest.mark.parametrize("style", TOKENIZERS)
def test_ids_are_those_of_a_plain_call_and_end_of_text(style):
    tokenizer = make_tokenizer(style)
    for (prompt, response), sequence in zip(TEXTS, encode(tokenizer, TEXTS), strict=True):
        assert list(sequence.ids) == [*tokenizer(prompt + response)["input_ids"], tokenizer.eos_token_id]


@pytest.mark.parametrize("style", TOKENIZERS)
def test_response_tokens_cover_the_response_and_end_the_sequence(style):
    tokenizer = make_tokenizer(style)
    for (prompt, response), sequence in zip(TEXTS, encode(tokenizer, TEXTS), strict=True):
        first = sequence.response[0]
        assert sequence.response == tuple(range(first, len(sequence.ids)))
        # What stands before the response's tokens says no more than the prompt, and with its next token more.
        spans = tokenizer(prompt + response, return_offsets_mapping=True)["offset_mapping"]
        assert all(stop <= len(prompt) for _, stop in spans[:first])
        assert all(stop > len(prompt) for _, stop in spans[first:])


def test_a_token_across_the_boundary_belongs_to_the_response():
    tokenizer = make_tokenizer("byte_level")
    [sequence] = encode(tokenizer, [("the be", "st")])
    assert tokenizer.convert_ids_to_tokens(list(sequence.ids)) == ["the", "Ġb", "est", "</s>"]
    assert sequence.response == (2, 3)


def test_an_empty_response_is_end_of_text_alone():
    tokenizer = make_tokenizer("byte_level_with_bos")
    [sequence] = encode(tokenizer, [("the best", "")])
    assert sequence.response == (len(sequence.ids) - 1,)


def test_a_tokenizer_that_ends_texts_itself_ends_them_once():
    itself, plain = make_tokenizer("metaspace"), make_tokenizer("metaspace")
    itself.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    assert itself("a")["input_ids"][-1] == itself.eos_token_id
    assert encode(itself, TEXTS) == encode(plain, TEXTS)


def test_a_text_that_is_empty_but_for_a_begin_of_text_that_is_also_the_end_keeps_both():
    tokenizer = make_tokenizer("byte_level")
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="</s> $A", special_tokens=[("</s>", 2)]
    )
    assert [sequence.ids for sequence in encode(tokenizer, [("", "")])] == [(2, 2)]


def test_the_documented_tensors_are_true():
    letters = {chr(97 + place): 10 + place for place in range(3)}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.BPE({"</s>": 2, **letters}, [])), eos_token="</s>"
    )
    assert encode(tokenizer, [("ab", "c")]) == [TokenSequence(ids=(10, 11, 12, 2), response=(2, 3))]


def test_a_limit_in_the_tokenizer_file_cuts_nothing_off():
    tokenizer = make_tokenizer("byte_level")
    tokenizer.backend_tokenizer.enable_truncation(4)
    tokenizer.backend_tokenizer.enable_padding(length=50)
    plain = make_tokenizer("byte_level")
    assert encode(tokenizer, TEXTS) == encode(plain, TEXTS)


def test_a_tokenizer_without_end_of_text_is_named():
    tokenizer = make_tokenizer("byte_level")
    tokenizer.eos_token = None
    with pytest.raises(InputError, match="no end-of-text token"):
        encode(tokenizer, TEXTS)
