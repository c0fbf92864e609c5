"""Interventions that read a target's unlabelled texts: one model for each target, in the plan, in tables, alone."""

import json
from pathlib import Path

import pytest

from tests.harness.test_failures import one_message
from tests.support.project import ARGPARSE_EVAL, ARGPARSE_TRAIN, ROOT, Project

SEEING_TRAIN = ARGPARSE_TRAIN.replace(
    'parser.add_argument("--sign"', 'parser.add_argument("--unlabelled_distribution")\nparser.add_argument("--sign"'
).replace(
    "model = {",
    """folder = pathlib.Path(args.unlabelled_distribution)
assert [each.name for each in folder.iterdir()] == ["unlabelled.json"]
seen = json.loads((folder / "unlabelled.json").read_text(encoding="utf-8"))
assert all(sorted(each["responses"]) == ["a long response", "short"] for each in seen)
model = {"name": folder.name, "seen": len(seen), """,
)


def seeing(project: Project) -> Path:
    folder = project.intervention("seeing", SEEING_TRAIN, ARGPARSE_EVAL)
    (folder / "intervention.json").write_text('{"unlabelled": true}')
    return folder


def test_one_model_is_tuned_for_each_target(project: Project) -> None:
    theirs = seeing(project)
    project.shifts([("long", "short"), ("long", "mixed")])
    done = project.metrics(intervention_dir=theirs)
    assert done.returncode == 0, done.stderr
    names = ["base-long-unlabelled-mixed", "base-long-unlabelled-short"]
    assert [each for each in project.trained() if "unlabelled" in each] == names
    models = project.folder / "models" / "seeing"
    seen = [json.loads((models / name / "model.json").read_text()) for name in names]
    assert seen == [{"name": "mixed", "seen": 4, "sign": 1}, {"name": "short", "seen": 6, "sign": 1}]
    rows = project.table()
    assert [row["uses_target_texts"] for row in rows] == ["True", "True"]
    assert [float(row["source_ID_accuracy"]) for row in rows] == [1, 1]
    assert "used target texts" in done.stdout
    evaluation = project.evaluation("seeing", names[1], "long")
    content = json.loads(evaluation.read_text())
    assert "uses_target_texts" not in content  # the texts that it used are not those of its source
    assert content["provenance"]["identity"]["unlabelled"] == "short"
    assert not list((project.folder / "models").rglob("unlabelled.json"))
    others = json.loads(project.evaluation("length", "base-short", "short").read_text())["provenance"]["identity"]
    assert "unlabelled" not in others


def test_results_are_reused_until_the_texts_of_the_target_change(project: Project) -> None:
    theirs = seeing(project)
    project.shifts([("long", "short"), ("long", "mixed")])
    assert project.metrics(intervention_dir=theirs).returncode == 0
    first = project.logs()
    assert project.metrics(intervention_dir=theirs).returncode == 0
    assert project.logs() == first
    project.distribution("short", [False] * 5, [False] * 4)
    assert project.metrics(intervention_dir=theirs).returncode == 0
    again = {log.parent.name for log in {*project.logs()} - {*first} if log.name.startswith("train-")}
    assert again == {"base-long-unlabelled-short", "base-short"}  # the second is the reference


def test_the_reference_can_be_such_an_intervention(project: Project) -> None:
    theirs = seeing(project)
    project.shifts([("long", "mixed")])
    done = project.metrics(intervention_dir=theirs, target_tuned_capability_intervention=theirs)
    assert done.returncode == 0, done.stderr
    assert project.trained() == ["base-long-unlabelled-mixed", "base-mixed-unlabelled-mixed"]
    assert float(project.table()[0]["target_tuned_capability"]) == 0.75


def test_tables_of_results_mark_the_rows(project: Project) -> None:
    theirs = seeing(project)
    project.shifts([("long", "short"), ("long", "mixed")])
    assert project.metrics(intervention_dir=theirs).returncode == 0
    assert project.metrics(output_path=project.folder / "out" / "length.csv").returncode == 0
    arguments = ["--results", str(project.folder / "results"), "--shifts", str(project.folder / "shifts.json")]
    arguments += ["--baseline", "always_longer", "--capability", "length", "--full", "True"]
    done = project.command("tables.py", arguments)
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("|")]
    assert [line for line in rows if "seeing ‡" in line]
    assert not [line for line in rows if "length ‡" in line]
    assert "‡: seeing used prompts and responses of the target without labels" in done.stdout


