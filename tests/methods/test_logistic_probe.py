"""The logistic probe, whitened directions and principal components against computations of their own."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression

from genies.errors import InputError
from genies.lm.sites import Site
from genies.methods.ccs_sanity import sanity
from genies.methods.directions import fit_directions, hold_back
from genies.methods.logistic_probe import LogisticProbe, fit_logistic_probe

SITES = [Site(block) for block in range(4)]


def planted(pairs=80, width=6, strength=2.0, seed=0, site=2):
    draw = np.random.default_rng(seed)
    best, worse = draw.normal(size=(2, pairs, len(SITES), width))
    best[:, site, 0] += strength
    return best.astype(np.float32), worse.astype(np.float32)


def test_the_site_that_tells_responses_apart_is_chosen():
    best, worse = planted()
    probe = fit_logistic_probe(best, worse, SITES)
    assert probe.site == Site(2)
    new_best, new_worse = planted(pairs=400, seed=1)
    p = probe.probabilities(new_best[:, 2], new_worse[:, 2])
    assert np.mean(p > 0.5) > 0.85
    np.testing.assert_allclose(p + probe.probabilities(new_worse[:, 2], new_best[:, 2]), 1, atol=1e-12)


def test_the_weights_are_those_of_logistic_regression_with_every_pair_in_both_orders():
    best, worse = planted(pairs=50)
    probe = fit_logistic_probe(best, worse, SITES, strengths=[0.3])
    rows = (best.astype(float) - worse)[:, SITES.index(probe.site)]
    scale = np.sqrt(np.mean(rows**2))
    both, labels = np.concatenate([rows, -rows]) / scale, [1] * 50 + [0] * 50
    model = LogisticRegression(C=0.15, fit_intercept=False, solver="newton-cg", tol=1e-10).fit(both, labels)
    np.testing.assert_allclose(probe.weights, model.coef_[0] / scale, rtol=1e-4)


def test_site_and_strength_are_those_with_the_best_accuracy_on_held_back_pairs():
    best, worse = planted(pairs=60, strength=0.8)
    strengths = (0.01, 1.0)
    probe = fit_logistic_probe(best, worse, SITES, strengths, seed=3)
    held, fitted = hold_back(60, 0.3, 3)
    rows = best.astype(float) - worse
    accuracies = []
    for site in range(len(SITES)):
        for strength in strengths:
            x = rows[fitted, site] / np.sqrt(np.mean(rows[fitted, site] ** 2))
            model = LogisticRegression(C=strength / 2, fit_intercept=False, tol=1e-8)
            model.fit(np.concatenate([x, -x]), [1] * len(x) + [0] * len(x))
            accuracies.append(np.mean(rows[held, site] @ model.coef_[0] > 0))
    assert probe.accuracy == pytest.approx(max(accuracies))


def test_a_probe_is_read_as_it_was_written_and_damage_is_told(tmp_path):
    best, worse = planted()
    probe = fit_logistic_probe(best, worse, SITES)
    probe.save(tmp_path)
    again = LogisticProbe.load(tmp_path)
    np.testing.assert_array_equal(again.weights, probe.weights)
    assert (again.site, again.slope, again.strength) == (probe.site, probe.slope, probe.strength)
    (tmp_path / "probe.json").write_text("{}")
    with pytest.raises(InputError, match="damaged"):
        LogisticProbe.load(tmp_path)
    with pytest.raises(InputError, match="too few"):
        fit_logistic_probe(planted()[0][:1], planted()[1][:1], SITES)
    with pytest.raises(InputError, match="not finite"):
        fit_logistic_probe(planted()[0] * np.inf, planted()[1], SITES)


def test_a_whitened_direction_is_that_of_linear_discriminant_analysis_for_many_pairs():
    """In noise with a strong direction of its own, the mean difference alone points along that noise."""
    draw = np.random.default_rng(0)
    mixing = np.eye(5) + 3 * np.outer(np.ones(5), [1, 0, 0, 0, 0])
    covariance = mixing @ mixing.T
    shift = np.array([0.5, -0.5, 0.0, 0.3, 0.0])
    best, worse = (draw.normal(size=(6000, 5)) @ mixing.T for _ in range(2))
    best = best + shift
    fitted = fit_directions(best[:, None], worse[:, None], [Site(0)], 1, fit="whitened")
    expected = np.linalg.solve(covariance, shift)
    found = fitted.vectors[0].astype(float)
    assert found @ expected / np.linalg.norm(found) / np.linalg.norm(expected) > 0.98


def test_a_principal_component_is_that_of_the_differences_with_random_signs():
    best, worse = planted(pairs=300, strength=4.0)
    fitted = fit_directions(best, worse, SITES, 4, fit="pca")
    _, kept = hold_back(300, 0.3, 0)
    differences = (best.astype(float) - worse)[kept, 2]
    signed = differences * np.random.default_rng(8).choice([-1, 1], size=len(kept))[:, None]
    component = PCA(1).fit(signed).components_[0]
    found = fitted.vectors[2].astype(float)
    assert abs(found @ component) / np.linalg.norm(found) > 0.99
    assert found @ differences.mean(axis=0) > 0


def test_narrow_heads_padded_with_zeros_keep_their_zeros_when_whitened():
    best, worse = planted()
    best[..., 4:] = worse[..., 4:] = 0
    fitted = fit_directions(best, worse, SITES, 4, fit="whitened")
    assert not fitted.vectors[:, 4:].any()
    assert np.isfinite(fitted.vectors).all()


def test_sanity_of_a_probe_that_found_nothing_and_of_one_that_found_the_task():
    draw = np.random.default_rng(1)
    noise = draw.normal(size=(2, 2, 200, 8))
    found = sanity(0.52, noise[0], noise[1], seed=0)
    assert found.beaten
    assert "may have found nothing" in found.sentence()
    assert 0.5 <= found.random_mean < found.random_95 < 0.65
    told = noise.copy()
    told[0, 0, :, 3] += 6  # the Yes copies of best responses
    clear = sanity(1.0, told[0], told[1], seed=0)
    assert clear.principal_component > 0.95
    assert sanity(1.0, noise[0], noise[1], seed=0).beaten == []
