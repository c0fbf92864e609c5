"""Stored figures of a tiny seeded model. When they change, results of our interventions change, and stored results
of an older library must not be reused: raise genies.NUMERICS_VERSION and store the new figures with it."""

import json
from pathlib import Path

import pytest

import genies
from tests.support.scripts import evaluate, planted_examples, train, write_distribution

STORED = json.loads((Path(__file__).parent / "numerics.json").read_text())

TOLERANCES = {"cra": 5e-3}
"""1e-3 for the others. cra reads a small difference of large activations, in which rounding shows sooner."""


@pytest.mark.parametrize("intervention", ["zero_shot", "mms", "lat_stim_1", "lat_stim_2", "cra", "ccs"])
def test_results_are_the_stored_ones_unless_the_numerics_version_was_raised(intervention, tmp_path, tiny_model_dir):
    source = write_distribution(tmp_path / "d", planted_examples(12, 0), planted_examples(4, 1, responses=3))
    tuned = (
        tiny_model_dir("llama")
        if intervention == "zero_shot"
        else train(intervention, tiny_model_dir("llama"), source, tmp_path / "tuned", device="cpu")
    )
    [found] = evaluate(intervention, tuned, [source], tmp_path, device="cpu")
    assert STORED["numerics_version"] == genies.NUMERICS_VERSION, "store the new figures in tests/numerics.json"
    assert found["eval_probabilities"] == pytest.approx(STORED[intervention], abs=TOLERANCES.get(intervention, 1e-3)), (
        "results changed: raise genies.NUMERICS_VERSION and store the new figures in tests/numerics.json"
    )
