"""What a generated client's call gives."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from bus.caller import Beside, StreamCall, UnaryCall
from bus.errors import BusyStream, Code, RpcError


async def answered(beside: Beside) -> str:
    await asyncio.sleep(0)
    beside.trailers = {"model": "tiny"}
    return "answer"


class Numbers:
    """A stream of two numbers whose end is seen; waits before the second until it may go on."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.goes_on = asyncio.Event()
        self.ended = asyncio.Event()

    async def __call__(self, beside: Beside) -> AsyncGenerator[int, None]:
        try:
            yield 1
            self.asked.set()
            await self.goes_on.wait()
            yield 2
            beside.trailers = {"count": "2"}
        finally:
            self.ended.set()


async def test_a_unary_call_is_awaited_directly_or_as_a_task_and_has_trailers() -> None:
    call = UnaryCall(answered)
    assert call.trailers == {}
    assert await call == "answer"
    assert call.trailers == {"model": "tiny"}
    task = asyncio.create_task(UnaryCall(answered))
    assert await task == "answer"
    assert list(await asyncio.gather(UnaryCall(answered), UnaryCall(answered))) == ["answer", "answer"]


async def test_trailers_of_a_failed_call_are_there() -> None:
    async def fails(beside: Beside) -> str:
        beside.trailers = {"cost": "1"}
        raise RpcError(Code.ABORTED, "No.")

    call = UnaryCall(fails)
    with pytest.raises(RpcError):
        await call
    assert call.trailers == {"cost": "1"}


async def test_a_stream_is_read_to_its_end_and_has_trailers() -> None:
    numbers = Numbers()
    numbers.goes_on.set()
    call = StreamCall(numbers)
    assert [number async for number in call] == [1, 2]
    assert call.trailers == {"count": "2"}


async def test_leaving_its_context_ends_a_stream_before_it_returns() -> None:
    numbers = Numbers()
    async with StreamCall(numbers) as call:
        async for number in call:
            assert number == 1
            break
    assert numbers.ended.is_set()
    await call.aclose()


async def test_a_break_ends_a_stream_that_nothing_holds() -> None:
    numbers = Numbers()
    async for _ in StreamCall(numbers):
        break
    async with asyncio.timeout(5):
        await numbers.ended.wait()


async def test_a_second_reader_is_refused_at_once_and_the_first_goes_on() -> None:
    numbers = Numbers()
    call = StreamCall(numbers)
    await anext(call)
    first = asyncio.ensure_future(anext(call))
    await numbers.asked.wait()
    with pytest.raises(BusyStream):
        await anext(call)
    with pytest.raises(BusyStream):
        await call.aclose()
    numbers.goes_on.set()
    assert await first == 2


async def test_cancelling_the_reader_ends_the_stream() -> None:
    numbers = Numbers()
    call = StreamCall(numbers)
    await anext(call)
    reader = asyncio.ensure_future(anext(call))
    await numbers.asked.wait()
    reader.cancel()
    await asyncio.wait([reader])
    assert numbers.ended.is_set()
