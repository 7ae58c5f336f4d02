"""Coming back to a call, and processes that are gone."""
# ruff: noqa: D103  # the names are the sentences

import asyncio

from bus import subjects
from bus.errors import Code
from bus.testing.call_contract.serving import ROUTED_HOLD, ROUTED_HOLD_SERVICE
from bus.testing.hall import (
    COUNT,
    KEY,
    LEND,
    OTHER_KEY,
    ROUTED_SERVICE,
    WAIT,
    Hall,
    Probe,
    failure,
    say,
    text,
    until,
    within,
)
from bus.testing.transport_contract import Clause, Make


async def another_process_resumes_with_the_key_and_gets_the_rest(make: Make) -> None:
    async with Hall(make) as hall:
        await hall.serve(Probe())
        first = await hall.open(await hall.channel(), COUNT, "500", window=20)
        taken = [text(await within(anext(first))) for _ in range(15)]
        first.protocol.detach()
        first.settle()
        again = hall.resume(await hall.channel(), first, after=15)
        rest = [text(payload) async for payload in again]
        assert taken + rest == [str(number) for number in range(500)]


async def a_resume_takes_the_call_from_a_consumer_that_is_still_there(make: Make) -> None:
    async with Hall(make) as hall:
        await hall.serve(Probe())
        first = await hall.open(await hall.channel(), COUNT, "500", window=10)
        assert text(await within(anext(first))) == "0"
        again = hall.resume(await hall.channel(), first, after=1)
        assert [text(payload) async for payload in again] == [str(number) for number in range(1, 500)]

        async def rest() -> None:
            async for _ in first:
                pass

        assert (await failure(rest())).reason == "RESUMED_ELSEWHERE"


async def a_resume_without_the_key_is_refused_and_harms_nothing(make: Make) -> None:
    async with Hall(make) as hall:
        await hall.serve(Probe())
        channel = await hall.channel()
        first = await hall.open(channel, COUNT, "200", window=10)
        assert text(await within(anext(first))) == "0"
        for key in (OTHER_KEY, b"", KEY[:-1]):
            thief = hall.resume(await hall.channel(), first, after=1, key=key)
            assert (await failure(anext(thief))).reason == "RESUME_REFUSED"
        assert [text(payload) async for payload in first] == [str(number) for number in range(1, 200)]


async def a_resume_of_what_nobody_has_any_more_is_refused(make: Make) -> None:
    async with Hall(make) as hall:
        await hall.serve(Probe())
        first = await hall.open(await hall.channel(), COUNT, "5")
        assert len([payload async for payload in first]) == 5
        late = hall.resume(await hall.channel(), first, after=3)
        assert [text(payload) async for payload in late] == ["3", "4"]
        beyond = hall.resume(await hall.channel(), first, after=6)
        assert (await failure(anext(beyond))).reason == "RESUME_OUT_OF_RANGE"
        first.protocol.call_id = "unknown"
        unknown = hall.resume(await hall.channel(), first, after=0)
        assert (await failure(anext(unknown))).reason == "CALL_NOT_FOUND"


async def a_call_that_nobody_comes_back_for_is_cancelled_after_its_grace(make: Make) -> None:
    async with Hall(make) as hall:
        probe = Probe()
        server = await hall.serve(probe)
        call = await hall.open(await hall.channel(), WAIT, "", grace=0.3)
        await within(anext(call))
        call.protocol.detach()
        call.settle()
        assert not probe.cancelled.is_set()
        await within(probe.cancelled.wait())
        await within(server.idle())


async def a_consumer_whose_process_is_gone_counts_as_away(make: Make) -> None:
    async with Hall(make) as hall:
        probe = Probe()
        await hall.serve(probe)
        channel = await hall.channel()
        call = await hall.open(channel, WAIT, "", grace=0.3)
        await within(anext(call))
        await within(probe.started.wait())
        (await hall.transport()).publish(subjects.gone(channel.process), b"")
        await within(probe.cancelled.wait())


async def a_call_that_ends_with_its_caller_ends_at_once_when_its_process_is_gone(make: Make) -> None:
    async with Hall(make) as hall:
        probe, other = Probe(), Probe()
        server = await hall.serve(probe)
        await hall.serve(other, ROUTED_HOLD_SERVICE, "x")
        channel = await hall.channel()
        held = await hall.open(channel, LEND, "", call_id="held", half_close=False)
        await within(anext(held))
        waits = asyncio.create_task(channel.unary(ROUTED_HOLD, say("x")))
        await within(other.started.wait())
        (await hall.transport()).publish(subjects.gone(channel.process), b"")
        await within(probe.cancelled.wait())
        await within(server.idle())
        assert not waits.done()
        # It lives after all, and learns from its next word that what it held is lost.
        await held.send(say("").SerializeToString())
        error = await failure(anext(held))
        assert (error.code, error.reason) == (Code.UNAVAILABLE, "CALLER_LOST")
        other.released.set()
        await within(waits)


async def a_caller_that_is_missed_loses_those_calls_alone_that_end_with_it(make: Make) -> None:
    async with Hall(make) as hall:
        lender, waiter = Probe(), Probe()
        server = await hall.serve(lender)
        await server.add(waiter, ROUTED_HOLD_SERVICE, "x")
        channel, other = await hall.channel(), await hall.channel()
        waits = asyncio.create_task(channel.unary(ROUTED_HOLD, say("x")))
        await within(waiter.started.wait())
        mine = await hall.open(channel, LEND, "", call_id="mine", half_close=False)
        theirs = await hall.open(other, LEND, "", call_id="theirs", half_close=False)
        await within(anext(mine))
        await within(anext(theirs))
        server.lost(channel.process)
        await within(lender.cancelled.wait())
        await until(lambda: server.active_calls == 2)
        await theirs.send(say("").SerializeToString())
        assert text(await within(anext(theirs))) == other.process
        waiter.released.set()
        await within(waits)


async def a_handler_sees_which_process_calls_also_after_another_has_resumed(make: Make) -> None:
    async with Hall(make) as hall:
        probe = Probe()
        await hall.serve(probe)
        first, second = await hall.channel(), await hall.channel()
        call = await hall.open(first, WAIT, "")
        await within(anext(call))
        await within(probe.started.wait())
        [context] = probe.contexts
        assert context.peer == first.process
        hall.resume(second, call, after=1)
        await until(lambda: context.peer == second.process)


async def a_responder_whose_process_is_gone_is_known_at_once(make: Make) -> None:
    async with Hall(make) as hall:
        server = await hall.serve(Probe())
        other = await hall.serve(Probe("other"), ROUTED_SERVICE, "x")
        channel = await hall.channel()
        call = await hall.open(channel, WAIT, "")
        await within(anext(call))
        (await hall.transport()).publish(subjects.gone(server.process), b"")
        assert (await failure(anext(call))).reason == "PEER_LOST"
        assert other.process != server.process


RESUME: list[Clause] = [
    another_process_resumes_with_the_key_and_gets_the_rest,
    a_resume_takes_the_call_from_a_consumer_that_is_still_there,
    a_resume_without_the_key_is_refused_and_harms_nothing,
    a_resume_of_what_nobody_has_any_more_is_refused,
    a_call_that_nobody_comes_back_for_is_cancelled_after_its_grace,
    a_consumer_whose_process_is_gone_counts_as_away,
    a_call_that_ends_with_its_caller_ends_at_once_when_its_process_is_gone,
    a_caller_that_is_missed_loses_those_calls_alone_that_end_with_it,
    a_handler_sees_which_process_calls_also_after_another_has_resumed,
    a_responder_whose_process_is_gone_is_known_at_once,
]
