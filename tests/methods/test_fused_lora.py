"""The fused product of a linear layer with an adapter, compared with PEFT's own forward pass and its gradient."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora.layer import Linear

from genies.methods.training.dropout import Draw, drawing, replace_dropout
from genies.methods.training.fused_lora import FusedLora, _Fused, fuse_lora
from genies.methods.training.micro_batches import Stretch


class _Two(torch.nn.Module):
    """Two linear layers, the first of which has input that needs no gradient."""

    def __init__(self, bias: bool) -> None:
        super().__init__()
        self.first, self.second = torch.nn.Linear(8, 12, bias=bias), torch.nn.Linear(12, 6, bias=bias)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(values).tanh())


def _network(bias: bool, share: float = 0.25) -> Any:
    torch.manual_seed(0)
    network: Any = get_peft_model(_Two(bias), LoraConfig(r=3, lora_alpha=5, target_modules="all-linear"))
    for parameter in network.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter)
    replace_dropout(network, share)
    return network


def _layers(network: Any) -> list[Any]:
    return [module for module in network.modules() if isinstance(module, Linear)]


def _slopes(network: Any, draw: Draw | None, dtype: torch.dtype | None = None) -> list[torch.Tensor]:
    """Output and gradients of the input and of all adapters."""
    values = torch.randn(1, 40, 8, generator=torch.Generator().manual_seed(1)).requires_grad_(True)
    half = nullcontext() if dtype is None else torch.autocast("cpu", dtype=dtype)
    with drawing(draw), half:
        output = network(values)
    output.float().square().sum().backward()
    found = [parameter.grad for parameter in network.parameters() if parameter.requires_grad]
    assert values.grad is not None
    return [output.detach(), values.grad, *(each.clone() for each in found if each is not None)]


DRAW = Draw(0, 0, [Stretch(0, 0, 0, 25), Stretch(1, 0, 25, 40)], tokens=40)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("draw", [None, DRAW])
def test_output_and_gradients_are_those_of_peft(bias: bool, draw: Draw | None) -> None:
    expected = _slopes(_network(bias), draw)
    network = _network(bias)
    fuse_lora(network)
    assert {type(each) for each in _layers(network)} == {FusedLora}
    found = _slopes(network, draw)
    assert len(found) == len(expected) == 6
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5 * float(theirs.abs().max()))


@pytest.mark.parametrize("case", ["autocast", "disabled", "tuned base", "hook", "two adapters"])
def test_layers_that_it_does_not_support_are_computed_by_peft(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network, plain = _network(True), _network(True)
    fuse_lora(network)

    widths: list[int] = []
    apply = _Fused.apply

    def record(*given: Any) -> Any:
        widths.append(given[0].shape[-1])
        return apply(*given)

    monkeypatch.setattr(_Fused, "apply", record)
    for each in (network, plain):
        layer = _layers(each)[0]
        if case == "disabled":
            layer.enable_adapters(False)
        elif case == "tuned base":
            layer.base_layer.requires_grad_(True)
        elif case == "hook":
            layer.lora_A["default"].register_forward_hook(lambda _module, _inputs, output: output * 2)
        elif case == "two adapters":
            torch.manual_seed(2)
            each.add_adapter("more", LoraConfig(r=2, target_modules=["first", "second"], init_lora_weights=False))
            each.base_model.set_adapter(["default", "more"])
    dtype = torch.bfloat16 if case == "autocast" else None
    found, expected = _slopes(network, DRAW, dtype), _slopes(plain, DRAW, dtype)
    assert 8 not in widths  # the width of the first layer's input
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5 * float(theirs.abs().max()))
