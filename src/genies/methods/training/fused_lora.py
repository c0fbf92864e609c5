"""A linear layer with a low-rank adapter as one operation, with fewer passes over activations than in PEFT.

It is used on a CPU in float32, for a frozen linear layer of torch with one plain adapter. Other layers (quantized, on a
GPU, with hooks of accelerate) and other number formats use PEFT's forward pass. The results are the same except for
rounding.
"""

from __future__ import annotations

from typing import Any

import torch
from peft.tuners.lora.layer import Linear
from torch import Tensor, nn

from genies.methods.training.dropout import PairDropout


class FusedLora(Linear):
    """PEFT's layer, with another forward pass for training; its parameters and files are PEFT's."""

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        name = self._only_adapter()
        if args or kwargs or name is None or not torch.is_grad_enabled() or not _plain(x):
            found: Tensor = super().forward(x, *args, **kwargs)
            return found
        down, up, base = self.lora_A[name], self.lora_B[name], self.base_layer
        dropout = self.lora_dropout[name]
        kept, share = (dropout.kept(x), dropout.share) if isinstance(dropout, PairDropout) else (None, 0.0)
        scale = self.scaling[name] if kept is None else self.scaling[name] / (1 - share)
        result: Tensor = _Fused.apply(x.flatten(0, -2), base.weight, base.bias, down.weight, up.weight, kept, scale)
        return result.view(*x.shape[:-1], -1)

    def _only_adapter(self) -> str | None:
        """The name of the adapter, if the layer is what _Fused computes."""
        if self.disable_adapters or self.merged or self.lora_variant or len(self.active_adapters) != 1:
            return None
        name: str = self.active_adapters[0]
        if name not in self.lora_A or not isinstance(self.lora_dropout[name], PairDropout | nn.Identity):
            return None
        layers: tuple[Any, ...] = (self.base_layer, self.lora_A[name], self.lora_B[name])
        if any(type(layer) is not nn.Linear or hasattr(layer, "_hf_hook") for layer in layers):
            return None
        if any(layer._forward_hooks or layer._forward_pre_hooks for layer in layers):
            return None
        if self.lora_B[name].bias is not None or not all(_plain(layer.weight) for layer in layers):
            return None
        return None if any(each.requires_grad for each in self.base_layer.parameters()) else name


def fuse_lora(network: Any) -> None:
    """Let PEFT's linear layers with adapters compute their product as one operation, where this is supported."""
    for module in network.modules():
        if type(module) is Linear:
            module.__class__ = FusedLora


def _plain(values: Tensor) -> bool:
    """Whether values are on a CPU, in float32 and not under autocast."""
    return values.device.type == "cpu" and values.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")


class _Fused(torch.autograd.Function):
    """values @ weight.T + bias + scale * (values * kept) @ down.T @ up.T, for values [tokens, width]."""

    @staticmethod
    def forward(
        context: Any,
        values: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        down: Tensor,
        up: Tensor,
        kept: Tensor | None,
        scale: float,
    ) -> Tensor:
        used = values if kept is None else values * kept
        inner = used @ down.T
        context.save_for_backward(weight, down, up, kept, used, inner)
        context.scale = scale
        return nn.functional.linear(values, weight, bias).addmm_(inner, up.T, alpha=scale)

    @staticmethod
    def backward(context: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        weight, down, up, kept, used, inner = context.saved_tensors
        of_inner = (slope @ up).mul_(context.scale)
        of_values = None
        if context.needs_input_grad[0]:
            of_values = slope @ weight
            if kept is None:
                of_values.addmm_(of_inner, down)
            else:
                of_values.addcmul_(of_inner @ down, kept.to(slope))
        of_up = (slope.T @ inner).mul_(context.scale)
        return of_values, None, None, of_inner.T @ used, of_up, None, None
