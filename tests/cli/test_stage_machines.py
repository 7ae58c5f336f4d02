"""The stages of several machines as one picture."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from bus import Code, RpcError
from cli.stage_machines import together
from troupe.gpu.v1 import Decision, Device, LeaseInfo, Share, WatchResponse, Wish


def picture(name: str, *machines: str, decided: int = 0) -> WatchResponse:
    lease = LeaseInfo(name=f"llama/{name}", shares=[Share(device="card", bytes=1)])
    made = WatchResponse(devices=[Device(name="card")], leases=[lease], wishes=[Wish(name="w")], machines=machines)
    if decided:
        made.decisions.append(Decision(what="granted", name=f"llama/{name}"))
        made.decisions[0].at.FromSeconds(decided)
    return made


class Hub:
    """Stages that answer what they are told to; None: it is away from then on."""

    def __init__(self, **answers: list[WatchResponse | None]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    async def watch(self, machine: str) -> AsyncIterator[WatchResponse]:
        self.asked.append(machine)
        for answer in self.answers.get(machine, [None]):
            if answer is None:
                raise RpcError(Code.UNAVAILABLE, "nobody is there", reason="NO_RESPONDERS")
            yield answer


async def shown(hub: Hub, *, once: bool = True) -> list[WatchResponse]:
    async with asyncio.timeout(10):
        return [each async for each in together(hub.watch, "local", once=once)]


async def test_one_machine_is_shown_as_it_is() -> None:
    hub = Hub(local=[picture("a", "local", decided=1)])
    assert await shown(hub) == [picture("a", "local", decided=1)]
    assert hub.asked == ["local"]


async def test_of_two_each_thing_says_whose_it_is_and_decisions_are_in_the_order_of_time() -> None:
    hub = Hub(local=[picture("a", "attic", "local", decided=2)], attic=[picture("b", "attic", "local", decided=1)])
    [both] = await shown(hub)
    assert [device.name for device in both.devices] == ["card", "attic: card"]
    assert [lease.name for lease in both.leases] == ["llama/a", "attic: llama/b"]
    assert [share.device for lease in both.leases for share in lease.shares] == ["card", "attic: card"]
    assert [wish.name for wish in both.wishes] == ["w", "attic: w"]
    assert [decision.name for decision in both.decisions] == ["attic: llama/b", "llama/a"]
    assert list(both.machines) == ["attic", "local"]


async def test_one_that_is_away_is_left_out() -> None:
    [left] = await shown(Hub(local=[picture("a", "attic", "local")]))
    assert [device.name for device in left.devices] == ["card"]


async def test_that_this_machine_has_no_stage_is_said() -> None:
    with pytest.raises(RpcError, match="nobody is there"):
        await shown(Hub())


async def test_what_was_decided_is_shown_once() -> None:
    pictures: list[WatchResponse | None] = [picture("a", "local", decided=1), picture("a", "local", decided=2)]
    first, second = await shown(Hub(local=pictures), once=False)
    assert [len(first.decisions), len(second.decisions)] == [1, 1]
