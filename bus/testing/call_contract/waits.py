"""Who is waited for, how long, and who is told; what has a route served; what hangs."""
# ruff: noqa: D103  # the names are the sentences

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.wrappers_pb2 import StringValue

from bus.behalf import Behalf
from bus.channel import Channel
from bus.context import Context
from bus.errors import Code, RpcError
from bus.priority import Priority
from bus.protocol import PROTOCOL_VERSION
from bus.resolver import resolver
from bus.service import Metadata, MethodInfo, Policy, ServiceInfo
from bus.subjects import call as call_subject
from bus.subjects import calls_of
from bus.testing.chain import progress_of
from bus.testing.hall import (
    COUNT,
    HOLD,
    HOLD_AGAIN,
    KEY,
    OTHER_KEY,
    RESOLVED,
    SAY,
    SERVICE,
    TALK,
    Hall,
    Probe,
    drained,
    failure,
    say,
    says,
    until,
    within,
)
from bus.testing.transport_contract import Clause, Ear, Make
from bus.transports import Message
from troupe.rpc.v1 import Credit, Frame, Open, Progress

NAME = "troupe.testing.v1.RoutedShapesService"


def _routed(method: str, client: bool, server: bool, policy: Policy = RESOLVED) -> MethodInfo:
    return MethodInfo(method, method.lower(), NAME, StringValue, StringValue, client, server, policy)


R_SAY, R_COUNT = _routed("Say", False, False), _routed("Count", False, True)
R_GATHER, R_TALK = _routed("Gather", True, False), _routed("Talk", True, True)
R_UNRESOLVED = _routed("SayAgain", False, False, Policy("value"))
ROUTED_SHAPES = ServiceInfo(NAME, [R_SAY, R_COUNT, R_GATHER, R_TALK, R_UNRESOLVED])


async def a_service_that_is_started_again_is_waited_for(make: Make) -> None:
    async with Hall(make) as hall:
        channel = await hall.channel()
        calls: list[Callable[[], Awaitable[Any]]] = [
            lambda: channel.unary(SAY, say("3")),
            lambda: drained(channel.server_stream(COUNT, say("3"))),
            lambda: drained(channel.bidi_stream(TALK, says("a", "b", "c"))),
        ]
        for call in calls:
            first = await hall.serve(Probe())
            await within(channel.unary(SAY, say("")))  # so that it is known
            await first.drain(0.0)
            waiting = asyncio.ensure_future(call())
            await _refused(channel)
            second = await hall.serve(Probe())
            await within(waiting)
            await second.drain(0.0)


async def _refused(channel: Channel) -> None:
    """The call that is open was refused at least three times."""
    await until(lambda: any(call.attempt >= 3 for call in channel.calls))


async def whoever_waits_long_is_told_what_is_being_started_again(make: Make) -> None:
    async with Hall(make) as hall:
        channel = await hall.channel()
        first = await hall.serve(Probe())
        await within(channel.unary(SAY, say("")))
        await first.drain(0.0)
        stream = channel.server_stream(COUNT, say("2"))
        told = progress_of(await within(anext(stream)))
        assert told is not None
        assert (told.state, told.note) == (Progress.STATE_QUEUED, "ProbeService is being started again.")
        await hall.serve(Probe())
        assert [response.value async for response in stream if not progress_of(response)] == ["0", "1"]


class _Asking(Probe):
    """Asks the probe, once, in the midst of a stream."""

    async def wait(self, request: StringValue, ctx: Context) -> AsyncIterator[StringValue]:
        assert self.channel is not None
        answer: StringValue = await self.channel.unary(SAY, request)
        yield answer


ASK = MethodInfo("Wait", "wait", "troupe.testing.v1.AskingService", StringValue, StringValue, False, True)


