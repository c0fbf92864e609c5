"""What a Ray cluster's node does for one step: see the shared folders, and run the step in a process of its own.

Ray kills the children of a worker that it cancels or loses, with SIGKILL and without their own children. Were the
step's supervisor such a child, the step would outlive it. So a runner stands between the two: the worker holds the
runner's standard input as its life line, the runner holds the supervisor's, and whichever of them dies, the step ends.
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
from genies.harness.process import GRACE_SECONDS

_CANCEL_SECONDS = 0.2
"""How often a waiting worker looks up: Ray cancels by a flag that only running Python code notices."""


def unseen(nonces: str) -> str:
    """Of {file: content} as JSON, the list of files that do not hold that content here, as JSON."""
    return json.dumps([file for file, content in json.loads(nonces).items() if not _holds(Path(file), content)])


def _holds(file: Path, content: str) -> bool:
    try:
        return file.read_text(encoding="utf-8") == content
    except (OSError, ValueError):
        return False


def run_on_node(order: str, nonces: str) -> str:
    """Run a step (an Order as JSON) and answer with JSON: {"result": a Result}, {"refused": text} or {"lost": text}.

    refused: no step can be run here, and a person must mend it; lost: another attempt may succeed.
    """
    import ray

    hidden = json.loads(unseen(nonces))
    if hidden:  # the node came later than the check at the start
        return json.dumps({"refused": f"does not see {', '.join(str(Path(file).parent) for file in hidden)}"})
    # A step that was given no GPU must not see any, or several would meet on the first one.
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
        pass  # it did not come up; its exit status tells
    while True:
        try:
            if select.select([runner.stdout], [], [], _CANCEL_SECONDS)[0]:
                part = os.read(runner.stdout.fileno(), 1 << 16)
                if not part:
                    break
                answer += part
        except KeyboardInterrupt:  # ray.cancel: the runner ends the step and tells how it went
            runner.stdin.close()
    status = runner.wait()
    return answer.decode() or json.dumps({"lost": f"its runner ended with status {status} and said nothing"})


def main() -> None:
    """`python -m`: run the step that the first line of standard input orders, and end it when the rest is closed."""
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
    """Nobody waits for the answer any more: end the step as it should be ended, but do not wait for anything else."""
    select.select([0], [], [])
    time.sleep(2 * GRACE_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    main()
