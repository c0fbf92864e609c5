"""Test whether a network supports packed and padded rows, and whether its language-model head is a plain matrix."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from genies.errors import InputError
from genies.lm import attention
from genies.lm.own_attention import use_rows
from genies.lm.packing import pack
from genies.lm.shared_cache import continued_states


@dataclass(frozen=True)
class Capability:
    """The inputs that a network supports, and properties of its head and attention."""

    packs: bool
    """Whether packed rows give the same results as plain forward passes."""
    pads: bool
    """Whether rows padded on the right give the same results as plain forward passes."""
    plain_head: bool
    """Whether the logits are exactly the output embedding applied to the last hidden state."""
    causal: bool
    """Whether no token sees a later one."""
    continues: bool = False
    """Whether sequences that continue from the cache of a shared beginning give the same results. Not tested, and
    False, for networks that support packed rows."""


def check_network(network: Any, folder: str) -> Capability:
    """The capability of a network, found by running a few tokens.

    Sequences with a shared prefix are run in plain forward passes, padded rows and packed rows. If packed rows agree
    with plain passes, the network keeps the attention of genies.lm.attention; otherwise a warning that names `folder`
    is printed. Raises InputError for a network that does not run on text alone.
    """
    size = network.get_input_embeddings().weight.shape[0]
    trunk = [(7919 * step + 13) % size for step in range(_TRUNK)]
    sequences = [
        [*trunk, *((104729 * step + 7 + branch) % size for step in range(length))]
        for branch, length in enumerate((5, 3, 6))
    ]
    with torch.inference_mode():
        before = network.config._attn_implementation
        try:
            plain = [_hidden(network, [sequence]) for sequence in sequences]
            plain_head = _has_plain_head(network, sequences[0])
        except Exception as error:  # models raise many types
            if is_out_of_memory(error):  # this says nothing about the capability
                raise _no_memory(folder) from None
            raise InputError(
                f"the model in {folder} does not run on text alone: {first_line(error)}; expected a causal language "
                "model"
            ) from None
        try:
            pads = _pads(network, sequences, plain)
            reason = _packing_fault(network, sequences, plain)
        except Exception as error:  # models raise many types if they do not support the attention
            if is_out_of_memory(error):
                raise _no_memory(folder) from None
            reason = first_line(error)
    if reason is not None:
        network.set_attn_implementation(before)
        print(
            f"warning: {folder} does not support packed rows ({reason}); using {_instead(network, pads)}, which are "
            "slower",
            file=sys.stderr,
        )
    causal = _is_causal(plain)
    continues = reason is not None and pads and causal and _continues(network, sequences, plain, folder)
    return Capability(reason is None, pads, plain_head, causal, continues)


def _instead(network: Any, pads: bool) -> str:
    """The batches used instead of packed rows, in words."""
    if not pads:
        return "batches of sequences of one length, because padding changes its results"
    edge = sparse_edge(find_decoder(network).config)
    return "padded batches" if edge is None else f"padded batches, from {edge + 1} tokens on of one length each"


_TRUNK = 9
"""Number of tokens at the beginning that all test sequences share."""

_PADDED_KINDS = frozenset(
    {
        "attention", "full_attention", "sliding_attention", "chunked_attention", "linear_attention", "conv", "hybrid",
        "mamba", "moe", "mlp",
    }
)  # fmt: skip
"""Kinds of layers in which a token's result depends only on the tokens before it, not on the width of its row.
Other kinds select tokens from the whole row, which changes results only in rows that are too long to test here."""


def sparse_edge(config: Any) -> int | None:
    """Number of tokens up to which sparse attention keeps all tokens; None for a model without sparse attention.

    Sparse attention keeps the tokens with the highest scores. Which of several equal ones it keeps depends on the width
    of the row, so padding changes results in longer rows (DeepSeek V3.2, GLM-5, Doge).
    """
    limits = (getattr(config, name, None) for name in ("index_topk", "keep_window_size"))
    return next((limit for limit in limits if isinstance(limit, int)), None)


def find_decoder(network: Any) -> Any:
    """The part of a network below its language-model head; InputError if it has none."""
    words = network.get_input_embeddings()
    for decoder in (network.get_decoder(), network.base_model, *network.children()):
        # Llama 4's base_model_prefix does not name its decoder, so the embedding must be inside.
        if decoder is not network and hasattr(decoder, "config") and any(each is words for each in decoder.modules()):
            return decoder
    raise InputError(f"{type(network).__name__} is not a decoder with a language-model head; expected a causal model")


def _hidden(network: Any, sequences: list[list[int]]) -> Tensor:
    """Last hidden states [sequences, tokens, width]; sequences of several lengths are padded on the right."""
    width = max(map(len, sequences))
    ids = torch.tensor([sequence + [0] * (width - len(sequence)) for sequence in sequences], device=network.device)
    mask = None
    if len(set(map(len, sequences))) > 1:
        mask = torch.tensor([[1] * len(sequence) + [0] * (width - len(sequence)) for sequence in sequences])
        mask = mask.to(network.device)
    hidden: Tensor = find_decoder(network)(ids, attention_mask=mask, use_cache=False).last_hidden_state
    return hidden


_LARGE_LOGIT = 200.0
"""Larger than the value at which models cap their logits: 30 in Gemma 2 and Grok, 50 in others."""


def _has_plain_head(network: Any, sequence: list[int]) -> bool:
    """Whether the network's logits are those of its output embedding, including logits as large as in real text."""
    head = network.get_output_embeddings()
    if head is None or not hasattr(head, "weight"):
        return False
    found: list[Tensor] = []

    def scale(_module: Any, _inputs: Any, output: Any) -> Any:
        # Logits of random models are small, and so are those of trained models for meaningless tokens.
        largest = apply_head(head, output.last_hidden_state[0]).abs().max().float()
        hidden = output.last_hidden_state * (_LARGE_LOGIT / largest).to(output.last_hidden_state)
        output.last_hidden_state = hidden
        found.append(hidden[0])
        return output

    hook = find_decoder(network).register_forward_hook(scale)
    try:
        logits = network(torch.tensor([sequence], device=network.device), use_cache=False).logits[0]
    finally:
        hook.remove()
    # Both are the same products of the same numbers; only the order of sums and the rounding of results differ.
    tolerance = 1e-4 if logits.dtype == torch.float32 else 1e-2
    return len(found) == 1 and _close(apply_head(head, found[0]), logits, tolerance)


