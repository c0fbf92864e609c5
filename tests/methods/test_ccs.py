import json

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from genies.errors import InputError
from genies.lm.sites import Site
from genies.methods.ccs import ConsistencyProbe, mean_activations
from genies.methods.ccs_training import consistency_loss, fit_consistency_probe


def planted(pairs=60, width=12, strength=3.0, seed=0):
    """Activations [2, pairs, width] of best and worse responses: a truth on which Yes and No copies lie apart, amid
    what both copies of a response share and what all copies with one answer share."""
    draw = np.random.default_rng(seed)
    truth, answers = np.random.default_rng(99).normal(size=(2, width))
    truth /= np.linalg.norm(truth)
    sides = []
    for label in (1, -1):
        shared = draw.normal(size=(pairs, width))
        copies = [
            shared + 0.3 * draw.normal(size=(pairs, width)) + sign * (label * strength * truth + 5 * answers)
            for sign in (1, -1)
        ]
        sides.append(np.stack(copies).astype(np.float32))
    return sides[0], sides[1], truth


def accuracy(probe, best, worse):
    return np.mean(probe.probabilities(best, worse) > 0.5)


def test_the_planted_truth_is_found_without_labels():
    best, worse, truth = planted()
    probe = fit_consistency_probe(best, worse, Site(3))
    assert probe.weights @ truth / np.linalg.norm(probe.weights) > 0.8
    assert accuracy(probe, *planted(seed=1, pairs=200)[:2]) > 0.95
    assert probe.train_accuracy > 0.95


def test_labels_set_the_sign_and_nothing_else():
    best, worse, _ = planted()
    probe, turned = fit_consistency_probe(best, worse, Site(0)), fit_consistency_probe(worse, best, Site(0))
    np.testing.assert_allclose(turned.weights, -probe.weights, atol=1e-4)
    assert turned.loss == pytest.approx(probe.loss, abs=1e-6)
    half = np.arange(best.shape[1]) < 15
    first, second = (np.where(half[None, :, None], one, other) for one, other in ((worse, best), (best, worse)))
    found = fit_consistency_probe(first, second, Site(0))
    np.testing.assert_allclose(found.weights, probe.weights, atol=1e-4)
    assert found.train_accuracy == pytest.approx(45 / 60, abs=0.05)


def test_restarts_at_once_are_those_of_separate_runs_and_the_lowest_loss_wins():
    """One probe at a time with torch's own linear layer, from the same starts."""
    best, worse, _ = planted(pairs=10, width=4, strength=0.5)
    both = np.concatenate([best, worse], axis=1).astype(np.float64)
    yes, no = torch.from_numpy(both - both.mean(axis=1, keepdims=True))
    start = torch.rand(3, 5, generator=torch.Generator().manual_seed(7)).double()
    runs = []
    for line in (2 * start - 1) / 2:
        layer = torch.nn.Linear(4, 1).double()
        with torch.no_grad():
            layer.weight.copy_(line[:4])
            layer.bias.copy_(line[4])
        optimizer = torch.optim.AdamW(layer.parameters(), lr=0.01, weight_decay=0.05)
        for _ in range(50):
            p, q = (torch.sigmoid(layer(side)[:, 0]) for side in (yes, no))
            loss = torch.mean((p - (1 - q)) ** 2 + torch.minimum(p, q) ** 2)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            p, q = (torch.sigmoid(layer(side)[:, 0]) for side in (yes, no))
            runs.append((float(torch.mean((p - (1 - q)) ** 2 + torch.minimum(p, q) ** 2)), layer.weight[0].numpy()))
    lowest, weights = min(runs, key=lambda run: run[0])
    found = fit_consistency_probe(best, worse, Site(0), 3, 50, 0.01, 0.05, seed=7)
    assert found.loss == pytest.approx(lowest, abs=1e-5)
    assert np.abs(found.weights) == pytest.approx(np.abs(weights), abs=1e-4)


def test_p_is_computed_from_averaged_confidences():
    probe = ConsistencyProbe(Site(0), np.array([2.0, 0.0]), 0.5, np.array([[1.0, 0.0], [0.0, 1.0]]), 0.0, 1.0, 2)
    best, worse = np.array([[[1.5, 9.0]], [[-1.0, 3.0]]]), np.array([[[0.8, 0.0]], [[0.4, 0.0]]])

    def confidence(yes, no):
        return (1 / (1 + np.exp(-yes)) + 1 - 1 / (1 + np.exp(-no))) / 2

    b, w = confidence(2 * 0.5 + 0.5, 2 * -1.0 + 0.5), confidence(2 * -0.2 + 0.5, 2 * 0.4 + 0.5)
    expected = b * (1 - w) / (b * (1 - w) + w * (1 - b))
    assert probe.probabilities(best, worse) == pytest.approx([expected])
    assert probe.probabilities(worse, best) == pytest.approx([1 - expected])
    assert probe.probabilities(best, best).tolist() == [0.5]


def test_certain_confidences_give_numbers():
    probe = ConsistencyProbe(Site(0), np.array([1e4]), 0.0, np.zeros((2, 1)), 0.0, 1.0, 2)
    sure, surer = np.array([[[1.0]], [[-1.0]]]), np.array([[[2.0]], [[-2.0]]])
    assert probe.probabilities(surer, sure) == pytest.approx([1.0])
    assert probe.probabilities(sure, surer) == pytest.approx([0.0])
    assert probe.probabilities(sure, -sure) == pytest.approx([1.0])


