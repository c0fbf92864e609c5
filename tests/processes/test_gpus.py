import pytest

from genies.errors import InputError
from genies.processes.gpus import shown_gpus

UUID = "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6"
MIG = "MIG-b37f5d67-6c55-5d3b-a0e5-3ec2b8c4a1ff"


@pytest.mark.parametrize(
    ("given", "visible", "shown"),
    [
        (["0", "3"], None, ["0", "3"]),
        (["0", "1"], "4,5", ["4", "5"]),
        (["1"], " 4 , 5 ", ["5"]),
        (["0", "2"], f"{UUID},1,{MIG}", [UUID, MIG]),
        ([UUID, MIG, "0"], "7", [UUID, MIG, "7"]),
        (["MIG-GPU-8932f937/1/0"], None, ["MIG-GPU-8932f937/1/0"]),
        (["0"], "2,-1,3", ["2"]),
        ([], "", []),
    ],
)
def test_numbers_are_places_in_what_cuda_is_shown_and_identifiers_stand_for_themselves(given, visible, shown) -> None:
    assert shown_gpus(given, {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}) == shown


def test_several_gpus_are_given_to_a_job_together() -> None:
    assert shown_gpus(["0", "1", "2", "3"], {"CUDA_VISIBLE_DEVICES": f"7,6,{MIG},4"}, each=2) == ["7,6", f"{MIG},4"]
    assert shown_gpus(["0", "1", "2"], {}, each=2) == ["0,1"]


@pytest.mark.parametrize(
    ("given", "visible", "message"),
    [
        ("2", "4,5", "2: 4,5"),
        ("1", "2,-1,3", "1: 2"),
        ("0", "", "none"),
        ("0", "-1", "none"),
        ("0", "NoDevFiles", "none"),
        ("-1", None, "expected the number"),
        ("cuda:0", None, "expected the number"),
        ("²", None, "expected the number"),
        ("GPU-", None, "expected the number"),
    ],
)
def test_a_gpu_that_no_step_would_see_is_refused(given, visible, message) -> None:
    with pytest.raises(InputError, match=f"--gpus {given}: .*{message}"):
        shown_gpus([given], {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible})


def test_each_step_sees_the_gpu_at_its_place(project, monkeypatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", f"6,{MIG}")
    tell = 'import os; print("sees", os.environ["CUDA_VISIBLE_DEVICES"])\n'
    script = project.length / "train.py"
    script.write_text(tell + script.read_text())
    assert project.metrics(gpus="[1]").returncode == 0
    logs = [each.read_text() for each in project.logs() if each.name.startswith("train-")]
    assert logs
    assert all(f"sees {MIG}\n" in log for log in logs)
    together = project.metrics(gpus="[0, 1]", processes_per_step=2, retrain_models=True)
    assert together.returncode == 0
    logs = [each.read_text() for each in project.logs() if each.name.startswith("train-")]
    assert any(f"sees 6,{MIG}\n" in log for log in logs)
    unequal = project.metrics(gpus="[0, 1, 0]", processes_per_step=2)
    assert unequal.returncode == 2
    assert "--gpus lists 3 GPUs" in unequal.stderr
    refused = project.metrics(gpus="[2]")
    message = refused.stderr.splitlines()[-1]
    assert refused.returncode == 2
    assert message.startswith("error: --gpus 2: CUDA_VISIBLE_DEVICES ")
    assert f" 2: 6,{MIG}" in message
