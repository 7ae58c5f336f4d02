"""How calls end: deadlines, cancelling, errors; and what travels beside the messages."""
# ruff: noqa: D103  # the names are the sentences

import time

from google.protobuf.wrappers_pb2 import StringValue

from bus.channel import Channel
from bus.errors import Code
from bus.protocol import PROTOCOL_VERSION
from bus.service import MethodInfo
from bus.testing.hall import (
    CRASH,
    FAIL,
    QUEUE,
    ROUTED_SERVICE,
    SAY,
    TELL,
    WAIT,
    Hall,
    Probe,
    drained,
    failure,
    refusal,
    say,
    text,
    until,
    within,
)
from bus.testing.transport_contract import Clause, Make
from troupe.rpc.v1 import Frame, Open, Progress


async def a_deadline_ends_the_call_on_both_sides(make: Make) -> None:
    async with Hall(make) as hall:
        probe = Probe()
        server = await hall.serve(probe)
        channel = await hall.channel()
        started = time.monotonic()
        error = await failure(drained(channel.server_stream(WAIT, say(""), timeout=0.2)))
        assert error.code is Code.DEADLINE_EXCEEDED
        assert time.monotonic() - started < 5
        await within(probe.cancelled.wait())
        await within(server.idle())
        assert 0 <= (probe.contexts[0].time_remaining() or 0.0) <= 0.2


async def a_deadline_in_the_past_is_told_by_both_sides(make: Make) -> None:
    async with Hall(make) as hall:
        probe = Probe()
        await hall.serve(probe)
        channel = await hall.channel()
        for timeout in (0.0, -1.0):
            error = await failure(channel.unary(SAY, say(""), timeout=timeout))
            assert error.reason == "DEADLINE_EXCEEDED"
        opening = Open(protocol_version=PROTOCOL_VERSION, method=SAY.full_name)
        opening.timeout.FromNanoseconds(-1)
        assert await refusal(hall, Frame(call_id="c", open=opening)) == "DEADLINE_EXCEEDED"
        assert probe.served == 0


async def leaving_a_stream_early_cancels_its_handler(make: Make) -> None:
    async with Hall(make) as hall:
        probe = Probe()
        server = await hall.serve(probe)
        channel = await hall.channel()
        stream = channel.server_stream(WAIT, say(""))
        await within(anext(stream))
        await within(stream.aclose())
        await within(probe.cancelled.wait())
        await within(server.idle())


async def cancelling_cascades_to_the_calls_that_a_handler_makes(make: Make) -> None:
    async with Hall(make) as hall:
        inner = Probe()
        inner_server = await hall.serve(inner)
        outer_server = await hall.serve(_Outer(await hall.channel()), OUTER_SERVICE)
        channel = await hall.channel()
        stream = channel.server_stream(OUTER_NEST, say(""))
        assert (await within(anext(stream))).value == "waiting"
        await within(stream.aclose())
        await within(inner.cancelled.wait())
        await until(lambda: inner_server.active_calls + outer_server.active_calls == 0)


async def calls_of_a_handler_inherit_its_deadline(make: Make) -> None:
    async with Hall(make) as hall:
        inner = Probe()
        await hall.serve(inner)
        await hall.serve(_Outer(await hall.channel()), OUTER_SERVICE)
        channel = await hall.channel()
        error = await failure(drained(channel.server_stream(OUTER_NEST, say(""), timeout=0.3)))
        assert error.code is Code.DEADLINE_EXCEEDED
        assert (inner.contexts[0].deadline or 0.0) > 0
        await within(inner.cancelled.wait())


OUTER_NEST = MethodInfo("Nest", "nest", "troupe.testing.v1.OuterService", StringValue, StringValue, False, True)
OUTER_SERVICE = type(ROUTED_SERVICE)("troupe.testing.v1.OuterService", [OUTER_NEST])


class _Outer(Probe):
    def __init__(self, channel: Channel) -> None:
        super().__init__(channel=channel)


async def a_call_that_waits_in_a_queue_can_be_cancelled(make: Make) -> None:
    async with Hall(make) as hall:
        probe = Probe()
        server = await hall.serve(probe)
        channel = await hall.channel()
        first = await hall.open(channel, QUEUE, "", call_id="first")
        await within(anext(first))
        probe.started.clear()
        second = await hall.open(channel, QUEUE, "", call_id="second")
        await within(probe.started.wait())
        second.cancel("enough")
        await within(probe.cancelled.wait())
        assert (await failure(anext(second))).code is Code.CANCELLED
        await until(lambda: server.active_calls == 1)
        assert not first.closed


async def an_error_arrives_with_all_its_details(make: Make) -> None:
    async with Hall(make) as hall:
        await hall.serve(Probe())
        error = await failure((await hall.channel()).unary(FAIL, say("luck")))
        assert (error.code, error.message, error.reason) == (Code.FAILED_PRECONDITION, "No luck.", "NOT_TODAY")
        assert (error.metadata, error.retry_after) == ({"wanted": "luck"}, 2.5)
        assert (error.field, error.reference) == ("value", "ref-1")


async def a_crash_of_a_handler_is_internal_and_tells_nothing_but_a_reference(make: Make) -> None:
    async with Hall(make) as hall:
        await hall.serve(Probe())
        error = await failure((await hall.channel()).unary(CRASH, say("a secret")))
        assert error.code is Code.INTERNAL
        assert "secret" not in error.message
        assert error.reference


async def trailers_and_metadata_travel(make: Make) -> None:
    async with Hall(make) as hall:
        probe = Probe()
        await hall.serve(probe)
        channel = await hall.channel()
        call = await channel.open(SAY, metadata={"color": "blue"})
        await call.send(b"")
        call.half_close()
        await within(anext(call))
        assert [payload async for payload in call] == []
        assert call.trailers == {"said": "yes"}
        assert probe.contexts[0].metadata == {"color": "blue"}
        for metadata in ({"Upper": "x"}, {"a": "é"}, {"a": "line\n"}, {"a": "x" * 9000}):
            assert (await failure(channel.unary(SAY, say(""), metadata=metadata))).code is Code.INVALID_ARGUMENT


async def progress_comes_in_band(make: Make) -> None:
    async with Hall(make) as hall:
        await hall.serve(Probe())
        call = await hall.open(await hall.channel(), TELL, "")
        first, second = [payload async for payload in call]
        assert text(first) == ""
        assert first[0] >> 3 == 15
        progress = Progress.FromString(first[2:])
        assert (progress.state, progress.position, progress.note) == (Progress.STATE_QUEUED, 2, "in line")
        assert text(second) == "done"


ENDS: list[Clause] = [
    a_deadline_ends_the_call_on_both_sides,
    a_deadline_in_the_past_is_told_by_both_sides,
    leaving_a_stream_early_cancels_its_handler,
    cancelling_cascades_to_the_calls_that_a_handler_makes,
    calls_of_a_handler_inherit_its_deadline,
    a_call_that_waits_in_a_queue_can_be_cancelled,
    an_error_arrives_with_all_its_details,
    a_crash_of_a_handler_is_internal_and_tells_nothing_but_a_reference,
    trailers_and_metadata_travel,
    progress_comes_in_band,
]
