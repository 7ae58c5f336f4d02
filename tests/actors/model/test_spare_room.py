"""What the stage tells of the room for a process that nobody has asked for."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from actors.model.spare_room import UNBOUNDED, SpareRoom
from bus import Code, Context, RpcError
from bus.transports.memory import MemoryBroker, MemoryTransport
from host.member import Member
from host.settings import Settings
from troupe.gpu.v1 import Device, DeviceKind, GpuService, WatchRequest, WatchResponse, Wish

SYSTEM, CARD = DeviceKind.DEVICE_KIND_SYSTEM, DeviceKind.DEVICE_KIND_NVIDIA


class Stage(GpuService):
    """Says what the test wants."""

    def __init__(self) -> None:
        self.seen: WatchResponse | RpcError = WatchResponse()

    async def watch(self, request: WatchRequest, ctx: Context) -> AsyncIterator[WatchResponse]:
        assert request.once
        if isinstance(self.seen, RpcError):
            raise self.seen
        yield self.seen


@pytest.fixture
async def member(tmp_path: Path) -> AsyncIterator[Member]:
    async with asyncio.timeout(20):
        async with Member(Settings(home=tmp_path), "llama", transport=MemoryTransport(MemoryBroker(), "l-1")) as member:
            yield member


async def test_it_is_what_is_left_below_the_cap_of_main_memory_alone(member: Member) -> None:
    stage, room = Stage(), SpareRoom(member)
    await member.serve(stage, GpuService.INFO, "local")
    await member.ready()
    main = Device(name="system", kind=SYSTEM, cap_bytes=1000, leased_bytes=300, others_bytes=200, unverified_bytes=100)
    stage.seen = WatchResponse(devices=[Device(name="card", kind=CARD), main], wishes=[Wish(name="a")])
    assert await room.bytes() == 400
    stage.seen = WatchResponse(devices=[Device(name="system", kind=SYSTEM, cap_bytes=10, others_bytes=30)])
    assert await room.bytes() == 1, "above the cap there is no room for another, and nobody who waits for it"
    stage.seen = WatchResponse(devices=[Device(name="card", kind=CARD)])
    assert await room.bytes() == UNBOUNDED


async def test_there_is_none_where_somebody_waits_for_what_others_use(member: Member) -> None:
    stage, room = Stage(), SpareRoom(member)
    await member.serve(stage, GpuService.INFO, "local")
    await member.ready()
    main = Device(name="system", kind=SYSTEM, cap_bytes=1000)
    stage.seen = WatchResponse(devices=[main], wishes=[Wish(name="a"), Wish(name="b", others=True)])
    assert await room.bytes() == 0


async def test_it_is_not_known_while_the_stage_is_away_and_unbounded_where_there_is_none(member: Member) -> None:
    alone = SpareRoom(member)
    assert await alone.bytes() == UNBOUNDED
    stage = Stage()
    await member.serve(stage, GpuService.INFO, "local")
    await member.ready()
    stage.seen = RpcError(Code.UNAVAILABLE, "It starts again.", reason="STAGE_RESTARTS")
    while not await alone._watch.has_stage():
        await asyncio.sleep(0)
    assert await alone.bytes() is None
