"""Who serves a call: queue groups, routes, resolvers, draining."""
# ruff: noqa: D103  # the names are the sentences

import asyncio
import time
from collections.abc import AsyncGenerator

from google.protobuf.wrappers_pb2 import StringValue

from bus import subjects
from bus.errors import Code, RpcError
from bus.protocol import PROTOCOL_VERSION
from bus.service import Metadata, MethodInfo, Policy, ServiceInfo
from bus.stream import MAX_MESSAGE
from bus.testing.hall import (
    COUNT,
    PROBE,
    ROUTED,
    ROUTED_SERVICE,
    SAY,
    SERVICE,
    WAIT,
    Hall,
    Probe,
    drained,
    failure,
    say,
    text,
    until,
    within,
)
from bus.testing.transport_contract import Clause, Ear, Make
from troupe.rpc.v1 import Frame, Open, Progress


async def nobody_there_is_known_at_once(make: Make) -> None:
    async with Hall(make) as hall:
        started = time.monotonic()
        error = await failure((await hall.channel()).unary(SAY, say("")))
        assert (error.code, error.reason) == (Code.UNAVAILABLE, "NO_RESPONDERS")
        assert error.retry_after
        assert time.monotonic() - started < 2


async def two_servers_share_the_calls(make: Make) -> None:
    async with Hall(make) as hall:
        await hall.serve(Probe("one"))
        await hall.serve(Probe("two"))
        channel = await hall.channel()
        names = [(await within(channel.unary(SAY, say("")))).value for _ in range(40)]
        assert set(names) == {"one", "two"}


async def a_route_is_served_by_its_member_alone(make: Make) -> None:
    async with Hall(make) as hall:
        await hall.serve(Probe("small:"), ROUTED_SERVICE, "model-a")
        await hall.serve(Probe("large:"), ROUTED_SERVICE, "dir/model b.gguf")
        channel = await hall.channel()
        for _ in range(3):
            assert (await within(channel.unary(ROUTED, say("model-a")))).value == "small:model-a"
            assert (await within(channel.unary(ROUTED, say("dir/model b.gguf")))).value == "large:dir/model b.gguf"
        strange = ("model-c", "*", ">", "a.b", "x" * 100_000, "đ" * 5000)
        for error in await asyncio.gather(*(failure(channel.unary(ROUTED, say(route))) for route in strange)):
            assert error.reason == "NO_RESPONDERS"
        assert (await within(channel.unary(ROUTED, say("model-a")))).value == "small:model-a"


async def an_unknown_method_is_told_with_the_nearest_names(make: Make) -> None:
    async with Hall(make) as hall:
        await hall.serve(Probe())
        method = MethodInfo("Sai", "sai", SERVICE, StringValue, StringValue, False, False)
        error = await failure((await hall.channel()).unary(method, say("")))
        assert (error.code, error.reason) == (Code.UNIMPLEMENTED, "METHOD_NOT_FOUND")
        assert "Say" in error.message


async def an_answer_that_is_there_at_once_is_one_frame(make: Make) -> None:
    async with Hall(make) as hall:
        await hall.serve(Probe("one:"))
        transport, ear = await hall.transport(), Ear()
        await transport.subscribe("reply.hand.*", ear)
        opening = Open(protocol_version=PROTOCOL_VERSION, method=SAY.full_name, initial_credit=4)
        payload = say("x").SerializeToString()
        frame = Frame(call_id="c", open=opening, sequence=1, payload=[payload], half_close=True)
        transport.publish(subjects.call(SERVICE, "Say"), frame.SerializeToString(), "reply.hand.c")
        answer = Frame.FromString((await ear.hears(1))[0].payload)
        assert [text(piece) for piece in answer.payload] == ["one:x"]
        assert answer.HasField("close"), "the end waits for no other frame"
        assert (dict(answer.headers), dict(answer.close.trailers)) == ({"name": "one:"}, {"said": "yes"})


async def a_resolver_has_a_route_served_and_its_progress_is_relayed_in_one_call(make: Make) -> None:
    async with Hall(make) as hall:

        async def resolve(method: MethodInfo, route: str, metadata: Metadata) -> AsyncGenerator[Progress, None]:
            yield Progress(state=Progress.STATE_LOADING, fraction=0.5)
            await hall.serve(Probe("loaded:"), ROUTED_STREAMS_SERVICE, route)

        channel = await hall.channel(resolve)
        stream = channel.server_stream(ROUTED_STREAM, say("3"))
        found = await within(drained(stream))
        assert found == ["", "0", "1", "2"]
        assert await within(drained(channel.server_stream(ROUTED_STREAM, say("3")))) == ["0", "1", "2"]


