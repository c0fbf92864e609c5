"""The main job on the real 135M model and the starter suite, in small: true figures, the same every time."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.project import ROOT, Project

MODEL = ROOT / "models" / "SmolLM2-135M-Instruct"

pytestmark = [
    pytest.mark.real_model,
    pytest.mark.skipif(
        not (MODEL / "model.safetensors").exists(),
        reason=f"the starter model is not in {MODEL} (examples/quickstart.sh)",
    ),
]


def real(project: Project, **changes: Any) -> list[str]:
    """Arguments for two starter shifts of one source, few examples: five steps."""
    shifts = [
        {"source": "starter_everyday", "target": each, "target_reference": "starter_everyday"}
        for each in ("starter_mistaken_user", "starter_wrong_on_request")
    ]
    path = project.folder / "shifts.json"
    path.write_text(json.dumps(shifts))
    return project.arguments(
        base_model_dir=MODEL,
        intervention_dir=ROOT / "src/interventions/mms",
        baseline_intervention=ROOT / "src/interventions/zero_shot",
        target_tuned_capability_intervention=ROOT / "src/interventions/mms",
        distributions_dir=ROOT / "distributions",
        train_kwargs={"max_examples": 40},
        eval_kwargs={"max_examples": 12},
        **changes,
    )


def without_times(value: Any) -> Any:
    """An evaluation without what may differ between two runs of the same command."""
    provenance = {key: part for key, part in value["provenance"].items() if key not in ("started", "seconds")}
    argv = [Path(item).name if "/" in item else item for item in provenance.pop("argv")]
    return {**value, "provenance": {**provenance, "argv": len(argv)}}


def evaluations(project: Project) -> dict[str, Any]:
    folder = project.folder / "results" / "evaluations"
    return {
        str(path.relative_to(folder)): without_times(json.loads(path.read_text())) for path in folder.rglob("*.json")
    }


def test_a_killed_run_goes_on_to_the_same_figures_as_an_undisturbed_one(project: Project, tmp_path: Path) -> None:
    undisturbed = Project(tmp_path / "undisturbed")
    done = undisturbed.command("compute_generalization_metrics.py", real(undisturbed))
    assert done.returncode == 0, done.stderr
    first, second = undisturbed.table()
    # Tuned on questions it can answer the model is mostly right on them, and still gives the true answer where the
    # instruction asks for a wrong one.
    assert float(first["source_ID_accuracy"]) > 0.65
    assert float(second["generalization_accuracy"]) < float(second["source_ID_accuracy"])
    assert first["RMS_calibration_formula"] == "confidence"
    made = evaluations(undisturbed)
    assert len(made) == 6  # with the untuned model on the source, which the table does not need
    assert {value["dtype"] for value in made.values()} == {"float32"}

    command = [sys.executable, str(ROOT / "api/compute_generalization_metrics.py"), *real(project)]
    process = subprocess.Popen(command, cwd=ROOT, env=project.environment(), stderr=subprocess.DEVNULL)
    time.sleep(6)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = project.command("compute_generalization_metrics.py", real(project))
    assert done.returncode == 0, done.stderr
    assert project.output.read_bytes() == undisturbed.output.read_bytes()
    assert evaluations(project) == made


def test_a_model_folder_without_weights_is_one_message_and_status_2(project: Project) -> None:
    (project.base_model / "config.json").write_bytes((MODEL / "config.json").read_bytes())
    arguments = real(project)
    arguments[arguments.index("--base_model_dir") + 1] = str(project.base_model)
    done = project.command("compute_generalization_metrics.py", arguments)
    assert done.returncode == 2
    assert "weights" in done.stderr
    assert "Traceback" not in done.stderr
