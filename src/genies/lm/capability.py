"""What a network can do, found by trying: packed rows, padded rows, and a language-model head that is a matrix and
nothing more."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from genies.errors import InputError
from genies.lm import attention
from genies.lm.packing import pack


@dataclass(frozen=True)
class Capability:
    """How a network may be given its sequences, and what its head is."""

    packs: bool
    """Whether packed rows give what plain forward passes give."""
    pads: bool
    """Whether rows padded on the right give what plain forward passes give."""
    plain_head: bool
    """Whether logits are the output embedding applied to the last hidden state and nothing more."""
    causal: bool
    """Whether no token sees a later one."""


def check_network(network: Any, folder: str) -> Capability:
    """The capability of a network, found by running a few tokens.

    Sequences that begin alike go through plain forward passes, padded rows and packed rows. Where packed rows agree
    with plain passes, the network's attention is left set to ours. Where rows of a kind differ, a warning that names
    `folder` is printed. Raises InputError for a network that text alone does not run through.
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
        except Exception as error:  # whatever a model of another make does
            if is_out_of_memory(error):  # says nothing of what it can do
                raise _no_memory(folder) from None
            raise InputError(f"the model in {folder} does not run on text alone: {first_line(error)}") from None
        try:
            pads = _pads(network, sequences, plain)
            reason = _packing_fault(network, sequences, plain)
        except Exception as error:  # whatever a model of another make does with a foreign attention
            if is_out_of_memory(error):
                raise _no_memory(folder) from None
            reason = first_line(error)
    if reason is not None:
        network.set_attn_implementation(before)
        instead = (
            "padded batches" if pads else "batches of sequences of one length, because padding changes its results"
        )
        print(
            f"warning: {folder} cannot take packed rows ({reason}); using {instead}, which are slower", file=sys.stderr
        )
    return Capability(reason is None, pads, plain_head, _is_causal(plain))


def _instead(network: Any, pads: bool) -> str:
    if not pads:
        return "batches of sequences of one length, because padding changes its results"
    edge = sparse_edge(find_decoder(network).config)
    return "padded batches" if edge is None else f"padded batches, and from {edge + 1} tokens on those of one length"


_TRUNK = 9
"""Tokens with which all probing sequences begin."""

_PADDED_KINDS = frozenset(
    {
        "attention", "full_attention", "sliding_attention", "chunked_attention", "linear_attention", "conv", "hybrid",
        "mamba", "moe", "mlp",
    }
)  # fmt: skip
"""Kinds of layers for which a token's result depends on the tokens before it alone, whatever the width of its row.
Others select tokens from the whole row, which shows only in rows longer than any that are worth trying."""


def sparse_edge(config: Any) -> int | None:
    """Number of tokens up to which sparse attention keeps all of them; None for a model without.

    It keeps the tokens with the highest scores. Which of equal ones it keeps depends on the width of the row, so that
    padding changes results in longer rows (DeepSeek V3.2, GLM-5, Doge).
    """
    limits = (getattr(config, name, None) for name in ("index_topk", "keep_window_size"))
    return next((limit for limit in limits if isinstance(limit, int)), None)


def find_decoder(network: Any) -> Any:
    """The part of a network below its language-model head; InputError when it has none."""
    words = network.get_input_embeddings()
    for decoder in (network.get_decoder(), network.base_model, *network.children()):
        # Llama 4 names its decoder otherwise than it says, so that it is looked for by what it holds.
        if decoder is not network and hasattr(decoder, "config") and any(each is words for each in decoder.modules()):
            return decoder
    raise InputError(f"{type(network).__name__} is no decoder with a language-model head on top")


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
"""Larger than any limit by which models cap their logits: Gemma 2 caps them at 30, Grok at 30, others at 50."""


def _has_plain_head(network: Any, sequence: list[int]) -> bool:
    """Whether the network's logits are those of its output embedding, also when they are as large as in real text."""
    head = network.get_output_embeddings()
    if head is None or not hasattr(head, "weight"):
        return False
    found: list[Tensor] = []

    def scale(_module: Any, _inputs: Any, output: Any) -> Any:
        # A random model's logits are small, and so are a trained one's for tokens that make no sense.
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
    # The same products of the same numbers: what differs is the order of sums and the rounding of a result.
    tolerance = 1e-4 if logits.dtype == torch.float32 else 1e-2
    return len(found) == 1 and _close(apply_head(head, found[0]), logits, tolerance)


def _pads(network: Any, sequences: list[list[int]], plain: list[Tensor]) -> bool:
    config = find_decoder(network).config
    unknown = set(getattr(config, "layer_types", None) or ()) - _PADDED_KINDS
    if sparse_edge(config) is not None:
        unknown -= {"indexed_attention"}  # of which all is known
    if unknown:
        return False
    padded = _hidden(network, sequences)
    return all(_close(padded[place, : each.shape[1]], each[0]) for place, each in enumerate(plain))


def _is_causal(plain: list[Tensor]) -> bool:
    """Whether what the sequences begin with gives the same, whatever follows it."""
    return all(_close(each[0, :_TRUNK], plain[0][0, :_TRUNK]) for each in plain)


def _packing_fault(network: Any, sequences: list[list[int]], plain: list[Tensor]) -> str | None:
    """Why packed rows will not do, None when they give what `plain` says."""
    config = find_decoder(network).config
    kinds = set(getattr(config, "layer_types", None) or ())
    if foreign := kinds - {"full_attention", "sliding_attention"}:
        return f"it has layers of kind {', '.join(sorted(foreign))}"
    if sparse_edge(config) is not None:
        return "its attention is sparse"
    network.set_attn_implementation(attention.NAME)
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
        return "it limits how far a token sees in a way of its own"
    return None


def _no_memory(folder: str) -> InputError:
    return InputError(f"the weights in {folder} leave no memory to run them; try --dtype bfloat16")


def apply_head(head: Any, hidden: Tensor) -> Tensor:
    """Logits [tokens, vocabulary] of hidden states [tokens, width] by an output embedding, on its device.

    They are computed in its number format: Mamba gives hidden states in float32 whatever that is.
    """
    return torch.nn.functional.linear(hidden.to(head.weight), head.weight, getattr(head, "bias", None))


def _close(found: Tensor, expected: Tensor, tolerance: float | None = None) -> bool:
    tolerance = tolerance or (1e-3 if expected.dtype == torch.float32 else 5e-2)
    found, expected = found.float(), expected.float().to(found.device)
    return bool((found - expected).norm() <= tolerance * expected.norm())


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the error says that the device or the machine is out of memory."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(
        sign in str(error) for sign in ("can't allocate memory", "not enough memory", "CUBLAS_STATUS_ALLOC_FAILED")
    )


def first_line(error: BaseException) -> str:
    """What an error says, short."""
    lines: Iterable[str] = (line.strip() for line in str(error).splitlines())
    text = next((line for line in lines if line), type(error).__name__)
    return text if len(text) <= 200 else text[:197] + "..."
