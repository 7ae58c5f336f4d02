"""When a loaded model is tried, and what follows: every rule of actors/model/checks.py by its number."""

import math

from hypothesis import given
from hypothesis import strategies as st

from actors.model.checks import BUSY_PART, FAILURES, FIRST_SECONDS, LEAST_SECONDS, Checks, Verdict

PERIOD = 300.0


def served(*names: str, now: float = 0.0) -> Checks:
    checks = Checks(PERIOD)
    checks.serving(names, [], now)
    return checks


def well(checks: Checks, name: str, now: float) -> Verdict:
    return checks.done(name, busy=False, failed=False, now=now)


def ill(checks: Checks, name: str, now: float) -> Verdict:
    return checks.done(name, busy=False, failed=True, now=now)


def test_1_a_model_is_tried_a_moment_after_it_began_to_serve_and_then_once_in_each_period() -> None:
    checks = served("a")
    assert checks.due(FIRST_SECONDS - 0.1) == []
    assert checks.next == FIRST_SECONDS
    assert checks.due(FIRST_SECONDS) == ["a"]
    assert well(checks, "a", 6.0) is Verdict.HEALTHY
    assert checks.next == 6.0 + PERIOD
    checks.serving(["a", "b"], [], 7.0)  # what others do changes nothing
    assert checks.due(6.0 + PERIOD) == ["a", "b"]


def test_2_one_that_was_started_again_for_it_is_tried_at_once() -> None:
    checks = served("a")
    checks.due(FIRST_SECONDS)
    assert ill(checks, "a", 6.0) is Verdict.RESTART
    checks.serving([], ["a"], 6.1)
    assert checks.due(1000.0) == [] and checks.next == math.inf
    checks.serving(["a"], [], 20.0)
    assert checks.due(20.0) == ["a"]


def test_3_a_busy_one_is_asked_again_and_nothing_follows() -> None:
    checks = served("a")
    checks.due(FIRST_SECONDS)
    assert checks.done("a", busy=True, failed=False, now=6.0) is Verdict.NOTHING
    assert checks.next == 6.0 + PERIOD / BUSY_PART
    assert Checks(1.0).next == math.inf
    quick = Checks(1.0)
    quick.serving(["a"], [], 0.0)
    quick.due(FIRST_SECONDS)
    quick.done("a", busy=True, failed=False, now=6.0)
    assert quick.next == 6.0 + LEAST_SECONDS


def test_4_a_trial_that_takes_long_is_not_doubled() -> None:
    checks = served("a")
    assert checks.due(FIRST_SECONDS) == ["a"]
    assert checks.due(FIRST_SECONDS + 10 * PERIOD) == []


def test_5_one_that_fails_again_and_again_is_left_as_failed_and_a_good_trial_between_wipes_that_out() -> None:
    checks, now = served("a"), FIRST_SECONDS
    verdicts = []
    for number in range(2 * FAILURES):
        now = max(now, checks.next)
        assert checks.due(now) == ["a"]
        verdicts.append(well(checks, "a", now) if number == FAILURES - 1 else ill(checks, "a", now))
    assert verdicts == [Verdict.RESTART] * (FAILURES - 1) + [Verdict.HEALTHY] + [Verdict.RESTART] * (FAILURES - 1) + [
        Verdict.FAILED
    ]


def test_6_what_is_told_of_a_process_that_is_no_more_is_no_word_of_the_next() -> None:
    checks = served("a")
    checks.due(FIRST_SECONDS)
    checks.serving([], ["a"], 6.0)
    assert ill(checks, "a", 7.0) is Verdict.NOTHING
    checks.serving(["a"], [], 8.0)
    assert checks.next == 8.0 + FIRST_SECONDS
    checks.due(100.0)
    assert ill(checks, "a", 100.0) is Verdict.RESTART
    checks.serving([], [], 101.0)  # it was unloaded, and its failures with it
    checks.serving(["a"], [], 102.0)
    assert checks.next == 102.0 + FIRST_SECONDS
    assert checks.done("never heard of", busy=False, failed=True, now=0.0) is Verdict.NOTHING


@given(st.lists(st.tuples(st.sampled_from("slnbfw"), st.sampled_from("ab"), st.floats(0, 400)), max_size=60))
def test_whatever_happens_a_model_has_one_trial_at_a_time_and_none_while_it_does_not_serve(
    events: list[tuple[str, str, float]],
) -> None:
    checks, now, state, trying = Checks(PERIOD), 0.0, dict[str, str](), set[str]()
    for what, name, wait in events:
        now += wait
        if what in "sln":
            state = {each: how for each, how in {**state, name: what}.items() if how != "n"}
            serves = [each for each, how in state.items() if how == "s"]
            checks.serving(serves, [each for each, how in state.items() if how == "l"], now)
        elif name in trying:
            trying.discard(name)
            verdict = checks.done(name, busy=what == "b", failed=what == "f", now=now)
            assert state.get(name) == "s" or verdict is Verdict.NOTHING
        due = checks.due(now)
        assert not set(due) & trying and all(state.get(each) == "s" for each in due)
        trying |= set(due)
        assert checks.next > now