ROUTED_STREAM = MethodInfo(
    "Count", "count", "troupe.testing.v1.RoutedStreams", StringValue, StringValue, False, True, ROUTED.policy
)
ROUTED_STREAMS_SERVICE = type(ROUTED_SERVICE)("troupe.testing.v1.RoutedStreams", [ROUTED_STREAM])


async def what_a_resolver_cannot_have_served_is_its_error(make: Make) -> None:
    async with Hall(make) as hall:

        async def resolve(method: MethodInfo, route: str, metadata: Metadata) -> AsyncGenerator[Progress, None]:
            yield Progress(state=Progress.STATE_QUEUED)
            raise RpcError(Code.NOT_FOUND, f"No model {route}.", reason="MODEL_NOT_FOUND")

        channel = await hall.channel(resolve)
        assert (await failure(channel.unary(ROUTED, say("x")))).reason == "MODEL_NOT_FOUND"


async def a_server_that_drains_ends_what_runs_and_takes_nothing_new(make: Make) -> None:
    async with Hall(make) as hall:
        probe = Probe()
        server = await hall.serve(probe)
        channel = await hall.channel()
        short = await hall.open(channel, COUNT, "300", call_id="short", window=10)
        long = await hall.open(channel, WAIT, "", call_id="long")
        await within(anext(short))
        await within(anext(long))
        draining = asyncio.create_task(server.drain(0.5))
        assert len([payload async for payload in short]) == 299
        assert (await failure(channel.unary(SAY, say("")))).code is Code.UNAVAILABLE
        await within(draining)
        assert (await failure(anext(long))).reason == "INTERRUPTED"
        assert server.active_calls == 0


async def a_drain_waits_until_the_last_answer_has_gone_out(make: Make) -> None:
    async with Hall(make) as hall:
        server = await hall.serve(Probe())
        channel = await hall.channel()
        largest = "x" * (MAX_MESSAGE - 5)
        calls = [asyncio.create_task(channel.unary(SAY, say(largest))) for _ in range(3)]
        await until(lambda: server.active_calls == 3)
        await within(server.drain(10.0))
        for answer in await within(asyncio.gather(*calls)):
            assert answer.value == largest


async def a_route_that_is_taken_back_ends_what_runs_and_the_rest_goes_on(make: Make) -> None:
    async with Hall(make) as hall:
        gone, kept = Probe("gone:"), Probe("kept:")
        server = await hall.serve(gone, ROUTED_HOLD_SERVICE, "a")
        await server.add(kept, ROUTED_HOLD_SERVICE, "b")
        await server.add(Probe("plain:"), PROBE)
        channel = await hall.channel()
        running = asyncio.create_task(channel.unary(ROUTED_HOLD, say("a")))
        await within(gone.started.wait())
        removing = asyncio.create_task(server.remove(ROUTED_HOLD_SERVICE, "a", 10.0))
        await until(lambda: server.services == [ROUTED_HOLD_SERVICE.name, SERVICE])
        error = await failure(channel.unary(ROUTED_HOLD, say("a")))
        assert (error.code, error.never_begun) == (Code.UNAVAILABLE, True)
        assert not removing.done()
        gone.released.set()
        kept.released.set()
        assert (await within(running)).value == "gone:"
        await within(removing)
        assert (await within(channel.unary(ROUTED_HOLD, say("b")))).value == "kept:"
        assert (await within(channel.unary(SAY, say("x")))).value == "plain:x"


async def what_outlasts_its_grace_on_a_route_that_is_taken_back_is_interrupted(make: Make) -> None:
    async with Hall(make) as hall:
        probe = Probe()
        server = await hall.serve(probe, ROUTED_HOLD_SERVICE, "a")
        other = await hall.serve(Probe("other"), ROUTED_HOLD_SERVICE, "b")
        channel = await hall.channel()
        running = asyncio.create_task(channel.unary(ROUTED_HOLD, say("a")))
        await within(probe.started.wait())
        await within(server.remove(ROUTED_HOLD_SERVICE, "a", 0.05))
        assert (await failure(running)).reason == "INTERRUPTED"
        assert server.active_calls == 0
        assert (server.services, other.services) == ([], [ROUTED_HOLD_SERVICE.name])


