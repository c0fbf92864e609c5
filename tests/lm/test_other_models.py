"""Models that differ from the five families in one respect each: rotary factors that go by length, blocks without
attention, limits under other names, outputs of other shapes."""

import numpy as np
import pytest
import torch
from transformers import AutoConfig
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from genies.errors import InputError
from genies.lm.activation_reader import ActivationReader
from genies.lm.arguments import ModelArguments
from genies.lm.model import load_model
from genies.lm.scoring import response_log_probabilities
from genies.lm.shared_prefix import response_log_probabilities as after_shared_prefix
from genies.lm.sites import all_sites
from genies.lm.text import TokenSequence
from tests.support.plain import plain_hidden_states, plain_log_probability
from tests.support.tiny_models import make_tokenizer

SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 256,
    "initializer_range": 0.3,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
LONG_ROPE = {
    "rope_type": "longrope",
    "rope_theta": 1e4,
    "original_max_position_embeddings": 32,
    "short_factor": [1.0] * 4,
    "long_factor": [3.0] * 4,
}


@pytest.fixture
def folder_of(tmp_path):
    """A function from a model type and its settings, None for one that it lacks, to a folder with a random tiny
    model."""

    def write(model_type, **settings):
        tokenizer = make_tokenizer("byte_level")
        torch.manual_seed(0)
        settings = {**SIZES, "vocab_size": len(tokenizer), **settings}
        config = AutoConfig.for_model(model_type, **{name: each for name, each in settings.items() if each is not None})
        AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "model")
        tokenizer.save_pretrained(tmp_path / "model")
        return tmp_path / "model"

    return write


def drawn(length: int, seed: int, *, after: tuple[int, ...] = ()) -> tuple[int, ...]:
    return (*after, *np.random.default_rng(seed).integers(3, 250, length).tolist())


def test_rotary_factors_that_go_by_length_are_those_of_each_sequence_alone(folder_of):
    folder = folder_of("phi3", num_key_value_heads=2, original_max_position_embeddings=32, rope_parameters=LONG_ROPE)
    long = drawn(40, 1)
    ids = [drawn(20, 0), drawn(25, 2), drawn(20, 3, after=long), drawn(28, 4, after=long)]
    sequences = [TokenSequence(each, tuple(range(len(each) - 8, len(each)))) for each in ids]
    expected = [plain_log_probability(folder, each.ids, each.response) for each in sequences]
    model = load_model(folder)
    assert model.packs
    for score in (response_log_probabilities, after_shared_prefix):
        for chosen in (slice(None), slice(2, None)):
            assert score(model, sequences[chosen])[0] == pytest.approx(expected[chosen], abs=1e-3)


def test_blocks_without_attention_do_not_keep_others_from_being_read(folder_of):
    folder = folder_of("lfm2", num_key_value_heads=2, layer_types=["conv", "full_attention"], block_ff_dim=48)
    texts = [drawn(12, 0), drawn(9, 1)]
    found = ActivationReader(folder, ModelArguments())(texts, all_sites(2, 4, "blocks"))
    expected = np.stack([plain_hidden_states(folder, ids) for ids in texts])
    np.testing.assert_allclose(found[:, :-1], expected, atol=1e-4)
    again = ActivationReader(folder, ModelArguments())
    assert np.array_equal(again(texts, all_sites(2, 4, "blocks")), found)
    assert again.forward_tokens == 0
    with pytest.raises(InputError, match="no attention output projection"):
        again(texts, all_sites(2, 4, "heads"))


def test_a_model_without_attention_has_blocks_to_read(folder_of):
    folder = folder_of("mamba", num_attention_heads=None, state_size=8, expand=2)
    reader = ActivationReader(folder, ModelArguments())
    assert reader.outline.heads == (0, 0)
    assert reader([drawn(9, 0)], all_sites(2, 0, "blocks")).shape == (1, 2, 32)


@pytest.mark.parametrize(
    ("model_type", "settings"),
    [
        ("mpt", {"max_position_embeddings": None, "d_model": 32, "n_heads": 4, "n_layers": 2, "max_seq_len": 77}),
        ("llama", {"max_position_embeddings": 77}),
    ],
)
def test_the_limit_of_a_context_is_found_under_its_names(model_type, settings, folder_of):
    folder = folder_of(model_type, **settings)
    assert load_model(folder).context_length == 77
    assert ActivationReader(folder, ModelArguments()).outline.context_length == 77


def test_a_decoder_that_is_named_otherwise_is_found(folder_of):
    folder = folder_of("modernbert-decoder", local_attention=20, global_attn_every_n_layers=2)
    sequence = TokenSequence(drawn(12, 0), tuple(range(8, 12)))
    [found] = response_log_probabilities(load_model(folder), [sequence])[0]
    assert found == pytest.approx(plain_log_probability(folder, sequence.ids, sequence.response), abs=1e-3)


def test_blocks_that_return_lists_are_read(folder_of):
    folder = folder_of("openai-gpt", n_embd=32, n_layer=2, n_head=4, n_positions=256)
    found = ActivationReader(folder, ModelArguments())([drawn(12, 0)], all_sites(2, 4, "blocks"))
    assert found.shape == (1, 2, 32)
    assert np.isfinite(found).all()


def test_sizes_that_cannot_be_are_blamed_on_the_configuration(folder_of):
    folder = folder_of("llama")
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"num_attention_heads": 4', '"num_attention_heads": 0'))
    with pytest.raises(InputError, match="no decoder"):
        ActivationReader(folder, ModelArguments())
