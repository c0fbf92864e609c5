"""Passes of a divided model that all processes run together, also where one of them runs out of memory.

The other processes wait for that one in the next collective operation of their pass. So it takes part, with empty
numbers, in all operations that are left of this pass, and all processes then agree that the pass failed. A process
knows the operations from an earlier pass of the same kind: they depend on the model, not on the texts.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from genies.errors import InputError
from genies.lm.capability import is_out_of_memory

T = TypeVar("T")


@dataclass(frozen=True)
class _Operation:
    """A collective operation: its function, the shapes of its tensors, and what both have in common."""

    function: Callable[..., Any]
    output: torch.Size
    input: torch.Size
    dtype: torch.dtype
    device: torch.device
    options: tuple[tuple[str, Any], ...]

    def run_empty(self) -> None:
        output, given = (torch.zeros(size, dtype=self.dtype, device=self.device) for size in (self.output, self.input))
        self.function(output, given, **dict(self.options))


class Lockstep:
    """The passes of a model that `fully_shard` has divided. All processes must make the same calls."""

    def __init__(self, root: nn.Module, device: torch.device, processes: int) -> None:
        """root: the divided module, which calls a function with its arguments; see `call`."""
        self._root: Any = root
        self._device, self._processes = device, processes
        self._now: list[_Operation] = []
        self._known: dict[Hashable, list[_Operation]] = {}
        # torch 2.13 and later: a pass that failed can be abandoned.
        self._recovers = hasattr(root, "reset_iter_state")
        if self._recovers:
            from torch.distributed import all_gather_single, reduce_scatter_single

            modules: list[Any] = list(root.modules())
            for module in modules:
                if hasattr(module, "set_custom_all_gather"):
                    module.set_custom_all_gather(_Recorded(all_gather_single, self._now))
                    module.set_custom_reduce_scatter(_Recorded(reduce_scatter_single, self._now))

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """The function's result, computed while the weights outside of blocks are gathered."""
        found: T = self._root(function, *arguments)
        return found

    def run(self, kind: Hashable, body: Callable[[], None], small: Callable[[], None]) -> None:
        """Run a pass, forward and maybe backward.

        kind: passes of one kind have the same collective operations. small: a pass of this kind that needs little
        memory; it is run once before the first pass of a kind, and has to leave nothing behind.

        Raises torch.OutOfMemoryError, in all processes, if one of them ran out of memory in `body`, and InputError if
        even `small` does not fit, or if this version of torch cannot abandon a pass.
        """
        if self._recovers and kind not in self._known:
            self._learn(kind, small)
        self._now.clear()
        failed = False
        try:
            body()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            if not self._recovers:
                raise self._no_memory("in one") from None
            failed = True
        # Outside of the handler: the error keeps what the pass has computed.
        if failed:
            # Also of the weights that are whole now, which are other parameters than their parts.
            self._root.zero_grad(set_to_none=True)
            self._root.reset_iter_state()
            free_cached(self._device)
            for operation in self._known[kind][len(self._now) :]:
                operation.run_empty()
        if self._recovers and self._any(failed):
            raise torch.OutOfMemoryError(f"out of memory in one of {self._processes} processes")

    def sum(self, values: Tensor) -> None:
        """Add the values of all processes, in place."""
        from torch.distributed import all_reduce

        all_reduce(values)

    def _learn(self, kind: Hashable, small: Callable[[], None]) -> None:
        self._now.clear()
        try:
            with torch.random.fork_rng([torch.cuda.current_device()] if self._device.type == "cuda" else []):
                small()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise self._no_memory("with one short pair in each") from None
        self._known[kind] = list(self._now)

    def _no_memory(self, where: str) -> InputError:
        return InputError(
            f"out of memory on {self._device} {where} of {self._processes} processes; use a smaller --batch_tokens, "
            "--gradient_checkpointing True, --dtype bfloat16, more processes or a smaller model"
        )

    def _any(self, failed: bool) -> bool:
        flag = torch.tensor(float(failed), device=self._device)
        self.sum(flag)
        return bool(flag > 0)


class _Recorded:
    """A collective operation of `fully_shard`, which is entered into a list before it runs."""

    def __init__(self, function: Callable[..., Any], calls: list[_Operation]) -> None:
        self._function, self._calls = function, calls

    def allocate(self, size: Sequence[int], *, dtype: torch.dtype, device: torch.device) -> Tensor:
        return torch.empty(*size, dtype=dtype, device=device)

    def __call__(self, output_tensor: Tensor, input_tensor: Tensor, async_op: bool = False, **options: Any) -> Any:
        self._calls.append(
            _Operation(
                self._function,
                output_tensor.shape,
                input_tensor.shape,
                input_tensor.dtype,
                input_tensor.device,
                tuple(options.items()),
            )
        )
        return self._function(output_tensor, input_tensor, async_op=async_op, **options)


def free_cached(device: torch.device) -> None:
    """Return the memory of a GPU that torch keeps for later."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
