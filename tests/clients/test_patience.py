from itertools import pairwise

import pytest

from bus import Code, RpcError
from troupe_client.patience import LONGEST_DELAY_SECONDS, MAX_ATTEMPTS, Deadline, Patience

LOST = RpcError(Code.UNAVAILABLE, "lost")


def test_delays_grow_and_stay_below_their_limit() -> None:
    patience = Patience(seconds=1e9)
    delays = [patience.delay(LOST) for _ in range(MAX_ATTEMPTS - 1)]
    assert delays[0] <= 0.05
    assert all(earlier < 4 * later for earlier, later in pairwise(delays))
    assert max(delays) <= LONGEST_DELAY_SECONDS


def test_the_attempts_are_bounded() -> None:
    patience = Patience(seconds=1e9)
    for _ in range(3):
        patience.delay(LOST, attempts=4)
    with pytest.raises(RpcError, match="lost"):
        patience.delay(LOST, attempts=4)


def test_a_success_renews_the_attempts() -> None:
    patience = Patience(seconds=1e9)
    for _ in range(10):
        patience.delay(LOST, attempts=2)
        patience.renew()


def test_no_time_means_no_second_attempt() -> None:
    with pytest.raises(RpcError, match="lost"):
        Patience(seconds=0).delay(LOST)


def test_all_attempts_together_outlast_the_patience() -> None:
    shortest = sum(min(LONGEST_DELAY_SECONDS, 0.05 * 2.0**number) / 2 for number in range(MAX_ATTEMPTS))
    assert shortest > 15, "half of the patience even if chance makes every delay as short as can be"


def test_a_call_without_a_deadline_has_all_the_time() -> None:
    assert Deadline(None).left() is None
    assert Deadline(None).within(3.0) == 3.0


def test_a_deadline_shortens_what_would_take_longer() -> None:
    deadline = Deadline(5.0)
    assert deadline.within(3.0) == 3.0
    assert 0 < deadline.within(100.0) <= 5.0


def test_a_deadline_that_has_passed_is_an_error() -> None:
    with pytest.raises(RpcError) as caught:
        Deadline(0.0).left()
    assert caught.value.code is Code.DEADLINE_EXCEEDED
