"""Provenance in words: nothing recorded is left out, and what is not recorded is not made up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from genies.evaluation_file import Evaluation
from genies.report.origins import facts, short_facts, together
from genies.report.study import Reading

ORIGIN: dict[str, Any] = {
    "fingerprint": "f" * 64,
    "model_content": "c" * 64,
    "parts": {"kind": "evaluation", "seed": 3},
    "argv": ["python", "eval.py", "--distribution_dirs", '["a b"]'],
    "started": "2026-01-15T09:30:00Z",
    "seconds": 12.5,
    "versions": {"genies": "1.0.0", "torch": "2.13.0"},
    "git_commit": "0123456789abcdef0123456789abcdef01234567",
    "git_dirty": True,
    "platform": "Linux",
    "device": "cpu",
}


def reading(**changes: Any) -> Reading:
    provenance = {**ORIGIN, **changes} if changes.get("provenance", True) else None
    evaluation = Evaluation(eval_accuracy=0.5, dtype="float32" if provenance else None, provenance=provenance)
    return Reading(Path("results/evaluations/mms/m-a/b.json"), "mms", "m", "a", None, "b", evaluation)


def test_every_recorded_fact_is_told() -> None:
    told = dict(facts(reading()))
    assert told["verified"].startswith("yes")
    assert told["command"] == """python eval.py --distribution_dirs '["a b"]'"""
    assert told["commit"] == ORIGIN["git_commit"] + ", with uncommitted changes"
    assert told["versions"] == "genies 1.0.0, torch 2.13.0"
    assert (told["device"], told["dtype"], told["seconds of its job"]) == ("cpu", "float32", "12.5")
    assert (told["fingerprint"], told["tuned model"]) == ("f" * 64, "c" * 64)
    assert told["made from"] == '{"kind": "evaluation", "seed": 3}'
    assert short_facts(reading()) == "verified, commit 0123456789 with changes, cpu, float32, 12 s"


def test_a_file_without_provenance_is_unverified_and_says_no_more() -> None:
    told = facts(reading(provenance=False))
    assert [name for name, _ in told] == ["verified"]
    assert told[0][1].startswith("no")
    assert short_facts(reading(provenance=False)) == "unverified"


def test_the_footer_counts_what_differs_and_each_step_once() -> None:
    together_ = dict(
        together(
            [
                reading(),
                reading(),  # of the same step: its seconds count once
                reading(started="2026-01-15T09:31:00Z", git_dirty=False, seconds=100),
                reading(provenance=False),
            ]
        )
    )
    assert together_["evaluations"] == "4, 1 unverified"
    assert together_["commits"] == "0123456789 (1), 0123456789, with uncommitted changes (2)"
    assert together_["versions"] == "genies 1.0.0 (3), torch 2.13.0 (3)"
    assert together_["number formats"] == "float32 (3)"
    assert together_["computing"] == "2 evaluation jobs, 112 s"


def test_odd_provenance_from_elsewhere_breaks_nothing() -> None:
    odd = reading(argv="text", versions=["list"], seconds="long", git_commit=None, parts=7, device=3, platform=None)
    assert dict(facts(odd))["verified"].startswith("yes")
    assert short_facts(odd).startswith("verified")
    assert dict(together([odd]))["evaluations"] == "1, all verified"