def _pads(network: Any, sequences: list[list[int]], plain: list[Tensor]) -> bool:
    config = find_decoder(network).config
    unknown = set(getattr(config, "layer_types", None) or ()) - _PADDED_KINDS
    if sparse_edge(config) is not None:
        unknown -= {"indexed_attention"}  # covered by sparse_edge
    if unknown:
        return False
    padded = _hidden(network, sequences)
    return all(_close(padded[place, : each.shape[1]], each[0]) for place, each in enumerate(plain))


@torch.inference_mode()
def _continues(network: Any, sequences: list[list[int]], plain: list[Tensor], folder: str) -> bool:
    if sparse_edge(find_decoder(network).config) is not None:
        return False
    rests = [sequence[_TRUNK:] for sequence in sequences]
    width = max(map(len, rests))
    rest = torch.tensor([[*each, *[0] * (width - len(each))] for each in rests], device=network.device)
    beginning = torch.tensor([sequences[0][:_TRUNK]], device=network.device)
    try:
        found = continued_states(find_decoder(network), beginning, rest, [len(each) for each in rests])
    except Exception as error:  # models raise many types if they have no cache or one of another kind
        if is_out_of_memory(error):
            raise _no_memory(folder) from None
        return False
    starts = [_TRUNK + place * width for place in range(len(rests))]
    return all(
        _close(found[[*range(_TRUNK), *range(start, start + len(own))]], expected[0])
        for start, own, expected in zip(starts, rests, plain, strict=True)
    )


def _is_causal(plain: list[Tensor]) -> bool:
    """Whether the results for the shared prefix are the same whatever follows it."""
    return all(_close(each[0, :_TRUNK], plain[0][0, :_TRUNK]) for each in plain)


def _packing_fault(network: Any, sequences: list[list[int]], plain: list[Tensor]) -> str | None:
    """The reason why packed rows are not supported; None if they give the same results as `plain`."""
    config = find_decoder(network).config
    kinds = set(getattr(config, "layer_types", None) or ())
    if foreign := kinds - {"full_attention", "sliding_attention"}:
        return f"it has layers of kind {', '.join(sorted(foreign))}"
    if sparse_edge(config) is not None:
        return "its attention is sparse"
    attention.register()
    network.set_attn_implementation(attention.NAME)
    use_rows(network)
    row = pack(sequences, least_shared=1)
    with attention.attending(row) as masks:
        packed = find_decoder(network)(
            torch.tensor([row.ids], device=network.device),
            position_ids=torch.tensor([row.positions], device=network.device),
            use_cache=False,
        ).last_hidden_state[0]
    if not all(_close(packed[row.indices(place)], expected[0]) for place, expected in enumerate(plain)):
        return "its result differs from that of plain forward passes"
    windowed = "sliding_attention" in kinds or (not kinds and getattr(config, "sliding_window", None))
    if windowed and not masks.windows:
        return "its sliding window is not passed to the attention function"
    return None


def _no_memory(folder: str) -> InputError:
    return InputError(f"the weights in {folder} leave too little memory to run the model; try --dtype bfloat16")


def apply_head(head: Any, hidden: Tensor) -> Tensor:
    """Logits [tokens, vocabulary] of hidden states [tokens, width], computed on the device of the output embedding.

    They are computed in the number format of `head`: Mamba's hidden states are float32 for any dtype of the weights.
    """
    return torch.nn.functional.linear(hidden.to(head.weight), head.weight, getattr(head, "bias", None))


def _close(found: Tensor, expected: Tensor, tolerance: float | None = None) -> bool:
    tolerance = tolerance or (1e-3 if expected.dtype == torch.float32 else 5e-2)
    found, expected = found.float(), expected.float().to(found.device)
    return bool((found - expected).norm() <= tolerance * expected.norm())


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the error means that the device or the machine is out of memory."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(
        sign in str(error) for sign in ("can't allocate memory", "not enough memory", "CUBLAS_STATUS_ALLOC_FAILED")
    )


def first_line(error: BaseException) -> str:
    """The first line of an error's message, at most 200 characters."""
    lines: Iterable[str] = (line.strip() for line in str(error).splitlines())
    text = next((line for line in lines if line), type(error).__name__)
    return text if len(text) <= 200 else text[:197] + "..."
