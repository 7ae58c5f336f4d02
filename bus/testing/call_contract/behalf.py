"""What travels from call to call by itself, what does not, and what comes back beside the answer."""
# ruff: noqa: D103  # the names are the sentences

import asyncio
from collections.abc import Coroutine
from typing import Any

from google.protobuf.wrappers_pb2 import StringValue

from bus.behalf import Behalf
from bus.channel import Channel
from bus.context import Context, current_context, detached, on_behalf_of
from bus.errors import Code, RpcError
from bus.priority import Priority
from bus.service import MethodInfo, Policy, ServiceInfo
from bus.testing.chain import DEPTH, OWN, Chain, method, progress_of
from bus.testing.hall import HOLD, SAY, TELL, Hall, Probe, failure, say, until, within
from bus.testing.transport_contract import Clause, Make
from troupe.rpc.v1 import Progress

ANNA = Behalf("anna", frozenset({"chat", "speech"}), "key-1", Priority.VOICE)
TRACE = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01", "tracestate": "a=b", "x-request-id": "req-1"}

PATIENT = MethodInfo(
    "Say",
    "say",
    "troupe.testing.v1.BatchService",
    StringValue,
    StringValue,
    False,
    False,
    Policy(priority=Priority.BATCH),
)
PATIENT_SERVICE = ServiceInfo(PATIENT.service, [PATIENT])


async def who_calls_is_who_called_however_deep(make: Make) -> None:
    async with Hall(make) as hall:
        chain = Chain(hall)
        channel = await chain.start()
        await within(channel.unary(method("Say"), say("x"), 30.0, {**ANNA.metadata(), **TRACE}))
        assert [ctx.behalf for ctx in chain.contexts] == [ANNA] * DEPTH
        assert (chain.contexts[-1].principal, chain.contexts[-1].credential) == ("anna", "key-1")
        assert chain.contexts[-1].scopes == frozenset({"chat", "speech"})
        left = [ctx.deadline or 0.0 for ctx in chain.contexts]
        assert max(left) - min(left) < 5.0 < left[0]
        assert [{key: ctx.metadata.get(key) for key in TRACE} for ctx in chain.contexts] == [TRACE] * DEPTH


async def in_its_own_name_an_actor_takes_nothing_of_its_callers_but_time_and_trace(make: Make) -> None:
    async with Hall(make) as hall:
        chain = Chain(hall)
        channel = await chain.start()
        await within(channel.unary(method("Say"), say("x"), 30.0, {**ANNA.metadata(), **TRACE, OWN: "yes"}))
        first, *others = chain.contexts
        assert first.behalf == ANNA
        assert [ctx.behalf for ctx in others] == [Behalf()] * (DEPTH - 1)
        assert all(ctx.priority is Priority.INTERACTIVE for ctx in others)
        assert all(ctx.deadline is not None and ctx.metadata["traceparent"] for ctx in others)
        assert [ctx.metadata["x-request-id"] for ctx in others] == ["req-1"] * (DEPTH - 1)


async def a_call_is_made_on_the_behalf_that_is_named(make: Make) -> None:
    async with Hall(make) as hall:
        probe = Probe()
        await hall.serve(probe)
        channel = await hall.channel()
        with on_behalf_of(ANNA):
            await within(channel.unary(SAY, say("")))
        await within(channel.unary(SAY, say("")))
        assert [ctx.behalf for ctx in probe.contexts] == [ANNA, Behalf()]


async def a_priority_is_lowered_by_the_caller_and_the_method_and_raised_by_nobody(make: Make) -> None:
    async with Hall(make) as hall:
        probe, batch = Probe(), Probe()
        await hall.serve(probe)
        await hall.serve(batch, PATIENT_SERVICE)
        channel = await hall.channel()

        async def seen(of: Probe, called: MethodInfo, behalf: Behalf, asked: str = "") -> Priority:
            with on_behalf_of(behalf):
                await within(channel.unary(called, say(""), metadata={"priority": asked} if asked else None))
            assert "priority" not in of.contexts[-1].metadata
            return of.contexts[-1].priority

        assert await seen(probe, SAY, Behalf()) is Priority.INTERACTIVE
        assert await seen(probe, SAY, ANNA) is Priority.VOICE
        assert await seen(probe, SAY, ANNA, "training") is Priority.TRAINING
        assert await seen(probe, SAY, Behalf(), "voice") is Priority.INTERACTIVE
        assert await seen(batch, PATIENT, ANNA) is Priority.BATCH
        assert await seen(batch, PATIENT, Behalf(), "training") is Priority.TRAINING
        error = await failure(channel.unary(SAY, say(""), metadata={"priority": "now"}))
        assert (error.code, error.field) == (Code.INVALID_ARGUMENT, "priority")


