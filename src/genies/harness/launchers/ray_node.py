"""Run one job on a node of a Ray cluster, in its own process, after a check of the shared folders.

Ray kills the children of a worker that it cancels or loses with SIGKILL, but not their children. If the job's
supervisor were such a child, the job would outlive it. So a runner process is between the two: the worker keeps the
runner's standard input open, the runner keeps the supervisor's open, and if either of them ends, the job ends.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import threading
import time
from pathlib import Path

from genies.cache import cache_dir
from genies.errors import InputError, describe_os_error
from genies.file_hashes import FileHashes
from genies.harness.execute import carry_out
from genies.harness.order import Place, order_from_json, result_to_json
from genies.processes.process import GRACE_SECONDS
from genies.processes.ray_cluster import unseen

_CANCEL_SECONDS = 0.2
"""How often a waiting worker runs Python code, which notices that Ray has cancelled it."""


def run_on_node(order: str, nonces: str) -> str:
    """Run a job (an Order as JSON) and return JSON: {"result": a Result}, {"refused": text} or {"lost": text}.

    refused: the node cannot run jobs until the user corrects a fault; lost: another attempt may succeed.
    """
    import ray

    hidden = json.loads(unseen(nonces))
    if hidden:  # the node joined after the check at the start
        return json.dumps({"refused": f"does not see {', '.join(str(Path(file).parent) for file in hidden)}"})
    # A job without a reserved GPU must not see any, because all such jobs would use the first one.
    no_gpu = {} if ray.get_gpu_ids() else {"CUDA_VISIBLE_DEVICES": ""}
    runner = subprocess.Popen(
        [sys.executable, "-P", "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **no_gpu},
        start_new_session=True,
    )
    assert runner.stdin is not None
    assert runner.stdout is not None
    answer = b""
    try:
        runner.stdin.write(order.encode() + b"\n")
        runner.stdin.flush()
    except BrokenPipeError:
        pass  # it did not start; its exit status is reported below
    while True:
        try:
            if select.select([runner.stdout], [], [], _CANCEL_SECONDS)[0]:
                part = os.read(runner.stdout.fileno(), 1 << 16)
                if not part:
                    break
                answer += part
        except KeyboardInterrupt:  # ray.cancel: the runner ends the job and returns its result
            runner.stdin.close()
    status = runner.wait()
    return answer.decode() or json.dumps({"lost": f"its runner exited with status {status} and no result"})


def main() -> None:
    """`python -m`: run the job in the first line of standard input, and end it when standard input is closed."""
    order = order_from_json(sys.stdin.buffer.readline().decode())
    threading.Thread(target=_leave_when_alone, daemon=True).start()
    hashes = FileHashes(cache_dir(order.settings.store.root) / "file_hashes.json")
    try:
        answer = {"result": result_to_json(carry_out(order, Place(hashes, cancel_fd=0)))}
    except InputError as error:
        answer = {"refused": str(error)}
    except OSError as error:
        description = describe_os_error(error)
        if description is None:
            raise
        answer = {"refused": description}
    hashes.save()
    print(json.dumps(answer), flush=True)


def _leave_when_alone() -> None:
    """When the worker is gone, give the job the time to end, and then exit without waiting for anything else."""
    select.select([0], [], [])
    time.sleep(2 * GRACE_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    main()
