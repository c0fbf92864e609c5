import random

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from genies.errors import InputError
from genies.lm.text import TokenSequence, encode, response_pieces
from tests.support.tiny_models import TOKENIZERS, make_tokenizer

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


@pytest.mark.parametrize("style", TOKENIZERS)
@pytest.mark.parametrize("text", [*TEXTS, ("🙂", "🙂 naïve 🙂🙂"), ("x", "no end </s>")])
def test_the_pieces_of_a_response_are_those_of_its_tokens(style, text):
    tokenizer = make_tokenizer(style)
    (sequence,) = encode(tokenizer, [text])
    pieces = response_pieces(tokenizer, text[0], text[1], sequence)
    assert "".join(pieces) == text[1]
    assert len(pieces) == len(sequence.response)
    for piece, place in zip(pieces, sequence.response, strict=True):
        token = str(tokenizer.convert_ids_to_tokens(sequence.ids[place])).replace("▁", " ").replace("Ġ", " ")
        if piece.isascii() and piece.isprintable():
            assert piece in token


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
    expected = TokenSequence(ids=(10, 11, 12, 2), response=(2, 3))
    assert encode(tokenizer, [("ab", "c"), ("ab", "c</s>")]) == [expected, expected]


def test_a_limit_in_the_tokenizer_file_cuts_nothing_off():
    tokenizer = make_tokenizer("byte_level")
    tokenizer.backend_tokenizer.enable_truncation(4)
    tokenizer.backend_tokenizer.enable_padding(length=50)
    plain = make_tokenizer("byte_level")
    assert encode(tokenizer, TEXTS) == encode(plain, TEXTS)


def with_special_tokens(template: str, style: str = "byte_level", **names: str) -> PreTrainedTokenizerFast:
    """A tokenizer that adds special tokens as `template` says, as `<s> $A </s>`."""
    tokenizer = make_tokenizer(style)
    known = [(name, tokenizer.convert_tokens_to_ids(name)) for name in template.split() if name != "$A"]
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=known)
    for name, token in names.items():
        setattr(tokenizer, name, token)
    return tokenizer


@pytest.mark.parametrize("style", ["byte_level", "metaspace"])
@pytest.mark.parametrize("template", ["$A", "<s> $A", "$A </s>", "<s> $A </s>"])
def test_special_tokens_in_the_text_are_not_added_a_second_time(template, style):
    tokenizer = with_special_tokens(template, style)
    begin, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    [bare] = encode(tokenizer, [("<s>the best", " answer")])
    assert bare.ids[0] == begin
    assert bare.ids.count(begin) == bare.ids.count(end) == 1
    [ended] = encode(tokenizer, [("<s>the best", " answer</s>")])
    assert ended == bare
    assert ended.response[-1] == len(ended.ids) - 1
    # Elsewhere in the text they are tokens like any other: nothing is taken away.
    [twice] = encode(tokenizer, [("<s><s>the</s>", " best<s></s></s>")])
    plain = tokenizer("<s><s>the</s> best<s></s></s>", add_special_tokens=False)["input_ids"]
    assert list(twice.ids) == plain
    assert plain.count(end) == plain.count(begin) == 3


def test_an_end_of_text_that_only_the_prompt_spells_is_the_appended_one():
    tokenizer = with_special_tokens("<s> $A")
    [sequence] = encode(tokenizer, [("the best</s>", "")])
    assert sequence.ids.count(tokenizer.eos_token_id) == 1
    assert sequence.response == (len(sequence.ids) - 1,)


def test_one_token_can_begin_and_end_a_text():
    tokenizer = with_special_tokens("</s> $A", bos_token="</s>")
    expected = [2, *make_tokenizer("byte_level")("the best")["input_ids"], 2]
    for text in ("the best", "</s>the best", "the best</s>", "</s>the best</s>"):
        assert list(encode(tokenizer, [("", text)])[0].ids) == expected


def test_other_special_tokens_that_a_tokenizer_adds_stay():
    tokenizer = with_special_tokens("<s> <unk> $A <unk>")
    [sequence] = encode(tokenizer, [("the", " best")])
    assert sequence.ids == (1, 0, *tokenizer("the best", add_special_tokens=False)["input_ids"], 0, 2)
    assert sequence.response == (3, 4, 6)
    [spelled] = encode(tokenizer, [("<s>the", " best</s>")])
    assert list(spelled.ids) == tokenizer("<s>the best</s>", add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("template", ["<s> $A", "<s> $A </s>"])
def test_a_tokenizer_need_not_know_every_letter(template):
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.BPE({"</s>": 2, "<s>": 1, "x": 3}, [])), bos_token="<s>", eos_token="</s>"
    )
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=template, special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    assert [each.ids for each in encode(tokenizer, [("x", "x"), ("a", "b"), ("a", "x")])] == [
        (1, 3, 3, 2), (1, 2), (1, 3, 2),
    ]  # fmt: skip


