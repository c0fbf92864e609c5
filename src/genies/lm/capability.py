"""What a network can do, found by trying: packed rows, and a language-model head that is a matrix and nothing more."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from genies.errors import InputError
from genies.lm import attention
from genies.lm.packing import pack


def check_network(network: Any, folder: str) -> tuple[bool, bool]:
    """(packs, plain_head), the two flags of LanguageModel, found by running a few tokens.

    Branched sequences go through packed rows and through plain forward passes. Where the results agree the network's
    attention is left set to ours; where not, a warning that names `folder` is printed.
    """
    size = network.get_input_embeddings().weight.shape[0]
    trunk = [(7919 * step + 13) % size for step in range(9)]
    sequences = [
        [*trunk, *((104729 * step + 7 + branch) % size for step in range(length))]
        for branch, length in enumerate((5, 3, 6))
    ]
    with torch.inference_mode():
        plain, plain_head = _plain(network, sequences)
        before = network.config._attn_implementation
        try:
            reason = _packing_fault(network, sequences, plain)
        except Exception as error:  # whatever a model of another make does with a foreign attention
            if is_out_of_memory(error):  # says nothing of what it can do
                raise InputError(f"the weights in {folder} leave no memory to run them; try --dtype bfloat16") from None
            reason = first_line(error)
    if reason is not None:
        network.set_attn_implementation(before)
        print(
            f"warning: {folder} cannot take packed rows ({reason}); using padded batches, which are slower",
            file=sys.stderr,
        )
    return reason is None, plain_head


def find_decoder(network: Any) -> Any:
    """The part of a network below its language-model head; InputError when it has none."""
    decoder = network.get_decoder()
    if decoder is network or not hasattr(decoder, "config"):
        decoder = network.base_model
    if decoder is None or decoder is network:
        raise InputError(f"{type(network).__name__} is no decoder with a language-model head on top")
    return decoder


def _plain(network: Any, sequences: list[list[int]]) -> tuple[list[Tensor], bool]:
    """Last hidden states of each sequence, and whether the head is plain, from one padded forward pass."""
    length = max(map(len, sequences))
    ids = torch.tensor([sequence + [0] * (length - len(sequence)) for sequence in sequences], device=network.device)
    mask = torch.tensor([[1] * len(sequence) + [0] * (length - len(sequence)) for sequence in sequences])
    found: list[Tensor] = []
    hook = find_decoder(network).register_forward_hook(
        lambda _module, _inputs, output: found.append(output.last_hidden_state)
    )
    try:
        logits = network(ids, attention_mask=mask.to(network.device), use_cache=False).logits
    finally:
        hook.remove()
    head = network.get_output_embeddings()
    plain_head = head is not None and _close(apply_head(head, found[0][0]), logits[0])
    return [hidden[: len(sequence)] for hidden, sequence in zip(found[0], sequences, strict=True)], plain_head


def _packing_fault(network: Any, sequences: list[list[int]], plain: list[Tensor]) -> str | None:
    """Why packed rows will not do, None when they give what `plain` says."""
    kinds = set(getattr(network.config, "layer_types", None) or ())
    if foreign := kinds - {"full_attention", "sliding_attention"}:
        return f"it has layers of kind {', '.join(sorted(foreign))}"
    network.set_attn_implementation(attention.NAME)
    row = pack(sequences, least_shared=1)
    with attention.attending(row) as masks:
        packed = find_decoder(network)(
            torch.tensor([row.ids], device=network.device),
            position_ids=torch.tensor([row.positions], device=network.device),
            use_cache=False,
        ).last_hidden_state[0]
    if not all(_close(packed[row.indices(place)], expected) for place, expected in enumerate(plain)):
        return "its result differs from that of plain forward passes"
    windowed = "sliding_attention" in kinds or (not kinds and getattr(network.config, "sliding_window", None))
    if windowed and not masks.windows:
        return "it limits how far a token sees in a way of its own"
    return None


def apply_head(head: Any, hidden: Tensor) -> Tensor:
    """Logits [tokens, vocabulary] of hidden states [tokens, width] by an output embedding, on its device."""
    return torch.nn.functional.linear(hidden.to(head.weight.device), head.weight, getattr(head, "bias", None))


def _close(found: Tensor, expected: Tensor) -> bool:
    tolerance = 1e-3 if expected.dtype == torch.float32 else 5e-2
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
