"""A Ray cluster whose nodes share a file system: how to join one, which nodes can run jobs, what they see.

With an address, the cluster already runs (`ray start`); Ray reads its token from RAY_AUTH_MODE=token and
RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token. Without an address, a cluster of this machine alone is
started, which listens only on the loopback interface and is stopped at the end.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genies.errors import InputError
from genies.files import write_text

_KNOCK_SECONDS = 10.0

_ANSWER_SECONDS = 120.0
"""Time limit for a node to check whether it sees the shared folders, including the start of its first worker."""

_OBJECT_STORE_BYTES = 100_000_000
"""Ray's shared memory on a local cluster, which transfers a few kilobytes per job."""


class Cluster:
    """A connection to a cluster, for jobs with `cpus` processors and `gpus` GPUs (a fraction or a whole number)."""

    def __init__(self, address: str | None, cpus: int, gpus: float) -> None:
        self._cpus, self._gpus = cpus, gpus
        self.ray = _connect(address)
        self.nonces: dict[str, str] = {}
        """Files in the shared folders and their content, by which a node shows that it sees the folders."""

    def close(self) -> None:
        """Leave the cluster, and stop it if it was started here."""
        for file in self.nonces:
            Path(file).unlink(missing_ok=True)
        self.ray.shutdown()

    @property
    def slots(self) -> int:
        """How many jobs run at once; InputError if no node can run one."""
        slots = sum(places(node["Resources"], self._cpus, self._gpus) for node in self.able_nodes())
        if not slots:
            raise InputError(self.too_small())
        return slots

    @property
    def has_gpus(self) -> bool:
        """Whether a node that can run a job has a GPU."""
        return any(node["Resources"].get("GPU") for node in self.able_nodes())

    def able_nodes(self) -> list[dict[str, Any]]:
        """The living nodes that have the resources for a job."""
        nodes: list[dict[str, Any]] = [node for node in self.ray.nodes() if node["Alive"]]
        return [node for node in nodes if places(node["Resources"], self._cpus, self._gpus)]

    def too_small(self) -> str:
        nodes = [node for node in self.ray.nodes() if node["Alive"]]
        have = ", ".join(
            f"{_name(node)}: {node['Resources'].get('CPU', 0):g} CPUs, {node['Resources'].get('GPU', 0):g} GPUs"
            for node in nodes
        )
        return (
            f"no node of the Ray cluster has {self._cpus} CPUs and {self._gpus:g} GPUs for a job ({have}); "
            "start larger nodes, or lower --cpus_per_step or --gpus_per_step"
        )

    def check_shared(self, folders: Sequence[Path]) -> None:
        """Write a file into each shared folder, and check that every node that can run a job reads it."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        for folder in folders:
            file, content = folder / f".nonce-{secrets.token_hex(8)}", secrets.token_hex(16)
            self.nonces[str(file)] = content
            write_text(file, content)
        look = self.ray.remote(num_cpus=0, max_retries=0)(unseen)
        asked = {}
        for node in self.able_nodes():
            pinned = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            asked[look.options(scheduling_strategy=pinned).remote(json.dumps(self.nonces))] = _name(node)
        answered, silent = self.ray.wait(list(asked), num_returns=len(asked), timeout=_ANSWER_SECONDS)
        faults = [f"{asked[each]} did not answer within {_ANSWER_SECONDS:.0f} s" for each in silent]
        for each in answered:
            try:
                hidden = json.loads(self.ray.get(each))
            except self.ray.exceptions.RayError as error:
                said = str(error).strip().splitlines() or [type(error).__name__]
                faults.append(f"{asked[each]} cannot run our code: {said[-1]}")
            else:
                missing = ", ".join(str(Path(file).parent) for file in hidden)
                faults += [f"{asked[each]} does not see {missing}"] * bool(hidden)
        if faults:
            found = "; ".join(sorted(faults))
            raise InputError(
                f"{len(faults)} of {len(asked)} nodes of the Ray cluster cannot run jobs: {found}. "
                "Put the project, its environment, models_dir and results_dir on a shared file system, "
                "with the same paths on every node"
            )


def unseen(nonces: str) -> str:
    """For {file: content} as JSON, the list of files that do not have this content on this node, as JSON."""
    return json.dumps([file for file, content in json.loads(nonces).items() if not _holds(Path(file), content)])


def _holds(file: Path, content: str) -> bool:
    try:
        return file.read_text(encoding="utf-8") == content
    except (OSError, ValueError):
        return False


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
