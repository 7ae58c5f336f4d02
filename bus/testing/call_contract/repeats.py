"""Which calls are opened again, and which never."""
# ruff: noqa: D103  # the names are the sentences

import asyncio

from google.protobuf.wrappers_pb2 import StringValue

from bus.context import Context
from bus.errors import Code, RpcError
from bus.testing.faults import HesitantTransport
from bus.testing.hall import (
    COUNT_AGAIN,
    GATHER,
    HOLD,
    HOLD_AGAIN,
    SAY,
    SAY_AGAIN,
    TALK,
    Hall,
    Probe,
    drained,
    failure,
    say,
    says,
    within,
)
from bus.testing.transport_contract import Clause, Make


async def an_idempotent_call_is_repeated_and_seen_once(make: Make) -> None:
    async with Hall(make) as hall:
        probe = Probe()
        await hall.serve(probe)
        channel = await hall.channel()
        probe.refusals = 2
        assert (await within(channel.unary(SAY_AGAIN, say("x")))).value == "x"
        assert probe.served == 3
        probe.served, probe.refusals = 0, 9
        assert (await failure(channel.unary(SAY_AGAIN, say("x")))).code is Code.UNAVAILABLE
        assert probe.served == 3


async def a_call_that_a_draining_server_refuses_is_served_by_another(make: Make) -> None:
    async with Hall(make) as hall:
        leaving = HesitantTransport(await hall.transport())
        one, two = Probe("one"), Probe("two")
        server = await hall.serve_over(leaving, one)
        await hall.serve(two)
        channel = await hall.channel()
        draining = asyncio.create_task(server.drain(1.0))
        await within(leaving.leaving.wait())
        calls = 0
        while not leaving.caught.is_set():
            assert (await within(channel.unary(SAY, say("")))).value == "two"
            calls += 1
        await within(draining)
        assert (one.served, two.served) == (0, calls)


async def streams_of_requests_that_a_draining_server_refuses_are_served_by_another_from_their_first(make: Make) -> None:
    for gathers in (True, False):
        async with Hall(make) as hall:
            leaving = HesitantTransport(await hall.transport())
            one, two = Probe(), Probe()
            server = await hall.serve_over(leaving, one)
            await hall.serve(two)
            channel = await hall.channel()
            draining = asyncio.create_task(server.drain(1.0))
            await within(leaving.leaving.wait())
            calls = 0
            words = [str(number) for number in range(40)]
            while not leaving.caught.is_set():
                if gathers:
                    assert (await within(channel.client_stream(GATHER, says(*words)))).value.split() == words
                else:
                    assert await within(drained(channel.bidi_stream(TALK, says(*words)))) == words
                calls += 1
            await within(draining)
            assert (one.served, two.served) == (0, calls)


async def a_call_that_was_cut_short_is_repeated_only_if_it_may_run_twice(make: Make) -> None:
    async with Hall(make) as hall:
        for method in (HOLD, HOLD_AGAIN):
            one, two = Probe("one"), Probe("two")
            two.released.set()
            first = await hall.serve(one)
            channel = await hall.channel()
            call = asyncio.create_task(channel.unary(method, say("")))
            await within(one.started.wait())
            second = await hall.serve(two)
            await within(first.drain(0.0))
            if method.policy.idempotent:
                assert (await within(call)).value == "two"
            else:
                error = await failure(call)
                assert (error.code, error.reason) == (Code.UNAVAILABLE, "INTERRUPTED")
                assert not error.never_begun
            assert (one.served, two.served) == (1, int(method.policy.idempotent))
            await within(second.drain(0.0))


async def a_handler_that_meets_one_who_has_not_begun_has_begun_itself(make: Make) -> None:
    async with Hall(make) as hall:
        for reason in ("SHUTTING_DOWN", "NO_RESPONDERS"):
            half_way = _HalfWay(reason)
            server = await hall.serve(half_way)
            error = await failure((await hall.channel()).unary(SAY, say("")))
            assert (error.code, error.reason) == (Code.UNAVAILABLE, "INTERRUPTED")
            assert (error.message, error.metadata) == (
                "Somebody else is away.",
                {"whose": "another's", "cause": reason},
            )
            assert half_way.served == 1
            await server.drain(0.0)


class _HalfWay(Probe):
    """Has done something when its own call finds nobody."""

    def __init__(self, reason: str) -> None:
        super().__init__()
        self._reason = reason

    async def say(self, request: StringValue, ctx: Context) -> StringValue:
        await super().say(request, ctx)
        metadata = {"whose": "another's"}
        raise RpcError(Code.UNAVAILABLE, "Somebody else is away.", reason=self._reason, metadata=metadata)


async def a_call_that_has_answered_is_not_repeated(make: Make) -> None:
    async with Hall(make) as hall:
        probe = Probe()
        await hall.serve(probe)
        channel = await hall.channel()
        assert (await failure(drained(channel.server_stream(COUNT_AGAIN, say(""))))).code is Code.UNAVAILABLE
        assert probe.served == 1


REPEATS: list[Clause] = [
    an_idempotent_call_is_repeated_and_seen_once,
    a_call_that_a_draining_server_refuses_is_served_by_another,
    streams_of_requests_that_a_draining_server_refuses_are_served_by_another_from_their_first,
    a_call_that_was_cut_short_is_repeated_only_if_it_may_run_twice,
    a_handler_that_meets_one_who_has_not_begun_has_begun_itself,
    a_call_that_has_answered_is_not_repeated,
]
