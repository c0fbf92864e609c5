"""Steps as Ray tasks, on a real cluster of a head and two nodes with a made-up GPU each, all on the loopback interface.

No step may outlive what it was started for: the runner between a node's worker and a step is tried without Ray too.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import pytest

from genies.processes.ray_cluster import places, unseen
from tests.harness.test_failures import one_message
from tests.support.project import ARGPARSE_EVAL, ARGPARSE_TRAIN, ROOT, Project

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install -e .[ray]")

# The head runs no steps. A line on standard input is the process of a node to lose, with SIGKILL; its end is the end of
# the cluster, however the tests end.
CLUSTER = """
import sys
from ray.cluster_utils import Cluster
cluster = Cluster()
for resources in ({"num_cpus": 0}, {"num_cpus": 1, "num_gpus": 1}, {"num_cpus": 1, "num_gpus": 1}):
    cluster.add_node(include_dashboard=False, object_store_memory=80_000_000, **resources)
cluster.wait_for_nodes()
print(cluster.address, flush=True)
for line in sys.stdin:
    for node in list(cluster.worker_nodes):
        if node.all_processes["raylet"][0].process.pid == int(line):
            cluster.remove_node(node, allow_graceful=False)
cluster.shutdown()
"""

# Writes where it runs and hangs, with a child of its own, when it is the first; says what it was given.
SHOWN = """
import os, pathlib, subprocess, sys, time
mark = pathlib.Path({mark!r})
print("node", os.environ.get("RAY_RAYLET_PID"), os.environ.get("CUDA_VISIBLE_DEVICES"), os.environ["OMP_NUM_THREADS"])
if not mark.exists():
    child = subprocess.Popen(["sleep", "600"])
    mark.with_suffix(".new").write_text(f"{{os.environ.get('RAY_RAYLET_PID', 0)}} {{os.getpid()}} {{child.pid}}")
    mark.with_suffix(".new").rename(mark)
    time.sleep(600)
