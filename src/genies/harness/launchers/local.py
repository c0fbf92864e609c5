"""Run jobs as processes of this machine: a number of slots, or one job per listed GPU."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue

from genies.file_hashes import FileHashes
from genies.harness.execute import carry_out
from genies.harness.order import Place, order_from_json, result_to_json
from genies.processes.gpus import shown_gpus
from genies.processes.hardware import gpu_is_there


class LocalLauncher:
    """Runs `slots` jobs at once; with `gpus`, one job per GPU, which sees only that GPU.

    `gpus`: numbers and identifiers for genies.processes.gpus.shown_gpus; InputError for others.
    """

    def __init__(self, slots: int, gpus: Sequence[str], hashes: FileHashes) -> None:
        shown = shown_gpus(gpus, os.environ)
        if gpus and not gpu_is_there():
            print(
                f"--gpus {','.join(gpus)}: no NVIDIA device or driver was found on this machine (/dev/nvidia*, "
                f"/proc/driver/nvidia); jobs run on the CPU, {len(gpus)} at once",
                file=sys.stderr,
            )
        self.slots = len(gpus) if gpus else slots
        self._hashes = hashes
        self._free: SimpleQueue[str | None] = SimpleQueue()
        for index in range(self.slots):
            self._free.put(shown[index] if shown else None)
        self._cancel_read, self._cancel_write = os.pipe()
        # Each thread waits for its job's process. There are more threads than slots, so that while a process runs, the
        # next job is prepared and the outputs of the previous one are stored.
        self._threads = ThreadPoolExecutor(2 * self.slots, thread_name_prefix="step")

    def submit(self, order: str) -> Future[str]:
        return self._threads.submit(self._run, order)

    def _run(self, order: str) -> str:
        return result_to_json(carry_out(order_from_json(order), Place(self._hashes, self._cancel_read, self._free)))

    def close(self, cancel: bool) -> None:
        if cancel and self._cancel_write >= 0:
            os.close(self._cancel_write)  # the reading end becomes readable, which ends every job
            self._cancel_write = -1
        self._threads.shutdown(wait=True, cancel_futures=cancel)
        for descriptor in (self._cancel_read, self._cancel_write):
            if descriptor >= 0:
                os.close(descriptor)
        self._cancel_read = self._cancel_write = -1
