"""Loading is told of again and again, though nothing new is told."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from actors.models.reminding import reminded
from bus import Code, RpcError
from bus.testing.clock import run_at_once
from bus.waiting import SAY_AGAIN_SECONDS
from troupe.model.v1 import LoadModelResponse, Model
from troupe.rpc.v1 import Progress

LOADS = LoadModelResponse(progress=Progress(state=Progress.STATE_LOADING, note="Loading a."))
DONE = LoadModelResponse(model=Model(name="a"))


def first() -> Progress:
    return Progress(note="Asking.")


async def heard(responses: AsyncGenerator[LoadModelResponse, None]) -> list[tuple[float, str]]:
    began = asyncio.get_running_loop().time()
    async with aclosing(reminded(responses, first)) as told:
        return [(asyncio.get_running_loop().time() - began, each.progress.note) async for each in told]


def test_the_last_word_is_said_again_until_there_is_another() -> None:
    async def slow() -> AsyncGenerator[LoadModelResponse, None]:
        await asyncio.sleep(1.5 * SAY_AGAIN_SECONDS)
        yield LOADS
        await asyncio.sleep(2.5 * SAY_AGAIN_SECONDS)
        yield DONE

    said = run_at_once(heard(slow()))
    assert [note for _, note in said] == ["Asking.", "Loading a.", "Loading a.", "Loading a.", ""]
    assert [at / SAY_AGAIN_SECONDS for at, _ in said] == pytest.approx([1, 1.5, 2.5, 3.5, 4])


def test_what_is_told_at_once_is_told_once() -> None:
    async def quick() -> AsyncGenerator[LoadModelResponse, None]:
        yield LOADS
        yield DONE

    assert [note for _, note in run_at_once(heard(quick()))] == ["Loading a.", ""]


def test_an_error_is_the_callers_and_leaving_ends_what_is_waited_for() -> None:
    ended: list[str] = []

    async def failing() -> AsyncGenerator[LoadModelResponse, None]:
        yield LOADS
        raise RpcError(Code.RESOURCE_EXHAUSTED, "too large", reason="INSUFFICIENT_MEMORY")

    async def endless() -> AsyncGenerator[LoadModelResponse, None]:
        try:
            yield LOADS
            await asyncio.Event().wait()
        finally:
            ended.append("ended")

    async def left() -> None:
        async with aclosing(reminded(endless(), first)) as told:
            async for _ in told:
                if len(ended_at := asyncio.all_tasks()) > 2:
                    raise AssertionError(ended_at)
                return

    async def cancelled() -> None:
        task = asyncio.create_task(heard(endless()))
        await asyncio.sleep(5 * SAY_AGAIN_SECONDS)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    with pytest.raises(RpcError, match="too large"):
        run_at_once(heard(failing()))
    run_at_once(left())
    run_at_once(cancelled())
    assert ended == ["ended", "ended"]
