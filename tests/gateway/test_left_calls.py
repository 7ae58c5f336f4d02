"""What is kept of calls whose clients went away."""

import asyncio

import pytest

from bus.delivered import Delivered
from bus.kept import Kept
from bus.stream import MAX_PIECE, Pieces
from bus.testing import run_at_once
from gateway import left_calls
from gateway.left_calls import MAX_LEFT, LeftCall, LeftCalls
from troupe.rpc.v1 import Open


def left(size: int = 10) -> LeftCall:
    delivered = Delivered(1)
    delivered.take(Pieces([b"x" * size], 1))
    return LeftCall(Kept(Open(), "", 0, b"request", delivered, None), lost=False)


def test_a_call_is_its_principals_and_is_given_out_once() -> None:
    async def keep() -> None:
        calls, call = LeftCalls(), left()
        calls.keep("ada", "c", call, 30.0)
        assert calls.take("eve", "c") is None
        assert calls.take("ada", "c") is call
        assert calls.take("ada", "c") is None

    run_at_once(keep())


def test_a_call_is_forgotten_when_its_client_is_away_too_long() -> None:
    async def keep() -> None:
        calls = LeftCalls()
        calls.keep("ada", "c", left(), 30.0)
        await asyncio.sleep(20)
        calls.keep("ada", "c", left(), 30.0)  # it came back and went away once more
        await asyncio.sleep(29)
        assert len(calls) == 1
        await asyncio.sleep(1.1)
        assert len(calls) == 0

    run_at_once(keep())


def test_the_oldest_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(left_calls, "MAX_LEFT_BYTES", 10 * MAX_PIECE)

    async def keep() -> None:
        calls = LeftCalls()
        for number in range(MAX_LEFT + 5):
            calls.keep("ada", str(number), left(), 30.0)
        assert len(calls) == MAX_LEFT
        assert calls.take("ada", "4") is None
        assert calls.take("ada", "5") is not None
        for number in range(12):
            calls.keep("ada", f"large {number}", left(MAX_PIECE), 30.0)
        assert len(calls) < 11
        assert calls.take("ada", "large 11") is not None
        assert calls.take("ada", "large 0") is None

    run_at_once(keep())
