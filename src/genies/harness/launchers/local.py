"""Run jobs as processes of this machine: a number of slots, or one job per listed GPU."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from threading import Lock

from genies.file_hashes import FileHashes
from genies.harness.execute import carry_out
from genies.harness.order import Order, Place, order_from_json, result_to_json
from genies.processes.gpus import shown_gpus
from genies.processes.hardware import gpu_is_there
from genies.processes.preload import Preloaded
from genies.processes.process import step_environment

LIBRARIES = (
    "torch",
    "sklearn.linear_model",
    "transformers.models.llama.modeling_llama",
    "peft",
    "accelerate",
    "genies.methods.judging",
    "genies.methods.demonstrations",
    "genies.methods.ccs_training",
    "genies.methods.representations",
    "genies.methods.logistic_probe",
    "genies.methods.training.tuning",
    "genies.methods.training.evaluation",
)
"""What jobs are forked with. Other modules are imported by the jobs that need them."""

_USES_THEM = re.compile(rb"\b(genies\.(lm|methods)|torch|transformers)\b")


class LocalLauncher:
    """Runs `slots` jobs at once; with `gpus`, one job on each `gpus_per_job` of them, which sees only these.

    `gpus`: numbers and identifiers for genies.processes.gpus.shown_gpus; InputError for others. With `preload`, jobs
    whose scripts use this project's models and methods are forked from one process that has imported them.
    """

    def __init__(
        self, slots: int, gpus: Sequence[str], hashes: FileHashes, preload: bool = False, gpus_per_job: int = 1
    ) -> None:
        shown = shown_gpus(gpus, os.environ, gpus_per_job)
        if gpus and not gpu_is_there():
            print(
                f"--gpus {','.join(gpus)}: no NVIDIA device or driver was found on this machine (/dev/nvidia*, "
                f"/proc/driver/nvidia); jobs run on the CPU, {len(shown)} at once",
                file=sys.stderr,
            )
        self.slots = len(shown) if shown else slots
        self._hashes = hashes
        self._free: SimpleQueue[str | None] = SimpleQueue()
        for index in range(self.slots):
            self._free.put(shown[index] if shown else None)
        self._preload = preload
        self._preloaded: Preloaded | None = None
        self._starting = Lock()
        self._cancel_read, self._cancel_write = os.pipe()
        # Each thread waits for its job's process. There are more threads than slots, so that while a process runs, the
        # next job is prepared and the outputs of the previous one are stored.
        self._threads = ThreadPoolExecutor(2 * self.slots, thread_name_prefix="step")

    def submit(self, order: str) -> Future[str]:
        return self._threads.submit(self._run, order)

    def _run(self, order: str) -> str:
        place = Place(self._hashes, self._cancel_read, self._free, self._preloaded_for)
        return result_to_json(carry_out(order_from_json(order), place))

    def _preloaded_for(self, order: Order) -> Preloaded | None:
        """The process from which a job is forked, started with the first job whose script names the libraries."""
        if not (self._preload and sys.platform == "linux" and _USES_THEM.search(order.job.script.read_bytes())):
            return None
        with self._starting:
            if self._preloaded is None:
                settings = order.settings
                self._preloaded = Preloaded(LIBRARIES, settings.store.root, step_environment(settings.threads))
            return self._preloaded

    def close(self, cancel: bool) -> None:
        if cancel and self._cancel_write >= 0:
            os.close(self._cancel_write)  # the reading end becomes readable, which ends every job
            self._cancel_write = -1
        self._threads.shutdown(wait=True, cancel_futures=cancel)
        if self._preloaded is not None:
            self._preloaded.close()
        for descriptor in (self._cancel_read, self._cancel_write):
            if descriptor >= 0:
                os.close(descriptor)
        self._cancel_read = self._cancel_write = -1
