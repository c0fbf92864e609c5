"""Which step starts next."""

from pathlib import Path
from typing import Any, cast

from genies.harness.schedule import Task, in_order, next_to_start

NO_CHECK = cast(Any, None)


def task(number: int, needs: int | None = None, **reads: int) -> Task:
    """A step that reads files, each of so many bytes."""
    return Task(number, NO_CHECK, needs, {Path(name): size for name, size in reads.items()})


def test_with_one_slot_the_plan_is_followed_and_with_several_the_longest_way_goes_first() -> None:
    short, long, after_long = task(0, a=5), task(1, b=3), task(2, needs=1, c=9)
    assert in_order([short, long, after_long], 1) == [short, long, after_long]
    assert in_order([short, long, after_long], 2) == [long, after_long, short]


def test_seeds_of_one_source_take_turns_with_other_work() -> None:
    first, second, other = task(0, a=9), task(1, a=9), task(2, b=4)
    assert next_to_start([first, second, other], []) is first
    assert next_to_start([second, other], [first]) is other


def test_no_slot_idles_when_all_that_is_left_reads_the_same() -> None:
    running = task(0, a=9, b=2)
    most, least = task(1, a=9, b=2), task(2, b=2, c=50)
    assert next_to_start([most, least], [running]) is least
    assert next_to_start([most], [running]) is most
    assert next_to_start([], [running]) is None