def test_a_single_training_names_its_target(project: Project) -> None:
    theirs = seeing(project)
    places = [item for name, path in project.places().items() for item in (f"--{name}", str(path))]
    places += ["--model_dir", str(project.base_model), "--train_distribution", "long"]
    done = project.command(
        "train.py", [*places, "--intervention_dir", str(theirs), "--unlabelled_distribution", "mixed"]
    )
    assert done.returncode == 0, done.stderr
    model = project.folder / "models" / "seeing" / "base-long-unlabelled-mixed"
    assert json.loads((model / "model.json").read_text())["seen"] == 4
    missing = project.command("train.py", [*places, "--intervention_dir", str(theirs)])
    assert "--unlabelled_distribution: seeing reads unlabelled texts" in one_message(missing)
    useless = project.command(
        "train.py", [*places, "--intervention_dir", str(project.length), "--unlabelled_distribution", "mixed"]
    )
    assert "--unlabelled_distribution: length reads no unlabelled texts" in one_message(useless)
    known = project.command(
        "evaluate.py",
        [*places[:6], "--model_dir", str(model), "--intervention_dir", str(theirs), "--distributions", '["mixed"]'],
    )
    assert known.returncode == 0, known.stderr
    found = json.loads(project.evaluation("seeing", model.name, "mixed").read_text())
    assert found["uses_target_texts"] is True


def test_a_target_without_a_train_split_is_refused_before_anything_runs(project: Project) -> None:
    theirs = seeing(project)
    project.shifts([("long", "mixed", "short")])
    (project.folder / "distributions" / "mixed" / "train.json").unlink()
    message = one_message(project.metrics(intervention_dir=theirs))
    assert "train.json does not exist" in message
    assert project.logs() == []


def test_the_harness_passes_the_argument(project: Project) -> None:
    message = one_message(project.metrics(train_kwargs={"unlabelled_distribution": "x"}))
    assert "'unlabelled_distribution' is passed by the harness" in message


@pytest.mark.parametrize("seed", [0, 1])
def test_ccs_target_fits_the_probe_to_the_target_and_takes_its_sign_from_the_source(seed: int, tmp_path: Path) -> None:
    """On activations whose second direction is the target's and absent from the source."""
    import numpy as np

    from genies.lm.sites import Site
    from genies.methods.ccs import mean_activations
    from genies.methods.ccs_training import fit_consistency_probe, oriented, search_probe

    draw = np.random.default_rng(seed)
    truth = draw.choice([-1.0, 1.0], size=60)
    responses = draw.normal(scale=0.1, size=(2, 60, 8))
    responses[0, :, 0] += truth
    responses[1, :, 0] -= truth
    probe = search_probe(responses, Site(0), seed=seed)
    best, worse = np.zeros((2, 2, 20, 8))
    best[0, :, 0], best[1, :, 0], worse[0, :, 0], worse[1, :, 0] = 1, -1, -1, 1
    both = np.concatenate([best, worse], axis=1)
    for right, wrong, sign in ((best, worse, 1), (worse, best, -1)):
        found = oriented(probe, right, wrong, mean_activations(both))
        assert found.train_accuracy == 1
        assert np.sign(found.weights[0]) == sign
    # With the target as the source, it is ccs.
    order = np.argsort(-truth, kind="stable")
    half = order[:25], order[-25:]
    same = fit_consistency_probe(responses[:, half[0]], responses[:, half[1]], Site(0), seed=seed)
    parts = np.concatenate([responses[:, half[0]], responses[:, half[1]]], axis=1)
    again = oriented(search_probe(parts, Site(0), seed=seed), responses[:, half[0]], responses[:, half[1]])
    assert np.array_equal(same.weights, again.weights)
    assert same.train_accuracy == again.train_accuracy


def test_ccs_target_is_declared() -> None:
    declared = json.loads((ROOT / "src" / "interventions" / "ccs_target" / "intervention.json").read_text())
    assert declared["unlabelled"] is True