class _Leaver(Probe):
    """Leaves a task behind that calls somebody when its handler has long returned."""

    def __init__(self, channel: Channel, apart: bool) -> None:
        super().__init__(channel=channel)
        self._apart = apart
        self.seen: list[Context | None] = []

    async def say(self, request: StringValue, ctx: Context) -> StringValue:
        await super().say(request, ctx)
        work: Coroutine[Any, Any, object] = self._later(ctx)
        if self._apart:
            self.left_behind = detached(work, name="later", behalf=Behalf("bert"))
        else:
            self.left_behind = asyncio.create_task(work, name="later")
        return StringValue()

    async def _later(self, ctx: Context) -> object:
        assert self.channel is not None
        await self.released.wait()
        self.seen.append(current_context())
        await ctx.progress(Progress.STATE_RUNNING)
        return await self.channel.unary(HOLD, say(""))


async def a_task_that_outlives_its_handler_is_not_bound_by_its_deadline(make: Make) -> None:
    for apart in (False, True):
        await _outlive(make, apart)


async def _outlive(make: Make, apart: bool) -> None:
    async with Hall(make) as hall:
        held = Probe()
        held_server = await hall.serve(held)
        leaver = _Leaver(await hall.channel(), apart)
        await hall.serve(leaver, PATIENT_SERVICE)
        channel = await hall.channel()
        await within(channel.unary(PATIENT, say(""), 0.3, ANNA.metadata()))
        await until(lambda: leaver.contexts[0].time_remaining() == 0.0)
        leaver.released.set()
        await within(held.started.wait())
        assert leaver.seen == [None]
        assert held.contexts[0].deadline is None
        assert held.contexts[0].principal == ("bert" if apart else "")
        held.released.set()
        assert leaver.left_behind is not None
        await within(leaver.left_behind)
        await within(held_server.idle())


async def headers_and_trailers_come_back_through_all_that_hand_them_on(make: Make) -> None:
    async with Hall(make) as hall:
        chain = Chain(hall)
        chain.last.name = "last"
        channel = await chain.start()
        call = channel.unary(method("Say"), say("x"))
        assert (await within(call)).value == "lastx"
        assert (call.headers, call.trailers) == ({"name": "last"}, {"said": "yes"})
        stream = channel.server_stream(method("Tell"), say(""))
        assert (await within(anext(stream))).value == ""
        assert stream.headers == {"line": "short"}
        assert [response.value async for response in stream] == ["done"]
        assert stream.trailers == {"told": "yes"}
        failing = channel.unary(method("Fail"), say("luck"))
        assert (await failure(failing)).reason == "NOT_TODAY"
        assert failing.trailers == {"failed": "yes"}


async def headers_go_ahead_of_the_answer(make: Make) -> None:
    async with Hall(make) as hall:
        await hall.serve(Probe())
        channel = await hall.channel()
        call = await hall.open(channel, TELL, "", window=1)
        await within(call.answered())
        assert call.headers == {"line": "short"}
        call.cancel()


class _Unspeakable(Probe):
    async def say(self, request: StringValue, ctx: Context) -> StringValue:
        ctx.headers["Not A Key"] = "x"
        return StringValue()


async def headers_that_cannot_travel_are_the_handlers_fault(make: Make) -> None:
    async with Hall(make) as hall:
        await hall.serve(_Unspeakable())
        assert (await failure((await hall.channel()).unary(SAY, say("")))).code is Code.INTERNAL


async def progress_is_handed_on_whole(make: Make) -> None:
    async with Hall(make) as hall:
        channel = await Chain(hall).start()
        first, second = [response async for response in channel.server_stream(method("Tell"), say(""))]
        told = progress_of(first)
        assert told is not None
        assert (told.state, told.position, told.note) == (Progress.STATE_QUEUED, 2, "in line")
        assert told.eta.ToNanoseconds() == 1_500_000_000
        assert second.value == "done"


async def a_failure_is_the_same_at_every_depth(make: Make) -> None:
    async with Hall(make) as hall:
        channel = await Chain(hall).start()
        error: RpcError = await failure(channel.unary(method("Fail"), say("luck")))
        assert (error.code, error.reason, error.reference) == (Code.FAILED_PRECONDITION, "NOT_TODAY", "ref-1")


BEHALF: list[Clause] = [
    who_calls_is_who_called_however_deep,
    in_its_own_name_an_actor_takes_nothing_of_its_callers_but_time_and_trace,
    a_call_is_made_on_the_behalf_that_is_named,
    a_priority_is_lowered_by_the_caller_and_the_method_and_raised_by_nobody,
    a_task_that_outlives_its_handler_is_not_bound_by_its_deadline,
    headers_and_trailers_come_back_through_all_that_hand_them_on,
    headers_go_ahead_of_the_answer,
    headers_that_cannot_travel_are_the_handlers_fault,
    progress_is_handed_on_whole,
    a_failure_is_the_same_at_every_depth,
]