async def a_call_that_is_on_its_way_to_a_route_that_is_taken_back_finds_its_replica(make: Make) -> None:
    async with Hall(make) as hall:
        leaving = await hall.serve(Probe("one:"), ROUTED_SERVICE, "a")
        await hall.serve(Probe("two:"), ROUTED_SERVICE, "a")
        channel = await hall.channel()
        calls = [asyncio.create_task(channel.unary(ROUTED, say("a"))) for _ in range(20)]
        await asyncio.sleep(0)
        await within(leaving.remove(ROUTED_SERVICE, "a"))
        assert {answer.value for answer in await within(asyncio.gather(*calls))} <= {"one:a", "two:a"}
        assert {(await within(channel.unary(ROUTED, say("a")))).value for _ in range(8)} == {"two:a"}


async def what_was_taken_back_can_be_served_again_and_taking_back_twice_does_nothing(make: Make) -> None:
    async with Hall(make) as hall:
        server = await hall.serve(Probe("first:"), ROUTED_SERVICE, "a")
        channel = await hall.channel()
        for _ in range(2):
            await within(server.remove(ROUTED_SERVICE, "a"))
        assert (await failure(channel.unary(ROUTED, say("a")))).reason == "NO_RESPONDERS"
        await server.add(Probe("second:"), ROUTED_SERVICE, "a")
        assert (await within(channel.unary(ROUTED, say("a")))).value == "second:a"


async def a_service_may_have_routed_methods_and_others(make: Make) -> None:
    async with Hall(make) as hall:
        one, two = Probe("one:"), Probe("two:")
        server = await hall.serve(one, MIXED_SERVICE, "a")
        await server.add(one, MIXED_SERVICE)
        await hall.serve(two, MIXED_SERVICE, "b")
        channel = await hall.channel()
        one.released.set()
        for _ in range(4):  # only one of them serves what is not routed
            assert (await within(channel.unary(MIXED_HOLD, say("a")))).value == "one:"
        for route, name in (("a", "one:"), ("b", "two:")):
            assert (await within(channel.unary(MIXED_SAY, say(route)))).value == f"{name}{route}"
        error = await failure(channel.unary(MIXED_SAY, say("")))
        assert (error.code, error.field) == (Code.INVALID_ARGUMENT, "value")
        await within(server.remove(MIXED_SERVICE))
        assert (await failure(channel.unary(MIXED_HOLD, say("")))).reason == "NO_RESPONDERS"
        assert (await within(channel.unary(MIXED_SAY, say("a")))).value == "one:a"


MIXED = "troupe.testing.v1.MixedService"
MIXED_SAY = MethodInfo("Say", "say", MIXED, StringValue, StringValue, False, False, Policy(route_by="value"))
MIXED_HOLD = MethodInfo("Hold", "hold", MIXED, StringValue, StringValue, False, False)
MIXED_SERVICE = ServiceInfo(MIXED, [MIXED_SAY, MIXED_HOLD])

ROUTED_HOLD = MethodInfo(
    "Hold", "hold", "troupe.testing.v1.RoutedHold", StringValue, StringValue, False, False, ROUTED.policy
)
ROUTED_HOLD_SERVICE = type(ROUTED_SERVICE)("troupe.testing.v1.RoutedHold", [ROUTED_HOLD])


SERVING: list[Clause] = [
    nobody_there_is_known_at_once,
    two_servers_share_the_calls,
    a_route_is_served_by_its_member_alone,
    an_unknown_method_is_told_with_the_nearest_names,
    an_answer_that_is_there_at_once_is_one_frame,
    a_resolver_has_a_route_served_and_its_progress_is_relayed_in_one_call,
    what_a_resolver_cannot_have_served_is_its_error,
    a_server_that_drains_ends_what_runs_and_takes_nothing_new,
    a_drain_waits_until_the_last_answer_has_gone_out,
    a_route_that_is_taken_back_ends_what_runs_and_the_rest_goes_on,
    what_outlasts_its_grace_on_a_route_that_is_taken_back_is_interrupted,
    a_call_that_is_on_its_way_to_a_route_that_is_taken_back_finds_its_replica,
    what_was_taken_back_can_be_served_again_and_taking_back_twice_does_nothing,
    a_service_may_have_routed_methods_and_others,
]
