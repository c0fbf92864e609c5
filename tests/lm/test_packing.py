import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genies.lm.packing import Run, pack, plan_rows, shared_length

# Few distinct ids, so that random sequences share beginnings.
sequences = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=9), min_size=1, max_size=8)


def test_two_responses_share_their_prompt_and_do_not_see_each_other():
    row = pack([[1, 2, 3, 4], [1, 2, 5]], least_shared=1)
    assert row.ids == [1, 2, 3, 4, 5]
    assert row.positions == [0, 1, 2, 3, 2]
    assert row.paths == [((0, 4),), ((0, 2), (4, 5))]
    assert row.mask().int().tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 1, 1, 0],
        [1, 1, 0, 0, 1],
    ]


def test_branches_nest():
    row = pack([[1, 2, 3], [1, 2, 4, 5], [1, 2, 4, 6]], least_shared=1)
    assert row.ids == [1, 2, 3, 4, 5, 6]
    assert row.positions == [0, 1, 2, 2, 3, 3]
    assert row.runs == (Run(0, 3, ()), Run(3, 5, ((0, 2),)), Run(5, 6, ((0, 2), (3, 4))))
    assert [row.indices(place) for place in range(3)] == [[0, 1, 2], [0, 1, 3, 4], [0, 1, 3, 5]]


def test_trees_of_different_prompts_stand_apart_in_one_row():
    row = pack([[1, 2], [1, 3], [7, 8], [7, 9]], least_shared=1)
    assert row.ids == [1, 2, 3, 7, 8, 9]
    assert row.mask().int().tolist() == [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 0, 1, 0, 0, 0],
        [0, 0, 0, 1, 0, 0],
        [0, 0, 0, 1, 1, 0],
        [0, 0, 0, 1, 0, 1],
    ]


def test_a_window_hides_what_is_far_along_the_own_sequence():
    row = pack([[1, 2, 3, 4], [1, 2, 5]], least_shared=1)
    assert row.mask(window=2).int().tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [0, 1, 1, 0, 0],
        [0, 0, 1, 1, 0],
        [0, 1, 0, 0, 1],
    ]


def test_a_short_common_beginning_is_not_worth_a_branch():
    assert pack([[1, 2, 3], [1, 2, 4]], least_shared=3).ids == [1, 2, 3, 1, 2, 4]


def test_a_sequence_that_goes_on_where_the_one_before_ended_lengthens_its_run():
    row = pack([[1, 2], [1, 2], [1, 2, 3]], least_shared=1)
    assert row.ids == [1, 2, 3]
    assert row.runs == (Run(0, 3, ()),)
    assert [row.indices(place) for place in range(3)] == [[0, 1], [0, 1], [0, 1, 2]]


@given(sequences, st.integers(1, 4))
def test_every_path_spells_its_sequence_with_positions_from_zero(given_sequences, least_shared):
    row = pack(sorted(given_sequences), least_shared)
    for place, sequence in enumerate(sorted(given_sequences)):
        where = row.indices(place)
        assert [row.ids[index] for index in where] == sequence
        assert [row.positions[index] for index in where] == list(range(len(sequence)))


@given(sequences, st.integers(1, 4), st.none() | st.integers(1, 5))
def test_the_mask_shows_each_token_its_own_path_and_nothing_else(given_sequences, least_shared, window):
    row = pack(sorted(given_sequences), least_shared)
    mask = row.mask(window)
    for place in range(len(given_sequences)):
        where = row.indices(place)
        for position, index in enumerate(where):
            nearest = where[: position + 1] if window is None else where[: position + 1][-window:]
            assert torch.nonzero(mask[index]).flatten().tolist() == sorted(nearest)


@given(sequences)
def test_lexicographic_order_computes_each_shared_beginning_once(given_sequences):
    beginnings = {tuple(sequence[:stop]) for sequence in given_sequences for stop in range(1, len(sequence) + 1)}
    assert len(pack(sorted(given_sequences), least_shared=1).ids) == len(beginnings)


@settings(max_examples=50)
@given(sequences, st.integers(1, 30), st.integers(1, 4))
def test_rows_hold_every_sequence_once_within_the_budget(given_sequences, budget, least_shared):
    rows = plan_rows(given_sequences, budget, least_shared)
    assert sorted(index for row in rows for index in row) == list(range(len(given_sequences)))
    for row in rows:
        tokens = len(pack([given_sequences[index] for index in row], least_shared).ids)
        assert tokens <= budget or len(row) == 1


def test_responses_of_a_prompt_stay_in_one_row_when_they_fit():
    first = [[1] * 60 + [response] * 20 for response in (5, 6)]
    second = [[2] * 60 + [response] * 20 for response in (5, 6)]
    assert plan_rows([first[0], second[0], first[1], second[1]], budget=190) == [[0, 2], [1, 3]]


def test_shared_length():
    assert shared_length([1, 2, 3], (1, 2, 4)) == 2
    assert shared_length([1], [1, 2]) == 1
    assert shared_length([], [1]) == 0