"""


@dataclass(frozen=True)
class Cluster:
    address: str
    commands: IO[str]

    def lose(self, node: int) -> None:
        self.commands.write(f"{node}\n")
        self.commands.flush()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster that asks for a token."""
    folder = Path(tempfile.mkdtemp(prefix="ray-"))  # short: its sockets' paths must be
    settings = {
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # loopback only
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(16),
        "RAY_TMPDIR": str(folder),
        "GENIES_CACHE": str(folder / "cache"),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        process = subprocess.Popen(
            [sys.executable, "-c", CLUSTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Cluster(process.stdout.readline().strip(), process.stdin)
        finally:
            process.stdin.close()
            process.wait(60)
            shutil.rmtree(folder, ignore_errors=True)


def wait_for(path: Path, process: subprocess.Popen[Any]) -> str:
    """The content of a file that some process is to write while `process` runs."""
    deadline = time.monotonic() + 90
    while not path.exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    return path.read_text()


def has_ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in "ZX"
    except OSError:
        return True


def assert_end(pids: list[int]) -> None:
    deadline = time.monotonic() + 30
    while not all(has_ended(pid) for pid in pids):
        assert time.monotonic() < deadline, f"{pids} still run"
        time.sleep(0.05)


def started(project: Project, **changes: Any) -> subprocess.Popen[str]:
    command = [sys.executable, str(ROOT / "api/compute_generalization_metrics.py"), *project.arguments(**changes)]
    environment = project.environment()
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@needs_ray
def test_a_node_that_does_not_see_the_folders_is_named_before_anything_runs(project: Project, cluster: Cluster) -> None:
    descriptor = os.open(project.folder / "models", os.O_RDONLY)
    only_here = f"/proc/self/fd/{descriptor}"  # a folder of the harness's process alone
    arguments = project.arguments(launcher="ray", ray_address=cluster.address, gpus_per_step=1, models_dir=only_here)
    done = subprocess.run(
        [sys.executable, str(ROOT / "api/compute_generalization_metrics.py"), *arguments],
        cwd=ROOT, env=project.environment(), pass_fds=[descriptor], capture_output=True, text=True, check=False,
    )  # fmt: skip
    os.close(descriptor)
    message = one_message(done)
    assert "2 of 2 nodes" in message
    assert f"does not see {only_here}" in message
    assert str(project.folder / "results") not in message
    assert project.logs() == []
    assert list(project.folder.rglob(".nonce*")) == []


@needs_ray
def test_ctrl_c_ends_the_steps_on_the_nodes_and_leaves_no_process(project: Project, cluster: Cluster) -> None:
    mark = project.folder / "mark"
    theirs = project.intervention("hanging", SHOWN.format(mark=str(mark)) + ARGPARSE_TRAIN, ARGPARSE_EVAL)
    project.shifts([("long", "mixed")])
    run = started(project, intervention_dir=theirs, launcher="ray", ray_address=cluster.address)
    _, *pids = map(int, wait_for(mark, run).split())
    run.send_signal(signal.SIGINT)
    assert run.wait(60) == 130
    assert_end(pids)
    states = [json.loads(path.read_text())["state"] for path in project.folder.rglob("hanging/base-long/train.json")]
    assert states == ["planned"]
    assert list(project.folder.rglob(".nonce*")) == []


@needs_ray
def test_steps_spread_over_the_nodes_and_a_lost_node_costs_only_time(
    project: Project, tmp_path: Path, cluster: Cluster
) -> None:
    mark = tmp_path / "mark"
    theirs = project.intervention("hanging", SHOWN.format(mark=str(mark)) + ARGPARSE_TRAIN, ARGPARSE_EVAL)
    run = started(project, intervention_dir=theirs, launcher="ray", ray_address=cluster.address, gpus_per_step=1)
    node, *pids = map(int, wait_for(mark, run).split())
    other = project.folder / "results/logs/hanging/base-short/train-1.log"
    wait_for(other, run)
    cluster.lose(node)
    _, errors = run.communicate(timeout=300)  # 20 s on two free cores
    assert run.returncode == 0, errors
    assert "trying again, attempt 2 of 3: train hanging" in errors
    assert_end(pids)
    # "node", the node's process, its GPU, the processors reserved
    said = [
        path.read_text().split()[1:4]
        for path in project.logs()
        if path.name.startswith("train") and "hanging" in path.parts
    ]
    assert {words[0] for words in said} > {str(node)}
    assert {tuple(words[1:]) for words in said} == {("0", "1")}

    alone = Project(tmp_path / "alone")
    assert alone.metrics(intervention_dir=theirs).returncode == 0
    assert project.output.read_bytes() == alone.output.read_bytes()


@pytest.mark.parametrize("end", ["the worker closes its life line", "the worker kills it"])
def test_a_runner_ends_its_step_whichever_way_it_ends(project: Project, end: str) -> None:
    mark = project.folder / "mark"
    theirs = project.intervention("hanging", SHOWN.format(mark=str(mark)) + ARGPARSE_TRAIN, ARGPARSE_EVAL)
    lines = project.folder / "steps.jsonl"
    assert project.metrics(intervention_dir=theirs, emit_commands=lines).returncode == 0
    step = json.loads(next(line for line in lines.read_text().splitlines() if "train hanging" in line))
    runner = subprocess.Popen(
        [sys.executable, "-P", "-m", "genies.harness.launchers.ray_node"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=project.environment(),
    )
    assert runner.stdin is not None
    runner.stdin.write(Path(step["argv"][-1]).read_text(encoding="utf-8"))
    runner.stdin.flush()
    _, *pids = map(int, wait_for(mark, runner).split())
    if end == "the worker kills it":
        runner.kill()
    answer, _ = runner.communicate(timeout=30)
    assert_end(pids)
    if end == "the worker closes its life line":
        assert json.loads(json.loads(answer)["result"])["cancelled"]


def test_a_node_sees_a_folder_when_it_reads_there_what_was_written(tmp_path: Path) -> None:
    (tmp_path / "same").write_text("abc")
    (tmp_path / "other").write_text("abd")
    files = {str(tmp_path / name): "abc" for name in ("same", "other", "absent")}
    assert json.loads(unseen(json.dumps(files))) == [str(tmp_path / "other"), str(tmp_path / "absent")]


def test_steps_that_fit_on_a_node_are_counted_by_processors_and_whole_gpus() -> None:
    node = {"CPU": 8.0, "GPU": 2.0}
    assert places(node, 1, 0) == 8
    assert places(node, 3, 0) == 2
    assert places(node, 1, 1) == 2
    assert places(node, 1, 0.4) == 4
    assert places(node, 1, 1 / 3) == 6
    assert places(node, 1, 4) == 0
    assert places({"memory": 1e9}, 1, 0) == 0


def test_arguments_of_another_launcher_are_refused(project: Project) -> None:
    assert "--launcher ray" in one_message(project.metrics(ray_address="127.0.0.1:6379"))
    assert "--launcher local" in one_message(project.metrics(launcher="ray", slots=2))
    assert "--gpus_per_step" in one_message(project.metrics(launcher="ray", gpus_per_step=1.5))
    too_few = one_message(project.metrics(launcher="ray", gpus_per_step=1, processes_per_step=2))
    assert "--gpus_per_step 1" in too_few
    assert "at least 2" in too_few


@needs_ray
@pytest.mark.parametrize("address", ["127.0.0.1:9", "nowhere", "ray://127.0.0.1:9"])
def test_an_address_without_a_cluster_is_refused_at_once(project: Project, address: str) -> None:
    assert f"no Ray cluster answers at {address}" in one_message(project.metrics(launcher="ray", ray_address=address))


def test_without_ray_one_message_says_what_to_install(project: Project) -> None:
    script = str(ROOT / "api/compute_generalization_metrics.py")
    without = (
        f"import runpy, sys; sys.modules['ray'] = None; del sys.argv[0]; sys.path.insert(0, {str(ROOT / 'api')!r}); "
        "runpy.run_path(sys.argv[0], None, '__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", without, script, *project.arguments(launcher="ray")],
        env=project.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "pip install -e .[ray]" in one_message(done)


def test_the_harness_imports_ray_only_when_it_is_asked_for() -> None:
    code = "import sys, genies.main_job.main, genies.harness.launchers.ray; sys.exit('ray' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


# Runs an array's tasks one after the other, as `sbatch --parsable --array=0-LAST%N ... SCRIPT ARGUMENTS` would queue
# them, or the script on standard input; says which dependencies were asked for.
SBATCH = """#!/usr/bin/env bash
set -uo pipefail
count=$(($(cat "$QUEUE/count" 2>/dev/null || echo 0) + 1)); echo "$count" >"$QUEUE/count"
array=
while [ $# -gt 0 ] && [ "$1" != "${1#--}" ]; do
  case $1 in
    --array=*) array=${1#--array=0-} ;;
    --dependency=*) echo "$count ${1#--dependency=}" >>"$QUEUE/dependencies" ;;
  esac
  shift
done
if [ -n "$array" ]; then
  for ((index = 0; index <= ${array%%%*}; index++)); do
    SLURM_ARRAY_TASK_ID=$index bash "$@" >>"$QUEUE/said" 2>&1 || echo "status $?" >>"$QUEUE/failed"
  done
else
  bash >>"$QUEUE/said" 2>&1 || echo "status $?" >>"$QUEUE/failed"
fi
echo "$count;cluster"
"""


def test_slurm_arrays_run_every_step_after_those_it_needs_and_the_table_comes_last(project: Project) -> None:
    queue = project.folder / "queue"
    queue.mkdir()
    (queue / "sbatch").write_text(SBATCH)
    (queue / "sbatch").chmod(0o755)
    settings = {
        "PATH": f"{queue}:{os.environ['PATH']}",
        "QUEUE": str(queue),
        "LOGS": str(project.folder / "slurm logs"),
        "GENIES_PYTHON": sys.executable,
        "ARRAY_SIZE": "3",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        ["bash", str(ROOT / "examples/slurm/submit.sh"), *project.arguments()],
        env={**project.environment(), **settings},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    said = (queue / "said").read_text()
    assert not (queue / "failed").exists(), said
    # Four steps need nothing (two arrays of at most three), three need a training, and then there is the table.
    assert (queue / "dependencies").read_text().splitlines() == ["3 afterany:1:2", "4 afterany:3"]
    assert said.count("\ndone: ") == 7
    assert len(project.logs()) == 7
    assert "0 jobs run" in said
    assert float(project.table()[1]["generalization_accuracy"]) == 0.75


@pytest.mark.parametrize("name", ["ray_local.sh", "slurm/array_task.sh", "slurm/ray_cluster.sh", "slurm/submit.sh"])
def test_example_scripts_are_valid_shell(name: str) -> None:
    subprocess.run(["bash", "-n", str(ROOT / "examples" / name)], check=True, timeout=30)


@pytest.mark.parametrize("arguments", [["count"], ["run", "0"], ["run", "0", "99"], ["count", "one"], ["stop", "0"]])
def test_a_line_that_is_not_there_is_refused(project: Project, arguments: list[str]) -> None:
    lines = project.folder / "steps.jsonl"
    lines.write_text(json.dumps({"id": 1, "needs": [], "step": "one", "argv": ["true"]}) + "\n")
    command = [sys.executable, str(ROOT / "examples/slurm/run_line.py"), str(lines), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
