import asyncio
from contextlib import ExitStack

import pytest

from bus import Code, RpcError
from gateway.identity import Principal
from gateway.limits import Limits, MessageRate
from gateway.settings import LimitSettings


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def limits(**values: int) -> Limits:
    return Limits(LimitSettings(**values))


@pytest.mark.parametrize(("kind", "reason"), [("call", "TOO_MANY_CALLS"), ("connection", "TOO_MANY_CONNECTIONS")])
def test_one_more_than_allowed_is_refused_with_the_time_to_come_back(kind: str, reason: str) -> None:
    found = limits(max_calls=2, max_connections=2)
    take = getattr(found, kind)
    with take(), take():
        with pytest.raises(RpcError, match="2 ") as caught, take():
            pass
        assert caught.value.code is Code.RESOURCE_EXHAUSTED
        assert caught.value.reason == reason
        assert caught.value.retry_after == 1.0
        assert take().in_use == 2
    assert take().in_use == 0


def test_a_refused_call_takes_no_place() -> None:
    found = limits(max_calls=1)
    with found.call():
        for _ in range(5):
            with pytest.raises(RpcError), found.call():
                pass
    with found.call():
        assert found.call().in_use == 1


def test_calls_and_connections_are_counted_apart() -> None:
    found = limits(max_calls=1, max_connections=1)
    with found.call(), found.connection():
        assert (found.call().in_use, found.connection().in_use) == (1, 1)


async def test_places_come_back_when_their_holders_are_cancelled() -> None:
    found = limits(max_calls=50)
    inside = asyncio.Event()

    async def hold() -> None:
        with found.call():
            inside.set()
            await asyncio.Event().wait()

    async with asyncio.timeout(5):
        tasks = [asyncio.create_task(hold()) for _ in range(50)]
        never_begun = asyncio.create_task(hold())
        never_begun.cancel()
        await inside.wait()
        await asyncio.gather(never_begun, return_exceptions=True)
        assert found.call().in_use == 50
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert found.call().in_use == 0


def test_a_place_comes_back_when_its_block_fails() -> None:
    found = limits()
    with pytest.raises(ZeroDivisionError), found.call():
        raise ZeroDivisionError
    assert found.call().in_use == 0


def test_an_exit_stack_gives_back_as_many_places_as_it_took() -> None:
    found = limits()
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(found.call())
        assert found.call().in_use == 3
    assert found.call().in_use == 0


def test_bodies_that_are_read_at_once_have_a_limit_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.limits.MAX_BODIES_BYTES", 10)
    found = limits()
    with found.body() as one, found.body() as other:
        one.take(4)
        other.take(6)
        with pytest.raises(RpcError) as caught:
            one.take(1)
        assert (caught.value.reason, found.body_bytes) == ("TOO_MANY_CALLS", 10)
    assert found.body_bytes == 0


def test_a_burst_passes_and_then_the_rate_holds() -> None:
    clock = Clock()
    rate = MessageRate(8, 3, clock)
    for _ in range(3):
        rate.take()
    with pytest.raises(RpcError, match="8 a second") as caught:
        rate.take()
    assert caught.value.reason == "RATE_LIMITED"
    assert caught.value.retry_after == 0.125
    clock.now += 0.125
    rate.take()
    with pytest.raises(RpcError):
        rate.take()


def test_a_long_silence_earns_no_more_than_the_burst() -> None:
    clock = Clock()
    rate = MessageRate(8, 3, clock)
    clock.now += 3600
    for _ in range(3):
        rate.take()
    with pytest.raises(RpcError):
        rate.take()


def test_each_connection_has_its_own_rate() -> None:
    found = Limits(LimitSettings(messages_per_second=1, message_burst=1), Clock())
    one, other = found.message_rate(), found.message_rate()
    one.take()
    other.take()
    with pytest.raises(RpcError):
        one.take()


# ---- of one principal


ANNA = Principal("anna")


def test_a_principal_has_so_many_calls_at_once_and_others_have_theirs() -> None:
    found = Limits(LimitSettings(max_calls_per_principal=1))
    with found.call(ANNA):
        with pytest.raises(RpcError, match="'anna' has 1 calls running") as caught, found.call(ANNA):
            pass
        assert (caught.value.reason, caught.value.retry_after) == ("TOO_MANY_CALLS", 1.0)
        with found.call(Principal("ben")):
            assert found.call().in_use == 2
    with found.call(ANNA):
        assert found.call().in_use == 1


def test_a_keys_own_limit_wins_over_that_of_all() -> None:
    found = Limits(LimitSettings(max_calls_per_principal=1))
    wide = Principal("robot", max_calls=2)
    with found.call(wide), found.call(wide), pytest.raises(RpcError), found.call(wide):
        pass
    assert found.call().in_use == 0


def test_calls_a_minute_are_counted_and_the_time_to_wait_is_told() -> None:
    now = 0.0
    found = Limits(LimitSettings(calls_per_minute=2), lambda: now)
    for _ in range(2):
        with found.call(ANNA):
            pass
    with pytest.raises(RpcError, match="2 a minute") as caught, found.call(ANNA):
        pass
    assert (caught.value.reason, caught.value.retry_after) == ("RATE_LIMITED", 30.0)
    assert found.call().in_use == 0
    now = 30.0
    with found.call(ANNA):
        assert found.call().in_use == 1


def test_principals_that_call_no_more_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.limits.MAX_STANDINGS", 2)
    found = Limits(LimitSettings(max_calls_per_principal=1))
    with found.call(ANNA):
        for name in "bcdef":
            with found.call(Principal(name)):
                pass
        with pytest.raises(RpcError), found.call(ANNA):
            pass