async def a_wait_inside_of_a_handler_is_told_to_its_own_caller(make: Make) -> None:
    async with Hall(make) as hall:
        inner = await hall.channel()
        first = await hall.serve(Probe())
        await within(inner.unary(SAY, say("")))
        await first.drain(0.0)
        await hall.serve(_Asking(channel=inner), ServiceInfo(ASK.service, [ASK]))
        stream = (await hall.channel()).server_stream(ASK, say("x"))
        told = progress_of(await within(anext(stream)))
        assert told is not None
        assert told.note == "ProbeService is being started again."
        await hall.serve(Probe("back:"))
        assert [response.value async for response in stream if not progress_of(response)] == ["back:x"]


async def a_wait_ends_with_the_deadline_and_with_the_caller(make: Make) -> None:
    async with Hall(make) as hall:
        channel = await hall.channel()
        first = await hall.serve(Probe())
        await within(channel.unary(SAY, say("")))
        await first.drain(0.0)
        assert (await failure(channel.unary(SAY, say(""), timeout=0.3))).code is Code.DEADLINE_EXCEEDED
        waiting = asyncio.ensure_future(channel.unary(SAY, say("")))
        await _refused(channel)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert channel.open_calls == 0


async def every_shape_of_call_has_its_route_served_on_its_callers_behalf(make: Make) -> None:
    async with Hall(make) as hall:
        channel = await hall.channel()
        asked: list[tuple[str, Metadata]] = []
        behalf = Behalf("anna", priority=Priority.VOICE)

        async def resolve(method: MethodInfo, route: str, metadata: Metadata) -> AsyncGenerator[Progress, None]:
            asked.append((route, metadata))
            await hall.serve(Probe(), ROUTED_SHAPES, route)
            yield Progress(state=Progress.STATE_LOADING, fraction=0.5)

        channel.resolver = resolve
        assert (await within(channel.unary(R_SAY, say("a"), None, behalf.metadata()))).value == "a"
        assert await _values(channel.server_stream(R_COUNT, say("2"))) == ["", "0", "1"]
        assert (await within(channel.client_stream(R_GATHER, says("c", "d", "e")))).value == "c d e"
        assert await _values(channel.bidi_stream(R_TALK, says("f", "g"))) == ["", "f", "g"]
        assert [route for route, _ in asked] == ["a", "2", "c", "f"]
        assert Behalf.of(asked[0][1]) == behalf
        error = await failure(channel.unary(R_UNRESOLVED, say("h")))
        assert (error.reason, len(asked)) == ("NO_RESPONDERS", 4)


async def _values(stream: AsyncIterator[StringValue]) -> list[str]:
    return [response.value async for response in stream]


def _load_response() -> type[Any]:
    """A message with nothing but Progress; this package has no contract of its own."""
    file = FileDescriptorProto(name="troupe/testing/v1/loader.proto", package="troupe.testing.v1", syntax="proto3")
    file.dependency.append("troupe/rpc/v1/frame.proto")
    kind = FieldDescriptorProto.TYPE_MESSAGE
    field = {"name": "progress", "number": 15, "type": kind, "type_name": ".troupe.rpc.v1.Progress", "label": 1}
    file.message_type.add(name="LoadResponse").field.add(**field)
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("troupe.testing.v1.LoadResponse"))


LoadResponse = _load_response()
LOAD = MethodInfo("Load", "load", "troupe.testing.v1.LoaderService", StringValue, LoadResponse, False, True)


class _Loader:
    """Has the route served that it is asked for."""

    def __init__(self, hall: Hall) -> None:
        self.hall = hall
        self.contexts: list[Context] = []

    async def load(self, request: StringValue, ctx: Context) -> AsyncIterator[Any]:
        self.contexts.append(ctx)
        yield LoadResponse(progress=Progress(state=Progress.STATE_LOADING, note=request.value))
        await self.hall.serve(Probe(), ROUTED_SHAPES, request.value)


