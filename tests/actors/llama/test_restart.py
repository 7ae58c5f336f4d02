"""When a process is started again."""

from hypothesis import given
from hypothesis import strategies as st

from actors.llama.restart import RestartBudget


def test_pauses_double() -> None:
    budget = RestartBudget(4, 60, 0.5)
    assert [budget.pause(now) for now in (0, 1, 2, 3)] == [0.5, 1.0, 2.0, 4.0]


def test_too_many_restarts_within_the_window_end_it() -> None:
    budget = RestartBudget(2, 60, 0.1)
    assert [budget.pause(now) is None for now in (0, 1, 2)] == [False, False, True]


def test_a_quiet_window_gives_the_budget_back() -> None:
    budget = RestartBudget(1, 60, 0.1)
    assert budget.pause(0) == 0.1
    assert budget.pause(100) == 0.1


@given(st.lists(st.floats(0, 30), max_size=50), st.integers(0, 5))
def test_no_window_has_more_restarts_than_allowed(gaps: list[float], limit: int) -> None:
    budget = RestartBudget(limit, 60, 0.1)
    now, restarts = 0.0, []
    for gap in gaps:
        now += gap
        if budget.pause(now) is not None:
            restarts.append(now)
    for start in restarts:
        assert sum(start <= time <= start + 60 for time in restarts) <= limit
