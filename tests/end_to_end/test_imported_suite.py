"""From a published data set to its table: import a suite, run interventions on its shifts, print the table."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable
from pathlib import Path

from tests.support.commands import run_command

WORDS = ["amber", "birch", "cedar", "dune", "ember", "fjord", "grove", "heath", "inlet", "jetty", "knoll", "larch"]


def rows(domain: str, count: int) -> list[dict[str, object]]:
    """Rows of RM-Bench: three styles of a right and of a wrong response."""
    made = []
    for n in range(count):
        right, wrong = WORDS[n % 12], WORDS[(n + 5) % 12]
        chosen, rejected = ([word, f"the {word} here", f"# the\n- {word} here"] for word in (right, wrong))
        made.append({"id": n, "prompt": f"{domain} {n}: {right}?", "chosen": chosen, "rejected": rejected})
        made[-1]["domain"] = domain
    return made


def test_rm_bench_from_its_file_to_easy_normal_and_hard(tmp_path: Path, tiny_model_dir: Callable[..., Path]) -> None:
    data = tmp_path / "total_dataset.json"
    data.write_text(json.dumps([*rows("chat", 24), *rows("code", 10)]))
    shifts = tmp_path / "rm_bench.json"
    items = ["--preset", "rm_bench", "--data_path", data, "--output_dir", tmp_path / "distributions" / "rm_bench"]
    items += ["--shifts_path", shifts, "--sources", '["chat"]', "--test_share", "0.5"]
    imported = run_command("api/import_distribution.py", items)
    assert imported.returncode == 0, imported.stderr
    assert json.loads(shifts.read_text()) == [
        {"source": "rm_bench_chat", "target": "rm_bench_code", "category": "rm_bench"}
    ]
    assert "format only" in imported.stdout  # the audit, before anything is trained

    folders = {name: str(tmp_path / name) for name in ("distributions", "models", "results")}
    places = [item for name, folder in folders.items() for item in (f"--{name}_dir", folder)]
    done = run_command(
        "api/compute_generalization_metrics.py",
        [
            *("--base_model_dir", tiny_model_dir(), "--intervention_dir", '["src/interventions/mms"]'),
            *("--target_tuned_capability_intervention", "src/interventions/mms"),
            *("--path_to_distribution_shift_pairs", shifts, *places),
            *("--output_path", tmp_path / "results" / "generalization_metrics" / "mms.csv"),
        ],
        env={**os.environ, "GENIES_CACHE": str(tmp_path / "cache")},
    )
    assert done.returncode == 0, done.stderr

    table = run_command("api/tables.py", ["--results_dir", folders["results"], "--format", "csv", "--table", "shifts"])
    assert table.returncode == 0, table.stderr
    (line,) = csv.DictReader(io.StringIO(table.stdout))
    stored = json.loads(
        next((tmp_path / "results" / "evaluations" / "mms").glob("*-rm_bench_chat/rm_bench_code.json")).read_text()
    )
    p = stored["eval_probabilities"]
    assert len(p) == 9 * len(set(stored["eval_example_indices"]))
    for kind in ("easy", "normal", "hard"):
        assert float(line[f"{kind}_accuracy"]) == stored[f"eval_{kind}_accuracy"]
    # Three pairs of each kind in every example, so their mean is the accuracy of all pairs.
    kinds = [float(line[f"{kind}_accuracy"]) for kind in ("easy", "normal", "hard")]
    assert abs(sum(kinds) / 3 - stored["eval_accuracy"]) < 1e-9
    markdown = run_command("api/tables.py", ["--results_dir", folders["results"], "--full", "True"]).stdout
    assert all(name in markdown for name in (" easy |", " normal |", " hard |", " gain on source |"))