async def whom_the_contract_names_is_asked_on_the_callers_behalf(make: Make) -> None:
    async with Hall(make) as hall:
        loader = _Loader(hall)
        await hall.serve(loader, ServiceInfo(LOAD.service, [LOAD]))
        channel = await hall.channel()
        channel.resolver = resolver(channel, {LOAD.full_name: LOAD}.get)
        behalf = Behalf("anna", frozenset({"chat"}), "key-1", Priority.VOICE)
        stream = channel.server_stream(R_COUNT, say("2"), None, behalf.metadata())
        first, *rest = [response async for response in stream]
        told = progress_of(first)
        assert told is not None
        assert (told.state, told.note) == (Progress.STATE_LOADING, "2")
        assert [response.value for response in rest] == ["0", "1"]
        assert [ctx.behalf for ctx in loader.contexts] == [behalf]
        channel.resolver = resolver(channel, dict[str, MethodInfo]().get)
        assert (await failure(channel.unary(R_SAY, say("a")))).code is Code.INTERNAL


async def an_attempt_that_was_given_up_and_shows_itself_is_stopped(make: Make) -> None:
    async with Hall(make) as hall:
        late, controls, opened = await hall.transport(), Ear(), Ear()
        await late.subscribe("control.late.*", controls)
        subscription = await late.subscribe(calls_of(SERVICE), opened, "actors")
        call = asyncio.ensure_future((await hall.channel()).unary(HOLD_AGAIN, say("")))
        letter = (await opened.hears(1))[0]
        await subscription.unsubscribe()
        probe = Probe("second")
        await hall.serve(probe)
        await within(probe.started.wait())
        opening = Frame.FromString(letter.payload)
        acceptance = Frame(call_id=opening.call_id, epoch=77, credit=Credit(granted=16))
        late.publish(letter.reply, acceptance.SerializeToString(), f"control.late.{opening.call_id}")
        stopped = Frame.FromString((await controls.hears(1))[0].payload)
        assert stopped.HasField("cancel")
        assert stopped.epoch == 77
        probe.released.set()
        assert (await within(call)).value == "second"


async def a_call_that_comes_again_from_its_caller_begins_anew(make: Make) -> None:
    async with Hall(make) as hall:
        probe, ear = Probe("hand"), Ear()
        server = await hall.serve(probe)
        caller = await hall.transport()
        await caller.subscribe("reply.hand.*", ear)
        opening = Open(protocol_version=PROTOCOL_VERSION, method=HOLD.full_name, resume_key=KEY)
        frame = Frame(call_id="c", open=opening, payload=[b""], sequence=1, half_close=True)
        subject = call_subject(SERVICE, "Hold")
        caller.publish(subject, frame.SerializeToString(), "reply.hand.c")
        await until(lambda: probe.served == 1)
        caller.publish(subject, frame.SerializeToString(), "reply.hand.c=1")
        await until(lambda: probe.served == 2)
        frame.open.resume_key = OTHER_KEY
        caller.publish(subject, frame.SerializeToString(), "reply.hand.c=2")
        await until(lambda: any(Frame.FromString(each.payload).HasField("close") for each in ear.heard))
        assert [reason_of(each) for each in ear.heard if each.subject.endswith("=2")] == ["CALL_EXISTS"]
        probe.released.set()
        await within(server.idle())
        await until(lambda: reason_of(ear.heard[-1]) == "")
        assert ear.heard[-1].subject == "reply.hand.c=1"
        assert not any(Frame.FromString(each.payload).payload for each in ear.heard if each.subject == "reply.hand.c")


def reason_of(message: Message) -> str:
    """The reason of the CLOSE in a message; empty for success."""
    return RpcError.from_status(Frame.FromString(message.payload).close.status).reason.replace("OK", "")


WAITS: list[Clause] = [
    a_service_that_is_started_again_is_waited_for,
    whoever_waits_long_is_told_what_is_being_started_again,
    a_wait_inside_of_a_handler_is_told_to_its_own_caller,
    a_wait_ends_with_the_deadline_and_with_the_caller,
    every_shape_of_call_has_its_route_served_on_its_callers_behalf,
    whom_the_contract_names_is_asked_on_the_callers_behalf,
    an_attempt_that_was_given_up_and_shows_itself_is_stopped,
    a_call_that_comes_again_from_its_caller_begins_anew,
]
