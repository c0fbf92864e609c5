"""Run jobs as tasks of a Ray cluster whose nodes share a file system.

A task gets a job's order as JSON and returns its result as JSON. A job that is lost with its worker or node is tried
again elsewhere; a job that fails is not. With an address, the cluster already runs (`ray start`); Ray reads its token
from RAY_AUTH_MODE=token and RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token. Without an address, a cluster of
this machine alone is started, which listens only on the loopback interface and is stopped after the run.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import socket
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from genies.errors import InputError
from genies.files import write_text
from genies.harness.execute import ATTEMPTS
from genies.harness.launchers.ray_node import run_on_node, unseen
from genies.harness.order import Result, order_from_json, result_from_json, result_to_json
from genies.harness.state import write_state
from genies.harness.store import Store
from genies.processes.process import GRACE_SECONDS

_KNOCK_SECONDS = 10.0

_ANSWER_SECONDS = 120.0
"""Time limit for a node to check whether it sees the shared folders, including the start of its first worker."""

_LOOK_SECONDS = 15.0
"""How often a waiting job checks whether any node can still run it."""

_APPEAR_SECONDS = 90.0
"""Time limit for a new folder to appear on this machine; NFS caches directory entries for up to 60 s."""

_OBJECT_STORE_BYTES = 100_000_000
"""Ray's shared memory on a local cluster, which transfers a few kilobytes per job."""


class RayLauncher:
    """Each job gets `cpus` processors and `gpus` GPUs (a fraction or a whole number) of a node."""

    def __init__(self, address: str | None, cpus: int, gpus: float, store: Store) -> None:
        self._cpus, self._gpus = cpus, gpus
        self._ray = _connect(address)
        self._nonces: dict[str, str] = {}
        try:
            able = self._able_nodes()
            self.slots = sum(places(node["Resources"], cpus, gpus) for node in able)
            if not self.slots:
                raise InputError(self._too_small())
            self._check_nodes(able, store)
            if not gpus and any(node["Resources"].get("GPU") for node in able):
                print("the cluster has GPUs, but jobs get none; --gpus_per_step 1 gives each job one", file=sys.stderr)
        except BaseException:
            self._leave()
            raise
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
        self._leave()

    def _leave(self) -> None:
        for file in self._nonces:
            Path(file).unlink(missing_ok=True)
        self._ray.shutdown()

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
            reference = self._task.remote(order, json.dumps(self._nonces))
            self._running.add(reference)
        errors = self._ray.exceptions
        was_cancelled = False
        try:
            while not self._ray.wait([reference], timeout=_LOOK_SECONDS)[0]:
                if was_cancelled:  # a node whose raylet was killed does not cancel its jobs
                    print(f"a job does not answer its cancellation and may still run: {title}", file=sys.stderr)
                    return None
                was_cancelled = self._cancelled.is_set()
                if not self._able_nodes():
                    self._ray.cancel(reference)
                    raise InputError(f"{self._too_small()}; then run the same command again to continue")
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

    def _able_nodes(self) -> list[dict[str, Any]]:
        """The living nodes that have the resources for a job."""
        nodes: list[dict[str, Any]] = [node for node in self._ray.nodes() if node["Alive"]]
        return [node for node in nodes if places(node["Resources"], self._cpus, self._gpus)]

    def _too_small(self) -> str:
        nodes = [node for node in self._ray.nodes() if node["Alive"]]
        have = ", ".join(
            f"{_name(node)}: {node['Resources'].get('CPU', 0):g} CPUs, {node['Resources'].get('GPU', 0):g} GPUs"
            for node in nodes
        )
        return (
            f"no node of the Ray cluster has {self._cpus} CPUs and {self._gpus:g} GPUs for a job ({have}); "
            "start larger nodes, or lower --cpus_per_step or --gpus_per_step"
        )

    def _check_nodes(self, able: list[dict[str, Any]], store: Store) -> None:
        """Write a file into each shared folder, and check that every node that can run a job reads it."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        for folder in (store.models_dir, store.results_dir):
            file, content = folder / f".nonce-{secrets.token_hex(8)}", secrets.token_hex(16)
            self._nonces[str(file)] = content
            write_text(file, content)
        look = self._ray.remote(num_cpus=0, max_retries=0)(unseen)
        asked = {}
        for node in able:
            pinned = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            asked[look.options(scheduling_strategy=pinned).remote(json.dumps(self._nonces))] = _name(node)
        answered, silent = self._ray.wait(list(asked), num_returns=len(asked), timeout=_ANSWER_SECONDS)
        faults = [f"{asked[each]} did not answer within {_ANSWER_SECONDS:.0f} s" for each in silent]
        for each in answered:
            try:
                hidden = json.loads(self._ray.get(each))
            except self._ray.exceptions.RayError as error:
                said = str(error).strip().splitlines() or [type(error).__name__]
                faults.append(f"{asked[each]} cannot run our code: {said[-1]}")
            else:
                folders = ", ".join(str(Path(file).parent) for file in hidden)
                faults += [f"{asked[each]} does not see {folders}"] * bool(hidden)
        if faults:
            found = "; ".join(sorted(faults))
            raise InputError(
                f"{len(faults)} of {len(asked)} nodes of the Ray cluster cannot run jobs: {found}. "
                "Put the project, its environment, models_dir and results_dir on a shared file system, "
                "with the same paths on every node"
            )


def places(resources: dict[str, float], cpus: int, gpus: float) -> int:
    """How many jobs with `cpus` processors and `gpus` GPUs a node with these resources runs at once."""
    by_cpu = int(resources.get("CPU", 0) // cpus)
    have = resources.get("GPU", 0)
    if not gpus:
        return by_cpu
    # A fraction is of a single GPU: three jobs of 0.4 do not fit on one GPU, whose places are two.
    return min(by_cpu, int(have) * int(1 / gpus + 1e-9) if gpus < 1 else int(have // gpus))


def _name(node: dict[str, Any]) -> str:
    return f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']}, node {node['NodeID'][:8]})"


def _connect(address: str | None) -> Any:
    """The module ray, connected; InputError if it is not installed or the cluster does not answer."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address is None:
        # Ray reads this when it is imported. The cluster then listens only on loopback: no other machine can join it.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    try:
        import ray
    except ImportError:
        raise InputError("--launcher ray needs Ray, which is not installed; run: pip install -e .[ray]") from None
    if address is not None:
        _knock(address)
    own: dict[str, Any] = {"include_dashboard": False, "object_store_memory": _OBJECT_STORE_BYTES}
    try:
        ray.init(
            address="local" if address is None else address,
            logging_level=logging.WARNING,
            **(own if address is None else {}),
        )
    except (ConnectionError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        where = "cannot start a local Ray cluster" if address is None else f"cannot join the Ray cluster at {address}"
        raise InputError(
            f"{where}: {said}\n  a cluster with a token needs RAY_AUTH_MODE=token and the same token here; "
            "all nodes need the same versions of Ray and Python"
        ) from None
    return ray


def _knock(address: str) -> None:
    """InputError if nothing listens at the address; Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK_SECONDS).close()
    except (OSError, ValueError, OverflowError) as error:
        raise InputError(
            f"--ray_address: no Ray cluster answers at {address} ({error}); expected HOST:PORT of a running cluster, "
            "as `ray start --head` prints it"
        ) from None