def test_the_loss_of_numbers_computed_by_hand():
    # Perfect: 0. Undecided: (0.5 + 0.5 - 1)^2 + 0.5^2. Yes to both: (0.9 + 0.8 - 1)^2 + 0.8^2.
    yes, no = torch.tensor([1.0, 0.5, 0.9]), torch.tensor([0.0, 0.5, 0.8])
    assert float(consistency_loss(yes, no)) == pytest.approx((0 + 0.25 + 0.49 + 0.64) / 3)


def test_evaluation_takes_its_means_from_training():
    best, worse, _ = planted()
    probe = fit_consistency_probe(best, worse, Site(0))
    both = np.concatenate([best, worse], axis=1)
    np.testing.assert_allclose(probe.means, both.mean(axis=1, dtype=np.float64), atol=1e-9)
    alone = [probe.probabilities(best[:, [place]], worse[:, [place]])[0] for place in range(60)]
    np.testing.assert_allclose(alone, probe.probabilities(best, worse), atol=1e-12)


def test_too_few_pairs_and_activations_that_are_no_numbers_are_messages():
    best, worse, _ = planted(pairs=2)
    assert fit_consistency_probe(best, worse, Site(0)).pairs == 2
    with pytest.raises(InputError, match="1 training pairs are too few"):
        fit_consistency_probe(best[:, :1], worse[:, :1], Site(0))
    best[0, 1, 2] = np.inf
    with pytest.raises(InputError, match="not finite; try --dtype float32"):
        fit_consistency_probe(best, worse, Site(0))


def test_a_saved_probe_comes_back_and_damage_is_a_message(tmp_path):
    best, worse, _ = planted()
    probe = fit_consistency_probe(best, worse, Site(3))
    probe.save(tmp_path)
    loaded = ConsistencyProbe.load(tmp_path)
    assert loaded.site == Site(3)
    assert (loaded.probabilities(best, worse) == probe.probabilities(best, worse)).all()
    assert {path.name for path in tmp_path.iterdir()} == {"ccs.safetensors", "ccs.json"}
    content = (tmp_path / "ccs.safetensors").read_bytes()
    (tmp_path / "ccs.safetensors").write_bytes(content[:20])
    with pytest.raises(InputError, match="damaged"):
        ConsistencyProbe.load(tmp_path)
    (tmp_path / "ccs.safetensors").unlink()
    with pytest.raises(InputError, match="does not exist"):
        ConsistencyProbe.load(tmp_path)
    (tmp_path / "ccs.safetensors").write_bytes(content)
    (tmp_path / "ccs.json").write_text(json.dumps([]))
    with pytest.raises(InputError, match="damaged"):
        ConsistencyProbe.load(tmp_path)


@pytest.mark.parametrize("learning_rate", [1e30, 1e38])
def test_a_search_that_leaves_the_numbers_is_a_message(learning_rate):
    best, worse, _ = planted()
    with pytest.raises(InputError, match="lower --learning_rate"):
        fit_consistency_probe(best, worse, Site(0), steps=20, learning_rate=learning_rate, weight_decay=10.0)


def test_a_probe_of_another_width_is_a_message(tmp_path):
    best, worse, _ = planted()
    probe = fit_consistency_probe(best, worse, Site(0), steps=2)
    with pytest.raises(InputError, match="train again on this base model"):
        probe.probabilities(best[..., :-1], worse[..., :-1])
    probe.save(tmp_path)
    tensors = load_file(tmp_path / "ccs.safetensors")
    save_file({**tensors, "means": tensors["means"][:, :-1].copy()}, tmp_path / "ccs.safetensors")
    with pytest.raises(InputError, match="damaged"):
        ConsistencyProbe.load(tmp_path)


def test_another_mean_moves_what_it_is_taken_from():
    """A target whose copies are shifted, each by a vector of its own, is as good as the source with its own means."""
    best, worse, _ = planted()
    probe = fit_consistency_probe(best, worse, Site(0), normalize="target")
    shift = np.random.default_rng(4).normal(size=(2, 1, 12)) * 20
    other_best, other_worse = (each + shift for each in planted(seed=1, pairs=200)[:2])
    own = mean_activations(np.concatenate([other_best, other_worse], axis=1))
    assert accuracy(probe, other_best, other_worse) < 0.9
    assert np.mean(probe.probabilities(other_best, other_worse, own) > 0.5) > 0.95
    assert (probe.probabilities(best, worse, probe.means) == probe.probabilities(best, worse)).all()


def test_whose_mean_is_taken_is_recorded(tmp_path):
    best, worse, _ = planted(pairs=4)
    for normalize in ("source", "target"):
        fit_consistency_probe(best, worse, Site(0), steps=1, normalize=normalize).save(tmp_path)
        assert ConsistencyProbe.load(tmp_path).normalize == normalize
    record = json.loads((tmp_path / "ccs.json").read_text())
    (tmp_path / "ccs.json").write_text(json.dumps(record | {"normalize": "both"}))
    with pytest.raises(InputError, match="damaged"):
        ConsistencyProbe.load(tmp_path)
