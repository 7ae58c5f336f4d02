"""Whose turn it is at a disk, and how long anybody waits for it."""

from hypothesis import given
from hypothesis import strategies as st

from actors.model.disk_turns import (
    LEAST_SECONDS,
    LITTLE_BYTES,
    MOST_SECONDS,
    STALE_SECONDS,
    TIMES,
    Read,
    Reading,
    Turn,
    Wait,
)

GB = 10**9


def huge(now: float, left: int = 9 * GB, speed: float = 1e9) -> Reading:
    return Reading("huge", left, speed, now)


def test_little_needs_no_token_and_waits_for_nobody() -> None:
    for left in (0, LITTLE_BYTES - 1):
        turn = Turn(left, 0.0)
        assert not turn.wants_token
        assert turn.decide(huge(0.0), 0.0) == Read()


def test_whoever_gets_the_token_reads() -> None:
    turn = Turn(LITTLE_BYTES, 0.0)
    assert turn.wants_token
    assert turn.decide(None, 0.0, got=True) == Read()


def test_who_waits_hears_for_whom_and_how_long() -> None:
    turn = Turn(GB, 10.0)
    assert turn.decide(huge(10.0), 10.0) == Wait("Waits for the disk: huge is being read, 9.0 GB are left.", 9.0)
    assert turn.decide(huge(10.1, 99 * 10**6, 0.0), 10.1) == Wait(
        "Waits for the disk: huge is being read, 99 MB are left.", None
    )


def test_one_that_has_just_got_the_token_may_have_told_nothing_yet() -> None:
    turn = Turn(GB, 0.0)
    assert turn.decide(None, STALE_SECONDS) == Wait("Waits for the disk.", None)
    assert turn.decide(None, STALE_SECONDS + 0.1) == Read(beside=True)


def test_what_a_holder_before_has_left_behind_is_no_word_of_this_one() -> None:
    assert Turn(GB, 100.0).decide(huge(10.0), 100.0) == Wait("Waits for the disk.", None)


def test_a_holder_that_was_stopped_is_not_waited_for() -> None:
    turn = Turn(9 * GB, 0.0)
    assert isinstance(turn.decide(huge(0.5), 3.0), Wait)
    assert turn.decide(huge(0.5), 3.6) == Read(beside=True)


def test_a_small_one_waits_a_few_times_its_own_reading_for_a_huge_one() -> None:
    turn = Turn(GB, 0.0)
    assert isinstance(turn.decide(huge(TIMES - 0.1), TIMES - 0.1), Wait)
    assert turn.decide(huge(TIMES), TIMES) == Read(beside=True)


@given(st.integers(LITTLE_BYTES, 10**12), st.integers(0, 10**12), st.floats(0, 1e11))
def test_nobody_waits_without_a_bound(left: int, others: int, speed: float) -> None:
    turn = Turn(left, 0.0)
    assert isinstance(turn.decide(Reading("a", others, speed, 0.0), LEAST_SECONDS - 0.1), Wait)
    assert turn.decide(Reading("a", others, speed, MOST_SECONDS), MOST_SECONDS) == Read(beside=True)
