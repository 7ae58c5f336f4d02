"""Server streams over connections that break."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from bus import Code, RpcError
from troupe.chat.v1 import Delta, GenerateRequest, GenerateResponse
from troupe.echo.v1 import EchoService, RepeatRequest, RepeatResponse
from troupe.rpc.v1 import Progress
from troupe_client import ConnectionLost, Hub, connect
from troupe_client.resume import Position, is_progress

GENERATE = "troupe.chat.v1.ChatService/Generate"
REPEAT = "troupe.echo.v1.EchoService/Repeat"


async def counting(request: RepeatRequest) -> AsyncIterator[RepeatResponse]:
    for index in range(request.count):
        yield RepeatResponse(text=request.text, index=index)
        await asyncio.sleep(0)


class Speaker:
    """Generates pieces when it is told to, and remembers how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0
        self._events: asyncio.Queue[GenerateResponse | None] = asyncio.Queue()

    def say(self, *pieces: str | None) -> None:
        """Generate these; None ends the answer."""
        for piece in pieces:
            self._events.put_nowait(None if piece is None else GenerateResponse(delta=Delta(text=piece)))

    def tell(self, progress: Progress) -> None:
        """What the answer waits for."""
        self._events.put_nowait(GenerateResponse(progress=progress))

    async def __call__(self, request: GenerateRequest) -> AsyncIterator[GenerateResponse]:
        self.asked += 1
        while (event := await self._events.get()) is not None:
            yield event


@pytest.fixture
def speaker(door: Any) -> Speaker:
    speaker = Speaker()
    door.answers[GENERATE] = speaker
    return speaker


@pytest.mark.parametrize("seed", range(12))
async def test_cuts_at_random_places_lose_and_double_nothing(door: Any, wire: Any, hub: Hub, seed: int) -> None:
    door.answers[REPEAT] = counting
    chance = random.Random(seed)
    cuts = sorted(chance.sample(range(200), 4))
    received = []
    async for response in hub.echo.repeat(RepeatRequest(count=200, text="x" * chance.choice([1, 3000]))):
        received.append(response.index)
        if response.index in cuts:
            wire.cut()
    assert received == list(range(200))
    assert len(door.calls) == 1, "the call was resumed and never begun again"
    assert any("troupe-resume-call-id" in metadata for _, metadata in door.seen)


async def test_a_call_that_may_not_be_repeated_is_resumed_too(wire: Any, hub: Hub, speaker: Speaker) -> None:
    speaker.say("Hel")
    async with aclosing(hub.ask("Hi?")) as pieces:
        assert await anext(pieces) == "Hel"
        wire.cut()
        speaker.say("lo", None)
        assert [piece async for piece in pieces] == ["lo"]
    assert speaker.asked == 1


async def test_the_hub_may_be_away_for_a_while(wire: Any, hub: Hub, speaker: Speaker) -> None:
    speaker.say("Hel")
    async with aclosing(hub.ask("Hi?")) as pieces:
        assert await anext(pieces) == "Hel"
        wire.refusing = True
        wire.cut()
        rest = asyncio.create_task(anext(pieces))
        await wire.refused.wait()
        speaker.say("lo", None)
        wire.refusing = False
        assert await rest == "lo"


async def test_patience_ends_with_the_connections_error(door: Any, wire: Any, speaker: Speaker) -> None:
    speaker.say("Hel")
    async with connect(f"127.0.0.1:{wire.port}", patience=0.2) as hub, aclosing(hub.ask("Hi?")) as pieces:
        assert await anext(pieces) == "Hel"
        wire.refusing = True
        wire.cut()
        with pytest.raises(ConnectionLost) as caught:
            await anext(pieces)
    assert caught.value.code is Code.UNAVAILABLE
    assert not door.calls["call-0"].cancelled, "a lost client is no cancel"


async def test_a_refused_resume_is_the_callers_error(door: Any, wire: Any, hub: Hub, speaker: Speaker) -> None:
    speaker.say("Hel")
    async with aclosing(hub.ask("Hi?")) as pieces:
        assert await anext(pieces) == "Hel"
        door.calls["call-0"].key = b"somebody else's"
        wire.cut()
        with pytest.raises(RpcError) as caught:
            await anext(pieces)
    assert (caught.value.code, caught.value.reason) == (Code.PERMISSION_DENIED, "RESUME_REFUSED")


async def test_a_call_that_the_hub_has_forgotten_is_never_begun_again(
    door: Any, wire: Any, hub: Hub, speaker: Speaker
) -> None:
    speaker.say("Hel")
    async with aclosing(hub.ask("Hi?")) as pieces:
        assert await anext(pieces) == "Hel"
        forgotten = door.calls.pop("call-0")
        wire.cut()
        with pytest.raises(RpcError) as caught:
            await anext(pieces)
    forgotten.cancel()
    assert caught.value.reason == "CALL_NOT_FOUND"
    assert speaker.asked == 1


