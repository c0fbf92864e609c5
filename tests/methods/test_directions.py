import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from safetensors.numpy import save_file

from genies.errors import InputError
from genies.lm.sites import Site
from genies.methods.directions import Directions, fit_directions, hold_back, mean_cosines


def planted(pairs=60, sites=12, width=8, planted_sites=(3, 7), strength=3.0, seed=0):
    """Activations in which the best response differs from the worse by a fixed direction at some sites only."""
    draw = np.random.default_rng(seed)
    shared = draw.normal(size=(pairs, sites, width))
    best, worse = (shared + draw.normal(size=(pairs, sites, width)) for _ in range(2))
    directions = np.random.default_rng(99).normal(size=(sites, width))
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    for site in planted_sites:
        best[:, site] += strength * directions[site]
    return (
        best.astype(np.float32),
        worse.astype(np.float32),
        directions,
        [Site(place // 4, place % 4) for place in range(sites)],
    )


def test_planted_sites_and_directions_are_found():
    best, worse, directions, sites = planted()
    fitted = fit_directions(best, worse, sites, keep=2)
    assert fitted.sites == [sites[3], sites[7]]
    for found, expected in zip(fitted.vectors, directions[[3, 7]], strict=True):
        assert found @ expected / np.linalg.norm(found) > 0.9
    new_best, new_worse, _, _ = planted(seed=1, pairs=200)
    p = fitted.probabilities(new_best[:, [3, 7]], new_worse[:, [3, 7]])
    assert np.mean(p > 0.5) > 0.9


def test_noise_alone_gives_probabilities_near_one_half():
    best, worse, _, sites = planted(pairs=400, planted_sites=())
    fitted = fit_directions(best[:300], worse[:300], sites, keep=4)
    p = fitted.probabilities(best[300:][:, :4], worse[300:][:, :4])
    assert np.abs(p - 0.5).mean() < 0.15


def test_p_turns_to_one_minus_p_when_responses_change_places():
    best, worse, _, sites = planted()
    fitted = fit_directions(best, worse, sites, keep=3)
    kept = [sites.index(site) for site in fitted.sites]
    forward = fitted.probabilities(best[:, kept], worse[:, kept])
    backward = fitted.probabilities(worse[:, kept], best[:, kept])
    np.testing.assert_allclose(forward + backward, 1, atol=1e-12)


def test_the_score_is_the_mean_cosine_mapped_to_the_unit_interval():
    first = np.zeros((1, 2, 2))
    second = np.array([[[2.0, 0.0], [3.0, 3.0]]])
    directions = Directions([Site(0), Site(1)], np.array([[1.0, 0.0], [0.0, 5.0]], np.float32), 2.0, [], 0, 0)
    mean = (1 + np.sqrt(0.5)) / 2
    assert directions.scores(first, second) == pytest.approx([(1 + mean) / 2])
    assert directions.probabilities(second, first) == pytest.approx([1 / (1 + np.exp(-2.0 * mean / 2))])


def test_equal_activations_are_a_tie():
    best, worse, _, sites = planted()
    fitted = fit_directions(best, worse, sites, keep=12)
    assert fitted.probabilities(best, best).tolist() == [0.5] * len(best)


@given(arrays(np.float32, (3, 2, 4), elements=st.floats(-100, 100, width=32)))
def test_cosines_stay_within_one_and_ignore_scale(best):
    vectors = np.array([[1, 2, 3, 4], [0, 0, 1, 0]], np.float32)
    found = mean_cosines(best, np.zeros_like(best), vectors)
    assert (np.abs(found) <= 1 + 1e-9).all()
    np.testing.assert_allclose(mean_cosines(best * 2, np.zeros_like(best), vectors * 3), found, atol=1e-9)


def test_the_same_seed_gives_the_same_result_and_another_another():
    best, worse, _, sites = planted(strength=0.5)
    one, same, other = (fit_directions(best, worse, sites, keep=4, seed=seed) for seed in (1, 1, 2))
    assert one.slope == same.slope
    assert (one.vectors == same.vectors).all()
    assert one.slope != other.slope


def test_two_pairs_suffice_and_one_does_not():
    best, worse, _, sites = planted()
    fitted = fit_directions(best[:2], worse[:2], sites, keep=16)
    assert (fitted.fitted_pairs, fitted.held_back_pairs, len(fitted.sites)) == (1, 1, 12)
    assert np.isfinite(fitted.probabilities(best, worse)).all()
    with pytest.raises(InputError, match="1 training pairs are too few"):
        fit_directions(best[:1], worse[:1], sites, keep=2)


def test_activations_that_are_no_numbers_are_a_message():
    best, worse, _, sites = planted()
    best[5, 1, 2] = np.nan
    with pytest.raises(InputError, match="not finite; try --dtype float32"):
        fit_directions(best, worse, sites, keep=2)


@given(st.integers(2, 50), st.floats(0.01, 0.99), st.integers(0, 5))
def test_hold_back_splits_all_pairs_with_some_on_either_side(count, share, seed):
    held, fitted = hold_back(count, share, seed)
    assert sorted([*held, *fitted]) == list(range(count))
    assert len(held) >= 1
    assert len(fitted) >= 1


def test_saved_directions_come_back_and_damage_is_a_message(tmp_path):
    best, worse, _, sites = planted()
    fitted = fit_directions(best, worse, sites, keep=3)
    fitted.save(tmp_path)
    loaded = Directions.load(tmp_path)
    assert (loaded.sites, loaded.slope, loaded.accuracies) == (fitted.sites, fitted.slope, fitted.accuracies)
    assert (loaded.vectors == fitted.vectors).all()
    assert {path.name for path in tmp_path.iterdir()} == {"directions.safetensors", "directions.json"}

    content = (tmp_path / "directions.safetensors").read_bytes()
    (tmp_path / "directions.safetensors").write_bytes(content[:20])
    with pytest.raises(InputError, match="damaged"):
        Directions.load(tmp_path)
    (tmp_path / "directions.safetensors").unlink()
    with pytest.raises(InputError, match="does not exist"):
        Directions.load(tmp_path)
    (tmp_path / "directions.safetensors").write_bytes(content)
    (tmp_path / "directions.json").write_text(json.dumps({"sites": []}))
    with pytest.raises(InputError, match="damaged"):
        Directions.load(tmp_path)


@pytest.mark.parametrize(
    ("change", "tensors"),
    [
        ({"sites": []}, None),
        ({"sites": [{"block": "x", "head": 0}] * 3}, None),
        ({"slope": float("inf")}, None),
        ({}, np.zeros((2, 6), np.float32)),
        ({}, np.full((3, 6), np.nan, np.float32)),
    ],
    ids=["no sites", "a block that is no number", "slope", "fewer vectors", "no numbers"],
)
def test_directions_that_do_not_fit_together_are_a_message(change, tensors, tmp_path):
    best, worse, _, sites = planted()
    fit_directions(best, worse, sites, keep=3).save(tmp_path)
    record = tmp_path / "directions.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | change))
    if tensors is not None:
        save_file({"directions": tensors}, tmp_path / "directions.safetensors")
    with pytest.raises(InputError, match=r"damaged|Infinity"):
        Directions.load(tmp_path)


def test_directions_of_another_width_than_the_activations_are_a_message():
    best, worse, _, sites = planted()
    directions = fit_directions(best, worse, sites, keep=3)
    with pytest.raises(InputError, match="train again on this base model"):
        directions.probabilities(best[:, :3, :-1], worse[:, :3, :-1])


def test_a_difference_that_is_nothing_but_rounding_is_a_tie():
    # As where a sliding window hides the responses from the last token: passes in other batches differ by 5e-7.
    draw = np.random.default_rng(0)
    best, vectors = draw.normal(size=(20, 3, 16)).astype(np.float32), draw.normal(size=(3, 16)).astype(np.float32)
    noise = draw.normal(size=best.shape)
    assert mean_cosines(best, best * (1 + 5e-7 * noise), vectors) == pytest.approx(np.zeros(20))
    small = (best * (1 + 1e-4 * noise)).astype(np.float32)
    difference = best.astype(np.float64) - small
    lengths = np.linalg.norm(difference, axis=-1) * np.linalg.norm(vectors, axis=-1)
    expected = (np.sum(difference * vectors, axis=-1) / lengths).mean(axis=1)
    assert mean_cosines(best, small, vectors) == pytest.approx(expected)
    assert np.abs(expected).max() > 0.1


def test_an_activation_that_is_no_number_is_no_tie():
    best, worse, vectors = np.ones((2, 1, 3)), np.zeros((2, 1, 3)), np.ones((1, 3), np.float32)
    best[1, 0, 0] = np.nan
    one, other = mean_cosines(best, worse, vectors)
    assert one == pytest.approx(1)
    assert np.isnan(other)


def test_an_untuned_model_is_named_as_such(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match=r"is an untuned model.* api/train\.py"):
        Directions.load(tmp_path)


def test_sites_are_chosen_by_single_responses_when_asked():
    """At one site best and worse responses differ and are told apart one by one; at the other the difference is as
    sure, but lost in what varies between prompts."""
    draw = np.random.default_rng(3)
    best, worse = (0.1 * draw.normal(size=(200, 2, 6)).astype(np.float32) for _ in range(2))
    best[:, 0, 0] += 2.0
    best[:, 1, 0] += 2.0
    prompts = 1000 * draw.normal(size=200).astype(np.float32)
    best[:, 1, 0] += prompts
    worse[:, 1, 0] += prompts
    sites = [Site(0), Site(1)]
    by_pairs = fit_directions(best, worse, sites, keep=2)
    by_responses = fit_directions(best, worse, sites, keep=2, probe="responses")
    assert by_pairs.accuracies == [1.0, 1.0]
    assert by_responses.accuracies[0] == 1.0
    assert by_responses.accuracies[1] < 0.7
    assert fit_directions(best, worse, sites, keep=1, probe="responses").sites == [Site(0)]
    assert (by_pairs.vectors == by_responses.vectors).all()
