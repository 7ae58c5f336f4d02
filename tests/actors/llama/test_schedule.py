"""What a step computes: turns of adapters, room for prompts, rows."""

from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from actors.llama.schedule import AdapterRotation, PrefillBudget, RowGrouping, plan


@dataclass
class Waiting:
    pending: int
    adapter: str = ""


def test_one_adapter_keeps_its_turn_while_nobody_else_waits() -> None:
    rotation = AdapterRotation(run=2)
    assert [rotation.choose(["a"]) for _ in range(5)] == ["a"] * 5


def test_an_adapter_gives_up_its_turn_after_its_run() -> None:
    rotation = AdapterRotation(run=3)
    turns = [rotation.choose(["", "a"]) for _ in range(9)]
    assert turns == ["", "", "", "a", "a", "a", "", "", ""]


def test_an_adapter_without_sequences_gives_up_at_once() -> None:
    rotation = AdapterRotation(run=10)
    assert rotation.choose(["a"]) == "a"
    assert rotation.choose(["b"]) == "b"


@given(st.lists(st.sampled_from(["", "a", "b", "c"]), min_size=1, max_size=8), st.integers(1, 5))
def test_every_adapter_that_waits_gets_a_turn(adapters: list[str], run: int) -> None:
    rotation = AdapterRotation(run)
    waiting = list(adapters)
    seen = set()
    for _ in range(run * 2 * len(adapters) + 1):
        chosen = rotation.choose(waiting)
        seen.add(chosen)
        # Those that had their turn end and begin again behind the others.
        waiting = [each for each in waiting if each != chosen] + [each for each in waiting if each == chosen]
    assert seen == set(adapters)


def test_without_generating_sequences_a_prompt_gets_the_whole_batch() -> None:
    budget = PrefillBudget(512, 0.1)
    budget.observe(1, 0, 0.05)
    budget.observe(1, 256, 1.0)
    assert budget.tokens(0, 1) == 512


def test_a_slow_model_reads_prompts_in_small_pieces_while_others_are_generated() -> None:
    budget = PrefillBudget(512, 0.1)
    budget.observe(4, 0, 0.05)
    budget.observe(4, 512, 5.0)
    assert budget.tokens(4, 1) == PrefillBudget.FLOOR


def test_a_fast_model_reads_prompts_whole_while_others_are_generated() -> None:
    budget = PrefillBudget(512, 0.1)
    budget.observe(4, 0, 0.001)
    budget.observe(4, 508, 0.02)
    assert budget.tokens(4, 1) == 508


def test_each_sequence_that_waits_for_its_first_token_is_worth_a_gap() -> None:
    budget = PrefillBudget(512, 0.25)
    budget.observe(1, 0, 0.05)
    budget.observe(1, 100, 0.30)
    assert [budget.tokens(4, waiting) for waiting in (1, 2, 5, 50)] == [100, 200, 500, 508]


def steps(grouping: RowGrouping, rows: int, count: int, seconds: Callable[[bool], float]) -> list[bool]:
    """Which steps computed their rows apart."""
    found = []
    for _ in range(count):
        apart = grouping.apart(rows)
        grouping.observe(rows, apart, seconds(apart))
        found.append(apart)
    return found


def test_few_rows_are_computed_apart_where_that_is_faster() -> None:
    grouping = RowGrouping(may_part=True)
    tried = [False, True] * RowGrouping.SAMPLES
    assert steps(grouping, 2, 9, lambda apart: 0.036 if apart else 0.065) == [*tried, True, True, True]


def test_few_rows_are_computed_together_where_that_is_faster() -> None:
    grouping = RowGrouping(may_part=True)
    tried = [False, True] * RowGrouping.SAMPLES
    assert steps(grouping, 4, 9, lambda apart: 0.080 if apart else 0.020) == [*tried, False, False, False]


def test_a_measurement_that_was_disturbed_does_not_decide() -> None:
    grouping = RowGrouping(may_part=True)
    times = iter([0.065, 0.9, 0.5, 0.036, 0.065, 0.036])
    steps(grouping, 2, 6, lambda apart: next(times))
    assert grouping.apart(2)


def test_each_number_of_rows_is_measured_by_itself() -> None:
    grouping = RowGrouping(may_part=True)
    steps(grouping, 2, 10, lambda apart: 0.036 if apart else 0.065)
    assert not steps(grouping, 8, 10, lambda apart: 0.146 if apart else 0.117)[-1]
    assert grouping.apart(2)


def test_the_slower_way_is_tried_again_and_may_win() -> None:
    grouping = RowGrouping(may_part=True)
    steps(grouping, 4, 10, lambda apart: 0.080 if apart else 0.090)
    assert grouping.apart(4)
    later = steps(grouping, 4, 2 * RowGrouping.AGAIN, lambda apart: 0.080 if apart else 0.020)
    assert later[-1] is False


def test_rows_stay_together_on_a_gpu_and_when_they_are_one_or_many() -> None:
    assert not any(steps(RowGrouping(may_part=False), 4, 10, lambda apart: 0.01 if apart else 1.0))
    for rows in (1, RowGrouping.MOST + 1):
        assert not any(steps(RowGrouping(may_part=True), rows, 10, lambda apart: 0.01 if apart else 1.0))


@given(st.lists(st.integers(1, 200), min_size=1, max_size=16))
def test_a_plan_holds_every_generating_row_and_no_more_than_the_batch(pending: list[int]) -> None:
    budget = PrefillBudget(128, 0.1)
    rows = plan([Waiting(each) for each in pending], budget)
    assert sum(row.count for row in rows) <= 128
    assert sum(row.count == 1 and row.sequence.pending == 1 for row in rows) == pending.count(1)
    assert all(1 <= row.count <= row.sequence.pending for row in rows)


def test_prompts_are_read_in_order() -> None:
    rows = plan([Waiting(100), Waiting(100), Waiting(100)], PrefillBudget(128, 0.1))
    assert [row.count for row in rows] == [100, 28]
