"""Two processes that serve one service: a call goes to exactly one of them, also while one drains or is killed."""

import asyncio
from typing import Any

from bus import Code
from bus.channel import Channel
from bus.testing.hall import HOLD, HOLD_AGAIN, PROBE, ROUTED, ROUTED_SERVICE, SAY, Probe, failure, say, within

CALLS = 60


async def asked(channel: Channel, count: int = CALLS) -> list[str]:
    """What so many calls at once are answered with."""
    answers = await within(asyncio.gather(*(channel.unary(SAY, say(str(number))) for number in range(count))))
    return [answer.value for answer in answers]


async def test_each_call_goes_to_exactly_one_and_both_get_some(town: Any) -> None:
    one, two = Probe("one"), Probe("two")
    await town.serve(one, PROBE)
    await town.serve(two, PROBE)
    channel = await town.hall.channel()
    answers = await asked(channel)
    assert len(answers) == one.served + two.served == CALLS
    assert one.served
    assert two.served


async def test_while_one_drains_every_call_is_served_once_and_what_it_has_begun_it_ends(town: Any) -> None:
    one, two = Probe("one"), Probe("two")
    first = await town.serve(one, PROBE)
    channel = await town.hall.channel()
    held = asyncio.create_task(channel.unary(HOLD, say("")))
    await within(one.started.wait())
    await town.serve(two, PROBE)
    asking = asyncio.create_task(asked(channel))
    draining = asyncio.create_task(first.drain(10.0))
    await asking
    assert one.served + two.served == 1 + CALLS
    before = one.served
    await asked(channel)
    assert one.served == before, "who drains takes nothing new"
    one.released.set()
    assert (await within(held)).value == "one"
    await within(draining)


async def test_when_one_is_killed_the_other_gets_what_may_be_done_twice_and_the_rest_is_told(town: Any) -> None:
    one, two = Probe("one"), Probe("two")
    first = await town.serve(one, PROBE)
    channel = await town.hall.channel()
    once = asyncio.create_task(failure(channel.unary(HOLD, say(""))))
    twice = asyncio.create_task(channel.unary(HOLD_AGAIN, say("")))
    while one.served < 2:
        await asyncio.sleep(0)
    two.released.set()
    await town.serve(two, PROBE)
    await town.kill(first)
    assert (await within(twice)).value == "two"
    error = await within(once)
    assert (error.code, error.reason) == (Code.UNAVAILABLE, "PEER_LOST")
    assert (one.served, two.served) == (2, 1)
    assert len(await asked(channel)) == CALLS
    assert (one.served, two.served) == (2, 1 + CALLS)


async def test_two_routes_of_one_service_are_two_and_the_end_of_one_is_not_the_others(town: Any) -> None:
    channel = await town.hall.channel()
    left, right = Probe("left "), Probe("right ")
    leaving = await town.serve(left, ROUTED_SERVICE, "left")
    await town.serve(right, ROUTED_SERVICE, "right")
    assert (await within(channel.unary(ROUTED, say("left")))).value == "left left"
    await town.kill(leaving)
    again = asyncio.create_task(channel.unary(ROUTED, say("left")))
    assert (await within(channel.unary(ROUTED, say("right")))).value == "right right"
    assert not again.done(), "who was there a moment ago is waited for"
    await town.serve(left, ROUTED_SERVICE, "left")
    assert (await within(again)).value == "left left"
    assert (left.served, right.served) == (2, 1)
