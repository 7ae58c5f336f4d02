"""The buffer of a computation: what lives at the same time, and the holes between."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from actors.model.graph_memory import ALIGNMENT, Block, Plan

UNIT = 10 * ALIGNMENT


def test_what_nothing_needs_any_more_makes_room() -> None:
    plan = Plan()
    first = plan.make(UNIT)
    second = plan.make(UNIT, first)
    plan.make(UNIT, second)
    assert plan.peak == 2 * UNIT


def test_an_input_lives_until_its_result_is_there() -> None:
    plan = Plan()
    a, b = plan.make(UNIT), plan.make(UNIT)
    plan.make(UNIT, a, b)
    assert plan.peak == 3 * UNIT


def test_a_result_takes_the_place_of_an_input_that_nothing_else_needs() -> None:
    plan = Plan()
    alone = plan.make(UNIT)
    assert plan.over(alone) is alone and plan.peak == UNIT
    shared = plan.make(UNIT, uses=2)
    assert plan.over(shared) is not shared


def test_a_tensor_goes_into_the_smallest_hole_that_holds_it() -> None:
    plan = Plan()
    large, wall, small, _ = plan.make(3 * UNIT), plan.make(UNIT), plan.make(2 * UNIT), plan.make(UNIT)
    plan.let_go(large, small)
    assert plan.make(2 * UNIT).start == small.start
    assert plan.make(2 * UNIT).start == large.start
    assert wall.start == 3 * UNIT and plan.peak == 7 * UNIT


def test_neighbours_that_are_free_are_one_hole() -> None:
    plan = Plan()
    first, second, _ = plan.make(UNIT), plan.make(UNIT), plan.make(UNIT)
    plan.let_go(first, second)
    assert plan.make(2 * UNIT).start == first.start and plan.peak == 3 * UNIT


@given(st.lists(st.tuples(st.integers(1, 5000), st.integers(0, 3)), max_size=60))
def test_no_two_that_live_share_a_byte_and_the_peak_holds_them_all(steps: list[tuple[int, int]]) -> None:
    plan, alive = Plan(), list[tuple[Block, int]]()
    for size, gone in steps:
        alive.append((plan.make(size), size))
        for _ in range(min(gone, len(alive))):
            block, _ = alive.pop(0)
            plan.let_go(block)
        taken = sorted((block.start, block.start + length) for block, length in alive)
        assert all(end <= start for (_, end), (start, _) in pairwise(taken))
        assert all(end <= plan.peak for _, end in taken)
    for block, _ in alive:
        plan.let_go(block)
    assert plan.make(1).start == 0
