"""Order of training pairs, their division among processes and forward passes."""

from __future__ import annotations

import doctest
from collections import Counter
from types import ModuleType

import pytest
import torch

from genies.lm.text import TokenSequence
from genies.methods.training import micro_batches, pairs, virtual_tokens
from genies.methods.training.micro_batches import make_micro_batches
from genies.methods.training.pairs import TrainingPair, divide, pairs_of_step, share_among


def make_pairs(lengths: list[tuple[int, int, int]]) -> list[TrainingPair]:
    """Pairs of a shared beginning and two tails of given lengths; all tokens differ otherwise."""
    made = []
    for index, (shared, best, worse) in enumerate(lengths):
        trunk = [1000 * index + place for place in range(shared)]
        one = (*trunk, *range(1000 * index + 400, 1000 * index + 400 + best))
        other = (*trunk, *range(1000 * index + 700, 1000 * index + 700 + worse))
        made.append(TrainingPair(index, TokenSequence(one, ()), TokenSequence(other, ())))
    return made


@pytest.mark.parametrize("module", [pairs, micro_batches, virtual_tokens])
def test_the_examples_in_docstrings_hold(module: ModuleType) -> None:
    found = doctest.testmod(module)
    assert found.attempted
    assert not found.failed


def test_every_pair_is_seen_equally_often_and_the_order_follows_the_seed() -> None:
    seen = [pair for step in range(10) for pair in pairs_of_step(step, count=10, batch_size=4, seed=3)]
    assert Counter(seen) == dict.fromkeys(range(10), 4)
    again = [pair for step in range(10) for pair in pairs_of_step(step, count=10, batch_size=4, seed=3)]
    other = [pair for step in range(10) for pair in pairs_of_step(step, count=10, batch_size=4, seed=4)]
    assert seen == again != other


def test_a_split_smaller_than_a_batch_is_gone_through_once_a_step() -> None:
    assert sorted(pairs_of_step(5, count=3, batch_size=16, seed=0)) == [0, 1, 2]


@pytest.mark.parametrize("processes", [1, 2, 3, 5])
def test_every_pair_of_a_step_falls_to_one_process(processes: int) -> None:
    shares = share_among(processes, [30, 7, 7, 100])
    assert sorted(place for share in shares for place in share) == [0, 1, 2, 3]
    assert len(shares) == processes


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("budget", [1, 60, 100, 1000])
def test_forward_passes_stay_within_the_budget_unless_one_pair_is_longer(packed: bool, budget: int) -> None:
    made = make_pairs([(20, 5, 9), (0, 30, 4), (12, 1, 1), (40, 40, 40), (3, 8, 2)])
    groups = divide(made, budget, packed)
    assert sorted(place for group in groups for place in group) == list(range(len(made)))
    for group in groups:
        [batch] = make_micro_batches([made[place] for place in group], group, torch.device("cpu"), packed, ())
        assert batch.batch.ids.numel() <= budget or len(group) == 1
        if packed:
            assert batch.batch.ids.numel() == sum(made[place].packed_tokens for place in group)


@pytest.mark.parametrize("packed", [True, False])
def test_sequences_and_stretches_point_at_the_tokens_of_their_pair(packed: bool) -> None:
    made = make_pairs([(20, 5, 9), (0, 30, 4), (12, 1, 1)])
    [micro] = make_micro_batches(made, [7, 8, 9], torch.device("cpu"), packed, virtual_ids=(91, 92))
    flat = micro.batch.ids.flatten().tolist()
    for place, sequence in enumerate(micro.sequences):
        assert [flat[index] for index in micro.batch.places[place]] == [91, 92, *sequence.ids]
    for stretch in micro.stretches:
        pair = made[stretch.slot - 7]
        assert set(flat[stretch.start : stretch.stop]) <= {91, 92, *pair.best.ids, *pair.worse.ids}
    covered = sum(stretch.stop - stretch.start for stretch in micro.stretches)
    assert covered == (len(flat) if packed else sum(len(sequence.ids) + 2 for sequence in micro.sequences))


@pytest.mark.parametrize("packed", [True, False])
def test_pairs_share_a_forward_pass_only_with_their_company(packed: bool) -> None:
    made = make_pairs([(20, 5, 9), (0, 30, 4), (12, 1, 1), (40, 40, 40), (3, 8, 2), (0, 41, 7), (2, 30, 33)])
    edge = 25
    groups = divide(made, 10**6, packed, lambda length: length > edge)
    sides = [
        [(len(made[place].best.ids) > edge, len(made[place].worse.ids) > edge) for place in group] for group in groups
    ]
    assert sorted(place for group in groups for place in group) == list(range(len(made)))
    for side in sides:
        assert len(set(side)) == 1
        assert len(side) == 1 or side[0][0] == side[0][1]
    assert sorted(map(len, sides)) == [1, 1, 1, 2, 2]


@pytest.mark.parametrize("packed", [True, False])
def test_a_pair_whose_sequences_keep_apart_has_a_forward_pass_for_each(packed: bool) -> None:
    [pair] = make_pairs([(0, 30, 4)])
    micros = make_micro_batches([pair], [3], torch.device("cpu"), packed, virtual_ids=(91,), apart=True)
    assert [micro.batch.ids.tolist() for micro in micros] == [[[91, *pair.best.ids]], [[91, *pair.worse.ids]]]
    assert [(each.slot, each.branch) for micro in micros for each in micro.stretches] == [(3, 0), (3, 1)]
    assert [micro.batch.row is not None for micro in micros] == [packed, packed]
