"""What a handler knows about its call."""

import asyncio

import pytest

from bus import Behalf, Context, Priority, current_context, detached, in_own_name, on_behalf_of
from bus.context import current, current_behalf, duration, progress_payload
from bus.testing import run_at_once
from troupe.echo.v1 import EchoService, RepeatResponse
from troupe.rpc.v1 import Progress

REPEAT = EchoService.INFO.methods["Repeat"]
ECHO = EchoService.INFO.methods["Echo"]


@pytest.mark.parametrize("note", ["", "in line", "xếp hàng " * 200])
def test_progress_is_field_fifteen_of_any_streamed_response(note: str) -> None:
    progress = Progress(state=Progress.STATE_LOADING, fraction=0.25, note=note)
    response = RepeatResponse.FromString(progress_payload(progress))
    assert response.progress == progress
    assert response.text == ""


async def test_progress_is_sent_on_streams_and_nowhere_else() -> None:
    sent: list[bytes] = []

    async def send(payload: bytes) -> None:
        sent.append(payload)

    await Context("c", ECHO, {}, send=send).progress(Progress.STATE_QUEUED)
    await Context("c", REPEAT, {}).progress(Progress.STATE_QUEUED)
    assert sent == []
    await Context("c", REPEAT, {}, send=send).progress(Progress.STATE_QUEUED, position=3, eta=1.5)
    progress = RepeatResponse.FromString(sent[0]).progress
    assert (progress.position, progress.eta.ToMilliseconds(), progress.HasField("fraction")) == (3, 1500, False)
    await Context("c", REPEAT, {}, send=send).progress(progress)
    assert RepeatResponse.FromString(sent[1]).progress == progress


def test_the_time_that_remains_is_never_negative() -> None:
    async def main() -> list[float | None]:
        loop = asyncio.get_running_loop()
        context = Context("c", ECHO, {}, deadline=loop.time() + 2.0)
        remaining = [context.time_remaining()]
        await asyncio.sleep(1.5)
        remaining.append(context.time_remaining())
        await asyncio.sleep(10)
        return [*remaining, context.time_remaining(), Context("c", ECHO, {}).time_remaining()]

    assert run_at_once(main()) == [2.0, 0.5, 0.0, None]


def test_outside_of_handlers_there_is_no_context() -> None:
    assert current_context() is None


def test_a_context_that_has_ended_is_nobodys_any_more() -> None:
    context = Context("c", ECHO, {"troupe-principal": "anna", "troupe-priority": "voice"})
    token = current.set(context)
    try:
        assert current_context() is context
        assert current_behalf() == Behalf("anna", priority=Priority.VOICE)
        with in_own_name():
            assert current_behalf() == Behalf()
        context.end()
        assert (current_context(), current_behalf()) == (None, None)
    finally:
        current.reset(token)


async def test_detached_work_knows_nothing_of_the_call_it_was_started_in() -> None:
    async def look() -> tuple[Context | None, Behalf | None]:
        return current_context(), current_behalf()

    token = current.set(Context("c", ECHO, {"troupe-principal": "anna"}))
    try:
        with on_behalf_of(Behalf("bert")):
            assert await asyncio.create_task(look()) != (None, None)
            assert await detached(look(), name="apart") == (None, None)
            assert await detached(look(), name="for carl", behalf=Behalf("carl")) == (None, Behalf("carl"))
    finally:
        current.reset(token)


@pytest.mark.parametrize("seconds", [0.0, -1.5, 0.001, 86400.0])
def test_seconds_become_a_duration(seconds: float) -> None:
    assert duration(seconds).ToNanoseconds() / 1e9 == pytest.approx(seconds)