def test_an_indentation_in_the_token_of_a_line_end_belongs_to_the_response():
    tokenizer = byte_level_trimmed()
    text = "def f():\n", "    return x"
    encoded = tokenizer("".join(text), return_offsets_mapping=True)
    tokens = tokenizer.convert_ids_to_tokens(encoded["input_ids"])
    place = tokens.index("ĊĠĠĠ")
    assert encoded["offset_mapping"][place] == (8, 9)  # the tokenizer says it ends with the prompt
    [sequence] = encode(tokenizer, [text])
    assert sequence.response[0] == place
    assert tokenizer("".join(text), return_offsets_mapping=True) == encoded  # the tokenizer is as it was


def byte_level_trimmed() -> PreTrainedTokenizerFast:
    """As that of GPT-NeoX: spaces at the edges of a token are left out of its span."""
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False)
    return trained(models.BPE(), None, pre_tokenizers.ByteLevel(), trainer, processors.ByteLevel(trim_offsets=True))


SPECIAL = ["<unk>", "<s>", "</s>"]
BEGIN = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])


def trained(model, normalizer, pre_tokenizer, trainer, post_processor) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(model)
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.train_from_iterator(
        ["def f():\n    return x\n", "naïve Straße ﬁne cafés 今日は e\u0301 İ 😀"] * 5, trainer
    )
    tokenizer.post_processor = post_processor
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", unk_token="<unk>", bos_token="<s>")


def unigram() -> PreTrainedTokenizerFast:
    trainer = trainers.UnigramTrainer(vocab_size=200, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False)
    return trained(models.Unigram(), normalizers.NFKC(), pre_tokenizers.Metaspace(), trainer, BEGIN)


def word_piece() -> PreTrainedTokenizerFast:
    trainer = trainers.WordPieceTrainer(vocab_size=300, special_tokens=SPECIAL, show_progress=False)
    model = models.WordPiece(unk_token="<unk>")
    return trained(model, normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer(), trainer, BEGIN)


@pytest.mark.parametrize("make", [byte_level_trimmed, unigram, word_piece])
def test_normalization_of_any_text_leaves_the_response_one_stretch_at_its_end(make):
    tokenizer = make()
    draw = random.Random(0)
    pieces = [*"abc  \n\té½①ß今😀İ", "e\u0301", "\u0301", "ﬁ", "    ", "\u200d", "\0", "</s>"]
    for _ in range(300):
        prompt, response = ("".join(draw.choices(pieces, k=draw.randrange(7))) for _ in range(2))
        [sequence] = encode(tokenizer, [(prompt, response)])
        plain = tokenizer(prompt + response)["input_ids"]
        ended = prompt + response != "" and plain[-1] == tokenizer.eos_token_id
        assert list(sequence.ids) == (plain if ended else [*plain, tokenizer.eos_token_id])
        assert sequence.response == tuple(range(sequence.response[0], len(sequence.ids)))


def test_a_tokenizer_without_end_of_text_is_named():
    tokenizer = make_tokenizer("byte_level")
    tokenizer.eos_token = None
    with pytest.raises(InputError, match="no end-of-text token"):
        encode(tokenizer, TEXTS)


@pytest.mark.parametrize("style", TOKENIZERS)
def test_the_last_response_token_is_the_last_of_a_plain_call_whatever_ends_the_text(style):
    tokenizer = make_tokenizer(style)
    texts = [*TEXTS, ("the best", " answer</s>")]
    for (prompt, response), sequence in zip(texts, encode(tokenizer, texts), strict=True):
        plain = tokenizer(prompt + response.removesuffix("</s>"))["input_ids"]
        assert sequence.ids[sequence.last_response] == plain[-1]
        assert list(sequence.read_until("last_response")) == plain
        assert sequence.read_until("end_of_text") == sequence.ids


def test_an_empty_response_is_read_at_the_prompts_last_token():
    tokenizer = make_tokenizer("byte_level_with_bos")
    [sequence] = encode(tokenizer, [("the best", "")])
    assert list(sequence.read_until("last_response")) == tokenizer("the best")["input_ids"]