@pytest.mark.parametrize(("epoch", "asked"), [("0", 2), ("7", 1)])
async def test_a_call_that_nobody_had_accepted_is_begun_again(
    door: Any, wire: Any, hub: Hub, speaker: Speaker, epoch: str, asked: int
) -> None:
    door.epoch = epoch
    speaker.tell(Progress(state=Progress.STATE_LOADING))
    request = GenerateRequest(model="troupe-tiny")
    responses: Any = hub.chat.generate(request)
    async with aclosing(responses):
        assert (await anext(responses)).progress.state == Progress.STATE_LOADING
        door.calls.pop("call-0").cancel()
        wire.cut()
        speaker.say("Hello")
        outcome = await asyncio.gather(anext(responses), return_exceptions=True)
    assert speaker.asked == asked
    if asked == 2:
        assert outcome[0] == GenerateResponse(delta=Delta(text="Hello"))
    else:
        assert isinstance(outcome[0], RpcError)
        assert outcome[0].reason == "CALL_NOT_FOUND"


async def test_leaving_the_iterator_tells_the_hub_to_stop(door: Any, hub: Hub, speaker: Speaker) -> None:
    speaker.say("Hel")
    async with aclosing(hub.ask("Hi?")) as pieces:
        assert await anext(pieces) == "Hel"
    await door.cancelled.wait()
    assert door.calls["call-0"].cancelled


async def test_cancelling_the_task_tells_the_hub_to_stop(door: Any, hub: Hub, speaker: Speaker) -> None:
    begun = asyncio.Event()

    async def listen() -> None:
        async for _ in hub.ask("Hi?"):
            begun.set()

    speaker.say("Hel")
    task = asyncio.create_task(listen())
    await begun.wait()
    task.cancel()
    await door.cancelled.wait()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_closing_the_hub_waits_until_the_cancel_has_left(door: Any, wire: Any, speaker: Speaker) -> None:
    speaker.say("Hel")
    async with connect(f"127.0.0.1:{wire.port}") as hub, aclosing(hub.ask("Hi?")) as pieces:
        await anext(pieces)
    assert door.calls["call-0"].cancelled


async def test_an_answer_that_has_ended_is_not_cancelled(door: Any, hub: Hub, speaker: Speaker) -> None:
    speaker.say("Hello", None)
    assert [piece async for piece in hub.ask("Hi?")] == ["Hello"]
    assert [name for name, _ in door.seen] == [GENERATE]


async def test_the_deadline_counts_on_over_a_resume(wire: Any, hub: Hub, speaker: Speaker) -> None:
    speaker.say("Hel")
    async with aclosing(hub.ask("Hi?", timeout=0.4)) as pieces:
        assert await anext(pieces) == "Hel"
        wire.cut()
        with pytest.raises(RpcError) as caught:
            await anext(pieces)
    assert caught.value.code is Code.DEADLINE_EXCEEDED


@pytest.mark.parametrize("reason", ["NO_RESPONDERS", "SHUTTING_DOWN", "INTERRUPTED"])
async def test_a_stream_that_the_hub_refuses_is_not_repeated_since_the_hub_has_waited(
    door: Any, hub: Hub, reason: str
) -> None:
    door.answers[REPEAT] = counting
    door.refusals = [RpcError(Code.UNAVAILABLE, "Nobody has come.", reason=reason)]
    with pytest.raises(RpcError) as caught:
        await anext(aiter(hub.echo.repeat(RepeatRequest(count=2))))
    assert (caught.value.reason, len(door.seen)) == (reason, 1)


@pytest.mark.parametrize(
    ("sizes", "after"), [([], 0), ([0], 1), ([1, 2], 2), ([49152], 1), ([49153], 2), ([3 * 49152, 1], 4)]
)
def test_a_message_counts_as_the_pieces_that_the_bus_makes_of_it(sizes: list[int], after: int) -> None:
    position = Position()
    for size in sizes:
        position.take(bytes(size))
    assert dict(position.resuming())["troupe-resume-after"] == str(after)


def test_progress_alone_is_told_from_an_answer() -> None:
    repeat = EchoService.INFO.methods["Repeat"]
    progress = Progress(state=Progress.STATE_QUEUED, position=1)
    assert is_progress(repeat, RepeatResponse(progress=progress).SerializeToString())
    assert not is_progress(repeat, RepeatResponse(text="x", progress=progress).SerializeToString())
    assert not is_progress(repeat, b"")


def test_two_calls_have_different_keys() -> None:
    assert dict(Position().opening()) != dict(Position().opening())
