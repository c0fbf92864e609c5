"""Run jobs as tasks of a Ray cluster whose nodes share a file system.

A task gets a job's order as JSON and returns its result as JSON. A job that is lost with its worker or node is tried
again elsewhere; a job that fails is not. genies.processes.ray_cluster joins or starts the cluster.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from genies.errors import InputError
from genies.harness.execute import ATTEMPTS
from genies.harness.launchers.ray_node import run_on_node
from genies.harness.order import Result, order_from_json, result_from_json, result_to_json
from genies.harness.state import write_state
from genies.harness.store import Store
from genies.processes.process import GRACE_SECONDS
from genies.processes.ray_cluster import Cluster

_LOOK_SECONDS = 15.0
"""How often a waiting job checks whether any node can still run it."""

_APPEAR_SECONDS = 90.0
"""Time limit for a new folder to appear on this machine; NFS caches directory entries for up to 60 s."""


class RayLauncher:
    """Each job gets `cpus` processors and `gpus` GPUs (a fraction or a whole number) of a node."""

    def __init__(self, address: str | None, cpus: int, gpus: float, store: Store) -> None:
        self._cluster = Cluster(address, cpus, gpus)
        try:
            self.slots = self._cluster.slots
            self._cluster.check_shared([store.models_dir, store.results_dir])
            if not gpus and self._cluster.has_gpus:
                print("the cluster has GPUs, but jobs get none; --gpus_per_step 1 gives each job one", file=sys.stderr)
        except BaseException:
            self._cluster.close()
            raise
        self._ray = self._cluster.ray
        # Lost nodes are handled here, because Ray would not wait for the lost attempt's processes to end.
        options = {"num_cpus": cpus, "num_gpus": gpus, "max_retries": 0, "scheduling_strategy": "SPREAD"}
        self._task = self._ray.remote(**options)(run_on_node)
        self._guard = threading.Lock()
        self._cancelled = threading.Event()
        self._running: set[Any] = set()
        # Each thread waits for its job. There are twice as many threads as slots, so that Ray always has jobs to start.
        self._threads = ThreadPoolExecutor(2 * self.slots, thread_name_prefix="step")

    def submit(self, order: str) -> Future[str]:
        return self._threads.submit(self._run, order)

    def close(self, cancel: bool) -> None:
        if cancel:
            with self._guard:
                self._cancelled.set()
                for reference in self._running:
                    self._ray.cancel(reference)
        self._threads.shutdown(wait=True, cancel_futures=cancel)
        self._cluster.close()

    def _run(self, order: str) -> str:
        """The job's result, after further attempts if it is lost; InputError for faults that the user must correct."""
        job = order_from_json(order).job
        title, lost = job.title, ""
        for attempt in range(1, ATTEMPTS + 1):
            if attempt > 1:
                print(f"trying again, attempt {attempt} of {ATTEMPTS}: {title}: {lost}", file=sys.stderr)
                # By then the processes of the lost attempt have ended and no longer write to the staging folder.
                self._cancelled.wait(GRACE_SECONDS + 1)
            answer = self._attempt(order, title)
            if answer is None:
                return result_to_json(Result(title, failure=f"{title}: was stopped with the run", cancelled=True))
            if "refused" in answer:
                raise InputError(f"{title}: {answer['refused']}")
            if "result" in answer:
                if job.role == "train" and result_from_json(answer["result"]).failure is None:
                    self._await(*job.outputs.values())
                return str(answer["result"])
            lost = answer["lost"]
        failure = f"{title}: was lost {ATTEMPTS} times with its Ray worker: {lost}"
        write_state(order_from_json(order), "failed")
        return result_to_json(Result(title, failure=failure, infrastructure=True, started=True))

    def _attempt(self, order: str, title: str) -> dict[str, str] | None:
        """The answer of run_on_node; None if the run was cancelled."""
        with self._guard:
            if self._cancelled.is_set():
                return None
            reference = self._task.remote(order, json.dumps(self._cluster.nonces))
            self._running.add(reference)
        errors = self._ray.exceptions
        was_cancelled = False
        try:
            while not self._ray.wait([reference], timeout=_LOOK_SECONDS)[0]:
                if was_cancelled:  # a node whose raylet was killed does not cancel its jobs
                    print(f"a job does not answer its cancellation and may still run: {title}", file=sys.stderr)
                    return None
                was_cancelled = self._cancelled.is_set()
                if not self._cluster.able_nodes():
                    self._ray.cancel(reference)
                    raise InputError(f"{self._cluster.too_small()}; then run the same command again to continue")
            answer: dict[str, str] = json.loads(self._ray.get(reference))
            return answer
        except errors.TaskCancelledError:
            return None
        except errors.RayTaskError:
            raise  # an error in our code, not a lost worker
        except errors.RayError as error:
            return {"lost": f"{type(error).__name__}: {str(error).strip().splitlines()[0][:200]}"}
        finally:
            with self._guard:
                self._running.discard(reference)

    def _await(self, model_dir: Path) -> None:
        """Wait until this machine sees a new model; listing its folder makes NFS ask the server."""
        deadline = time.monotonic() + _APPEAR_SECONDS
        while not model_dir.exists() and time.monotonic() < deadline:
            list(model_dir.parent.glob("*"))
            self._cancelled.wait(0.5)
