"""The four shapes of a call, sizes, and what credit does."""
# ruff: noqa: D103  # the names are the sentences

import asyncio
from collections.abc import AsyncIterator

from google.protobuf.wrappers_pb2 import StringValue

from bus.errors import Code
from bus.stream import MAX_MESSAGE
from bus.testing.hall import (
    COUNT,
    GATHER,
    SAY,
    TALK,
    WAIT,
    Hall,
    Probe,
    drained,
    failure,
    say,
    says,
    text,
    until,
    within,
)
from bus.testing.transport_contract import Clause, Make


async def a_unary_call_is_answered(make: Make) -> None:
    async with Hall(make) as hall:
        server = await hall.serve(Probe())
        channel = await hall.channel()
        assert (await within(channel.unary(SAY, say("xin chào")))).value == "xin chào"
        assert (await within(channel.unary(SAY, say("")))).value == ""
        assert server.active_calls == 0


async def a_server_stream_comes_whole_and_in_order(make: Make) -> None:
    async with Hall(make) as hall:
        await hall.serve(Probe())
        channel = await hall.channel()
        found = await within(drained(channel.server_stream(COUNT, say("1000"))))
        assert found == [str(number) for number in range(1000)]
        assert await within(drained(channel.server_stream(COUNT, say("0")))) == []


async def a_client_stream_is_heard_to_its_end(make: Make) -> None:
    async with Hall(make) as hall:
        await hall.serve(Probe())
        channel = await hall.channel()
        words = [str(number) for number in range(200)]
        assert (await within(channel.client_stream(GATHER, says(*words)))).value == " ".join(words)
        assert (await within(channel.client_stream(GATHER, says()))).value == ""


async def both_sides_stream_at_once(make: Make) -> None:
    async with Hall(make) as hall:
        await hall.serve(Probe())
        channel = await hall.channel()
        heard = asyncio.Event()

        async def one_after_the_other() -> AsyncIterator[StringValue]:
            for number in range(40):
                yield say(str(number))
                await heard.wait()
                heard.clear()

        found = []
        async with asyncio.timeout(10):
            async for response in channel.bidi_stream(TALK, one_after_the_other()):
                found.append(response.value)
                heard.set()
        assert found == [str(number) for number in range(40)]


async def calls_run_side_by_side_without_touching_each_other(make: Make) -> None:
    async with Hall(make) as hall:
        server = await hall.serve(Probe())
        channel = await hall.channel()
        streams = [drained(channel.server_stream(COUNT, say(f"100:-{number}"))) for number in range(20)]
        found = await within(asyncio.gather(*streams))
        for number, values in enumerate(found):
            assert values == [f"{index}-{number}" for index in range(100)]
        assert server.active_calls == 0


async def messages_of_the_largest_size_pass_and_larger_ones_are_refused_at_the_sender(make: Make) -> None:
    async with Hall(make) as hall:
        server = await hall.serve(Probe())
        channel = await hall.channel()
        largest = "x" * (MAX_MESSAGE - 5)
        assert (await within(channel.unary(SAY, say(largest)))).value == largest
        error = await failure(channel.unary(SAY, say("x" * MAX_MESSAGE)))
        assert (error.code, error.reason) == (Code.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE")
        error = await failure(channel.client_stream(GATHER, says("a", "x" * MAX_MESSAGE)))
        assert error.reason == "MESSAGE_TOO_LARGE"
        answer = await failure(channel.unary(SAY, say("y" * (MAX_MESSAGE - 5) + "đ")))
        assert answer.reason == "MESSAGE_TOO_LARGE"
        await within(server.idle())


async def a_caller_that_does_not_read_stalls_the_sender_within_its_window(make: Make) -> None:
    async with Hall(make) as hall:
        probe = Probe()
        server = await hall.serve(probe)
        call = await hall.open(await hall.channel(), COUNT, "10000", window=10)
        assert text(await within(anext(call))) == "0"
        await until(lambda: server.stalls > 0)
        assert probe.sent <= 11
        rest = [text(payload) async for payload in call]
        assert rest == [str(number) for number in range(1, 10000)]


async def a_handler_that_does_not_read_stalls_the_caller(make: Make) -> None:
    async with Hall(make) as hall:
        probe = Probe()
        await hall.serve(probe)
        channel = await hall.channel()
        call = await channel.open(WAIT)
        sent = 0
        try:
            async with asyncio.timeout(0.5):
                while True:
                    await call.send(b"")
                    sent += 1
        except TimeoutError:
            pass
        assert 1 <= sent <= 32
        call.cancel()


SHAPES: list[Clause] = [
    a_unary_call_is_answered,
    a_server_stream_comes_whole_and_in_order,
    a_client_stream_is_heard_to_its_end,
    both_sides_stream_at_once,
    calls_run_side_by_side_without_touching_each_other,
    messages_of_the_largest_size_pass_and_larger_ones_are_refused_at_the_sender,
    a_caller_that_does_not_read_stalls_the_sender_within_its_window,
    a_handler_that_does_not_read_stalls_the_caller,
]
