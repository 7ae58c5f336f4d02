"""Waiting for a model's place, also while the stage is away."""

import asyncio

import pytest

from actors.models import placing as module
from actors.models.placing import Placing
from bus import RpcError
from bus.channel import Channel
from bus.transports.memory import MemoryBroker, MemoryTransport
from tests.actors.gpu.house import house, leases, work
from troupe.gpu.v1 import GpuServiceClient, LeaseState, Work


async def placed(placing: Placing) -> list[str]:
    """What is told until there is room."""
    return [progress.note async for progress in placing.waiting()]


async def test_a_place_is_kept_while_it_is_held_and_given_up_after() -> None:
    async with house() as place:
        async with Placing(place.client, "local", work("a", 60)) as placing:
            await placed(placing)
            assert leases(await place.picture()) == ["a"]
        await place.until(lambda picture: not picture.leases)


@pytest.mark.parametrize("killed", [True, False])
async def test_who_waits_hears_for_what_and_goes_on_after_the_stage_was_killed_or_stopped(*, killed: bool) -> None:
    async with house() as place:
        one = await place.holder()
        async with one.lease(work("other", 60)) as lease:
            lease.loaded()
            lease.used(running=1)
            await place.until(lambda picture: bool(picture.leases) and picture.leases[0].running == 1)
            async with Placing(place.client, "local", work("a", 60)) as placing:
                waiting = asyncio.create_task(placed(placing))
                await place.until(lambda picture: bool(picture.wishes))
                await (place.kill_stage() if killed else place.stage.stop())
                await place.open_stage()
                await place.until(lambda picture: bool(picture.wishes))
                assert not waiting.done()
                lease.close()
                assert any("other" in note for note in await waiting)


async def test_a_place_that_was_given_outlives_the_stage() -> None:
    async with house() as place, Placing(place.client, "local", work("a", 60)) as placing:
        await placed(placing)
        await place.kill_stage()
        await place.open_stage()
        one = await place.holder()
        async with one.lease(work("a", 60)) as lease:
            assert lease.shares


@pytest.mark.parametrize(("wanted", "reason"), [(work("a", 200), "INSUFFICIENT_MEMORY"), (Work(), "INVALID_ARGUMENT")])
async def test_what_is_refused_is_refused_as_itself(wanted: Work, reason: str) -> None:
    async with house() as place, Placing(place.client, "local", wanted) as placing:
        with pytest.raises(RpcError) as refused:
            await placed(placing)
        assert refused.value.reason == reason


async def test_a_stage_that_stays_away_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AWAY_SECONDS", 0.2)
    channel = Channel(MemoryTransport(MemoryBroker(), "caller-1"))
    async with asyncio.timeout(20), Placing(GpuServiceClient(channel), "local", work("a")) as placing:
        with pytest.raises(RpcError) as away:
            await placed(placing)
    assert away.value.reason == "STAGE_UNAVAILABLE"
    await channel.close()


async def test_whoever_gives_up_waiting_leaves_the_queue() -> None:
    async with house() as place:
        one = await place.holder()
        async with one.lease(work("other", 60)) as lease:
            lease.loaded()
            lease.used(running=1)
            await place.until(lambda picture: [each.state for each in picture.leases] == [LeaseState.LEASE_STATE_BUSY])
            async with Placing(place.client, "local", work("a", 60)) as placing:
                assert (await anext(placing.waiting())).position == 1
            await place.until(lambda picture: not picture.wishes)
