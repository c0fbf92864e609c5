"""Dropout whose mask depends only on the seed, the step, the pair and the layer.

A pair has the same mask in every division into forward passes and processes, when activations are computed again, and
when training continues from a checkpoint. No random state has to be stored. A CPU and a GPU draw different masks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from genies.lm.packing import Row
from genies.methods.training.micro_batches import Stretch

HASHED_DEVICES = frozenset({"cuda"})
"""Device types on which masks are computed from a hash; on others, a seeded generator is faster."""


@dataclass(frozen=True)
class Draw:
    """The properties of a training forward pass that determine its masks."""

    seed: int
    step: int
    stretches: list[Stretch]
    tokens: int
    """Number of tokens of the batch, including padding."""
    row: Row | None = None
    """How the tokens are packed."""
    _made: dict[Any, Tensor] = field(default_factory=dict, compare=False)

    def bits(self, device: torch.device, layer: int, width: int) -> Tensor:
        """Numbers [tokens, width] from -32768 to 32767 that depend on seed, step, pair, place in the pair and layer.

        On a GPU this takes a few calls for all pairs, where a seeded generator takes several for each. A hash of 64
        bits serves four layers that follow each other.
        """
        group, place = divmod(layer, 4)
        if device not in self._made:
            keys = torch.zeros(self.tokens, dtype=torch.long)
            for stretch in self.stretches:
                start = stable_number(f"dropout {self.seed} {self.step} {stretch.slot} {stretch.branch}")
                keys[stretch.start : stretch.stop] = start + torch.arange(stretch.stop - stretch.start)
            self._made[device] = _mixed(keys).to(device)[:, None]
        if (device, group, width) not in self._made:
            for key in [each for each in self._made if isinstance(each, tuple)]:
                del self._made[key]  # a block's layers of one width follow each other
            self._made[device, group, width] = _mixed(self._made[device] ^ _columns(device, group, width))
        return self._made[device, group, width].view(torch.int16)[:, place::4]


_current: ContextVar[Draw | None] = ContextVar("draw", default=None)


@contextmanager
def drawing(draw: Draw | None) -> Iterator[None]:
    """Within the context, PairDropout draws its masks from `draw`; with None, it does nothing."""
    token = _current.set(draw)
    try:
        yield
    finally:
        _current.reset(token)


def current_draw() -> Draw | None:
    """The Draw of the surrounding forward pass; None outside of `drawing`."""
    return _current.get()


class PairDropout(nn.Module):
    """Dropout of activations [..., width] with one mask per pair.

    Does nothing outside of `drawing`, and in layers that do not process every token of the batch once.
    """

    def __init__(self, share: float, layer: int) -> None:
        """`share` is the probability of dropping a value; `layer` is the number of this module in the network."""
        super().__init__()
        self.share = share
        self.layer = layer

    def forward(self, values: Tensor) -> Tensor:
        kept = self.kept(values)
        return values if kept is None else values * kept.view_as(values) / (1 - self.share)

    def kept(self, values: Tensor) -> Tensor | None:
        """1 or True for each value that is kept, 0 or False for the others [tokens, width]; None if all are kept."""
        draw, width = _current.get(), values.shape[-1]
        # An expert, for example, does not process every token, and which it processes depends on the other tokens.
        if draw is None or self.share == 0 or values.numel() != draw.tokens * width:
            return None
        least = round(self.share * 2**16) - 2**15
        if values.device.type in HASHED_DEVICES:
            return draw.bits(values.device, self.layer, width) >= least
        bits = torch.full((draw.tokens, width), 2**15 - 1, dtype=torch.int16, device=values.device)
        generator = torch.Generator(values.device)
        for stretch in draw.stretches:
            key = f"dropout {draw.seed} {draw.step} {stretch.slot} {stretch.branch} {self.layer}"
            generator.manual_seed(stable_number(key))
            part = bits[stretch.start : stretch.stop]
            # 16 bits per value: 2.5 times as fast as bernoulli_ on a CPU.
            words = torch.empty(-(-part.numel() // 4), dtype=torch.int64, device=values.device)
            words.random_(-(2**63), None, generator=generator)
            part.copy_(words.view(torch.int16)[: part.numel()].view_as(part))
        # Multiplying by a mask of booleans takes twice as long on a CPU.
        return torch.ge(bits, least, out=torch.empty(bits.shape, dtype=values.dtype, device=values.device))

    def extra_repr(self) -> str:
        return f"share={self.share}, layer={self.layer}"


@lru_cache(maxsize=1024)
def _columns(device: torch.device, group: int, width: int) -> Tensor:
    return _mixed(torch.arange(width, device=device) + stable_number(f"layers {group}"))


def _mixed(numbers: Tensor) -> Tensor:
    """A hash of 64-bit integers: the finalizer of splitmix64 (Steele et al. 2014), with arithmetic shifts."""
    numbers = (numbers ^ (numbers >> 30)).mul_(-0x40A7B892E31B1A47)
    numbers ^= numbers >> 27
    numbers.mul_(-0x6B2FB644ECCEEE15)
    return numbers ^ (numbers >> 31)


def replace_dropout(network: Any, share: float) -> None:
    """Replace every dropout of LoRA layers by PairDropout.

    Adapters of single parameters, such as the weights of all experts in one tensor, have no dropout, because they share
    their input with the weight.
    """
    from peft.tuners.lora.layer import ParamWrapper

    layers = [
        module
        for module in network.modules()
        if isinstance(getattr(module, "lora_dropout", None), nn.ModuleDict) and not isinstance(module, ParamWrapper)
    ]
    for number, layer in enumerate(layers):
        for name in layer.lora_dropout:
            layer.lora_dropout[name] = PairDropout(share, number)


def stable_number(text: str) -> int:
    """A 63-bit hash of a text, the same on every machine."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8"), digest_size=8).digest(), "big") >> 1
