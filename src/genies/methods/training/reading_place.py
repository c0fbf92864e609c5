"""Find the token at which a reward model's own forward pass reads a text, and its outputs there.

transformers reads the last token that is not the config's pad token. In many published reward models, the pad token is
the end-of-text token: they read the token before the last end-of-text, and their head was trained there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from genies.errors import InputError
from genies.lm.capability import first_line


@dataclass(frozen=True)
class Reading:
    """The result of a model's own forward pass on one unpadded text."""

    ids: tuple[int, ...]
    place: int
    """Position of the token that was read."""
    outputs: Tensor
    """The head's outputs [outputs] there."""


def read_probes(
    run: Callable[[Tensor], Any], head: Any, special: Sequence[int | None], words: int, virtual_tokens: int, name: str
) -> list[Reading]:
    """The readings of short texts that end in ordinary tokens and in each of the `special` tokens.

    run: the model's own forward pass, from ids [1, tokens] to an output with logits. words: the number of token ids.
    virtual_tokens: the number of virtual tokens that the forward pass adds in front. Raises InputError, with the
    model's `name`, if the outputs are not those of a linear head at one token.
    """
    known = list(dict.fromkeys(token for token in special if token is not None and 0 <= token < words))
    plain = [token for step in range(9) if (token := (7919 * step + 13) % words) not in known]
    texts = [plain[:5]]
    for token in known:
        texts += [[*plain[:4], token], [*plain[:3], token, token], [token, *plain[:2], token, plain[2]]]
    texts += [[*plain[:3], *known], [*plain[:3], *reversed(known)]] if len(known) > 1 else []
    with torch.inference_mode():
        return [_read(run, head, text, virtual_tokens, name) for text in texts]


def _read(run: Callable[[Tensor], Any], head: Any, ids: Sequence[int], virtual_tokens: int, name: str) -> Reading:
    """Read one text with a hook that replaces the head's outputs by their positions, so that the result is the position
    that the forward pass selects."""
    seen: list[Tensor] = []

    def mark(_module: Any, _inputs: Any, output: Tensor) -> Tensor:
        seen.append(output)
        places = torch.arange(output.shape[-2], device=output.device, dtype=torch.float32)
        return places[:, None].expand(output.shape)

    # The head is float32 here, for any number format of the decoder.
    hooks = [
        head.register_forward_pre_hook(lambda _module, inputs: (inputs[0].float(), *inputs[1:])),
        head.register_forward_hook(mark),
    ]
    try:
        chosen = run(torch.tensor([list(ids)])).logits
    except Exception as error:  # models raise many types
        raise InputError(
            f"the reward model in {name} cannot be run: {first_line(error)}; expected a reward model of a decoder"
        ) from None
    finally:
        for hook in hooks:
            hook.remove()
    tokens = virtual_tokens + len(ids)
    if len(seen) != 1 or seen[0].shape[:-1] != (1, tokens) or chosen.shape != (1, seen[0].shape[-1]):
        raise _unsupported_outputs(name)
    place = int(chosen[0, 0])
    if not virtual_tokens <= place < tokens or bool((chosen != place).any()):
        raise _unsupported_outputs(name)
    return Reading(tuple(ids), place - virtual_tokens, seen[0][0, place])


def passed_over_token(readings: Sequence[Reading], padding: Sequence[int | None], name: str) -> int | None:
    """The token id that the model skips at a text's end, because it reads the last other token; None if it skips none.

    `padding` are the pad tokens in the model's config. Raises InputError if none of them explains every reading.
    """
    for candidate in (None, *padding):
        if all(reading.place == last_place(reading.ids, candidate) for reading in readings):
            return candidate
    raise InputError(
        f"{name}: its own forward pass reads neither the last token of a text nor the last one that is not its "
        f"config's pad token ({padding[0]}); expected a reward model of a decoder"
    )


def last_place(ids: Sequence[int], passed_over: int | None) -> int:
    """Position of the last token that is not `passed_over`; 0 if all tokens are.

    >>> last_place([5, 6, 2, 2], None), last_place([5, 6, 2, 2], 2), last_place([2, 2], 2)
    (3, 1, 0)
    """
    return next((place for place in reversed(range(len(ids))) if ids[place] != passed_over), 0)


def _unsupported_outputs(name: str) -> InputError:
    return InputError(
        f"{name} does not compute its outputs with a linear head at one token; expected a reward model of a decoder, "
        "like those of full_fine_tune"
    )
