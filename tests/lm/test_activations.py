import numpy as np
import pytest
import torch

from genies.errors import InputError
from genies.lm import activations
from genies.lm.activations import last_token_activations
from genies.lm.sites import Site, all_sites
from genies.lm.text import encode
from tests.lm.test_scoring import TEXTS
from tests.support.plain import plain_hidden_states, plain_network
from tests.support.tiny_models import FAMILIES

PROJECTIONS = {
    "llama": lambda network, block: network.model.layers[block].self_attn.o_proj,
    "gpt_neox": lambda network, block: network.gpt_neox.layers[block].attention.dense,
    "gpt2": lambda network, block: network.transformer.h[block].attn.c_proj,
    "qwen2": lambda network, block: network.model.layers[block].self_attn.o_proj,
    "mistral": lambda network, block: network.model.layers[block].self_attn.o_proj,
}


@torch.inference_mode()
def plain_heads(folder, family, ids):
    """Inputs of the output projections at the last token, [blocks, heads, width], from a plain forward pass."""
    network = plain_network(folder)
    found = []
    hooks = [
        PROJECTIONS[family](network, block).register_forward_pre_hook(
            lambda _module, inputs: found.append(inputs[0][0, -1].view(4, -1))
        )
        for block in range(2)
    ]
    network(torch.tensor([list(ids)]))
    for hook in hooks:
        hook.remove()
    return torch.stack(found).numpy()


@pytest.mark.parametrize("family", FAMILIES)
def test_heads_are_those_of_a_plain_forward(family, tiny_model, tiny_model_dir):
    model = tiny_model(family)
    sequences = [sequence.ids for sequence in encode(model.tokenizer, TEXTS)]
    sites = all_sites(2, 4, "heads")
    assert [(site.block, site.head) for site in sites] == [(block, head) for block in range(2) for head in range(4)]
    found = last_token_activations(model, sequences, sites, batch_tokens=60)
    assert found.dtype == np.float32
    for values, ids in zip(found, sequences, strict=True):
        expected = plain_heads(tiny_model_dir(family), family, ids)
        np.testing.assert_allclose(values.reshape(expected.shape), expected, atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_block_outputs_are_those_of_a_plain_forward(family, tiny_model, tiny_model_dir):
    model = tiny_model(family)
    sequences = [sequence.ids for sequence in encode(model.tokenizer, TEXTS)]
    found = last_token_activations(model, sequences, all_sites(2, 4, "blocks"))
    assert found.shape == (len(sequences), 2, 32)
    for values, ids in zip(found, sequences, strict=True):
        np.testing.assert_allclose(values[:1], plain_hidden_states(tiny_model_dir(family), ids), atol=1e-4)


def test_chosen_sites_come_in_the_order_asked_for(tiny_model):
    model = tiny_model("llama")
    sequences = [sequence.ids for sequence in encode(model.tokenizer, TEXTS)]
    everything = last_token_activations(model, sequences, all_sites(2, 4, "heads"))
    chosen = last_token_activations(model, sequences, [Site(1, 2), Site(0, 3), Site(1, 0)])
    np.testing.assert_allclose(chosen, everything[:, [6, 3, 4]], atol=1e-5)


@pytest.mark.parametrize(("kind", "runs"), [(Site(0, 1), False), (Site(0), True), (Site(1, 1), True)])
def test_nothing_after_the_deepest_site_is_run(kind, runs, tiny_model):
    model = tiny_model("gpt_neox")
    ran = []
    hook = model.decoder.layers[0].mlp.register_forward_hook(lambda *_: ran.append("mlp"))
    deeper = model.decoder.final_layer_norm.register_forward_hook(lambda *_: ran.append("norm"))
    last_token_activations(model, [[5, 6, 7]], [kind])
    hook.remove()
    deeper.remove()
    assert ran == (["mlp"] if runs else [])


def test_order_and_batch_size_do_not_matter(tiny_model):
    model = tiny_model("mistral")
    sequences = [sequence.ids for sequence in encode(model.tokenizer, TEXTS)]
    sites = all_sites(2, 4, "heads")
    expected = last_token_activations(model, sequences, sites)
    order = np.random.default_rng(0).permutation(len(sequences))
    shuffled = last_token_activations(model, [sequences[place] for place in order], sites, batch_tokens=1)
    np.testing.assert_allclose(shuffled, expected[order], atol=1e-5)


def test_a_model_without_a_known_attention_is_named(tiny_model, monkeypatch):
    monkeypatch.setattr(activations, "_ATTENTIONS", {"self_attn": ("nowhere",)})
    with pytest.raises(InputError, match="no attention output projection in Block"):
        last_token_activations(tiny_model("llama"), [[5, 6]], [Site(0, 0)])
