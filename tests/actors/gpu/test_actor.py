"""The stage as its callers know it: wishes, leases, what is seen of it, and what is there after it was killed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from actors.gpu.actor import GpuActor
from actors.gpu.book import DECIDED, LEASES
from actors.gpu.settings import GpuSettings
from bus import Code, RpcError
from bus.behalf import PRIORITY
from store import store_of
from troupe.gpu.v1 import (
    Ask,
    Claim,
    Decision,
    DemandRequest,
    DemandResponse,
    DeviceKind,
    GpuServiceClient,
    Grow,
    LeaseRequest,
    LeaseResponse,
    LeaseState,
    Loaded,
    PinRequest,
    Share,
    Size,
    Use,
    Variant,
    WatchRequest,
    Work,
)

from .house import DEVICE, House, ended, house, leases, work

LOADING, BUSY, IDLE = (
    LeaseState.LEASE_STATE_LOADING,
    LeaseState.LEASE_STATE_BUSY,
    LeaseState.LEASE_STATE_IDLE,
)


async def said(*requests: LeaseRequest) -> AsyncIterator[LeaseRequest]:
    for request in requests:
        yield request
    await asyncio.Event().wait()


def ask(name: str = "a", lease: str = "lease-0001", **values: int) -> LeaseRequest:
    return LeaseRequest(machine="local", ask=Ask(work=work(name, **values), lease=lease))


async def first_of(place: House, *requests: LeaseRequest) -> LeaseResponse:
    """The first answer that is no progress; the call is ended then."""
    async with place.client.lease(said(*requests)) as responses:
        async for response in responses:
            if not response.HasField("progress"):
                return response
    raise AssertionError("the call has ended")


async def test_a_lease_is_seen_from_its_grant_to_its_end() -> None:
    async with house() as place:
        one = await place.holder()
        async with one.lease(work("a", 40)) as lease:
            assert lease.shares == {DEVICE: 40}
            [seen] = (await place.until(lambda picture: leases(picture) == ["a"])).leases
            assert (seen.state, seen.holder, seen.shares[0].bytes) == (LOADING, one.process.transport.process, 40)
            lease.loaded({DEVICE: 42})
            [seen] = (await place.until(lambda picture: picture.leases[0].state == IDLE)).leases
            assert [share.bytes for share in seen.measured] == [42]
            lease.used(running=2, begun=2)
            await place.until(lambda picture: picture.leases[0].state == BUSY and picture.leases[0].running == 2)
        last = await place.until(lambda picture: not picture.leases and picture.devices[0].unverified_bytes == 0)
        assert last.devices[0].leased_bytes == 0


async def test_a_stage_that_has_not_started_yet_has_no_trouble() -> None:
    async with house() as place:
        member = place.stage.member
        before = GpuActor(GpuSettings(), member, member.store.table, member.store.events)
        assert before.trouble() == ""
        await before.stop()


async def test_who_does_not_fit_waits_hears_why_and_is_next() -> None:
    async with house() as place:
        one, two, three = [await place.holder() for _ in range(3)]
        async with one.lease(work("a", 60)) as first, two.lease(work("b", 40)):
            first.loaded()
            first.used(running=1)

            async def enter() -> None:
                async with three.lease(work("c", 60)):
                    pass

            waiting = asyncio.create_task(enter())
            picture = await place.until(lambda picture: bool(picture.wishes))
            assert (picture.wishes[0].name, picture.wishes[0].position) == ("c", 1)
            assert picture.wishes[0].reason
            assert not waiting.done()
        await waiting
        assert three.told


async def test_what_never_fits_is_refused_with_what_would() -> None:
    async with house() as place:
        one = await place.holder()
        size = [Size(kind=DeviceKind.DEVICE_KIND_NVIDIA, bytes=140)]
        small = [Size(kind=DeviceKind.DEVICE_KIND_NVIDIA, bytes=90)]
        wanted = Work(
            name="a", variants=[Variant(sizes=size), Variant(sizes=small, note="with 2,048 tokens of context")]
        )
        with pytest.raises(RpcError) as refused:
            async with one.lease(wanted):
                pass
        assert (refused.value.code, refused.value.reason) == (Code.RESOURCE_EXHAUSTED, "INSUFFICIENT_MEMORY")
        assert refused.value.metadata["needed"] == "140"
        assert "2,048 tokens" in refused.value.metadata["fits"]
        with pytest.raises(RpcError, match="a") as refused:
            async for _ in place.client.demand(DemandRequest(machine="local", work=wanted)):
                pass
        assert refused.value.reason == "INSUFFICIENT_MEMORY"
        assert not (await place.picture()).wishes


async def test_the_lease_of_a_process_that_dies_is_freed() -> None:
    async with house() as place:
        one, two = await place.holder(), await place.holder()

        async def hold() -> None:
            async with one.lease(work("a", 60)) as lease:
                lease.loaded()
                lease.used(running=1)
                await asyncio.Event().wait()

        holding = asyncio.create_task(hold())
        await place.until(lambda picture: bool(picture.leases) and picture.leases[0].state == BUSY)
        await one.process.kill()
        async with two.lease(work("b", 60)) as lease:
            assert lease.shares == {DEVICE: 60}
        await ended(holding)


async def test_a_demand_is_placed_and_its_place_is_kept_for_its_process() -> None:
    async with house() as place:
        one = await place.holder()
        async with place.client.demand(DemandRequest(machine="local", work=work("a", 60))) as demand:
            [placed] = [response async for response in _until_placed(demand)]
            assert [(share.device, share.bytes) for share in placed.placed] == [(DEVICE, 60)]
            picture = await place.picture()
            assert [lease.state for lease in picture.leases] == [LeaseState.LEASE_STATE_PLACED]
            async with one.lease(work("a", 60)):
                assert leases(await place.picture()) == ["a"]


async def test_a_demand_that_is_given_up_leaves_no_place() -> None:
    async with house() as place:
        async with place.client.demand(DemandRequest(machine="local", work=work("a", 60))) as demand:
            [_] = [response async for response in _until_placed(demand)]
        await place.until(lambda picture: not picture.leases and not picture.wishes)


async def _until_placed(demand: AsyncIterator[DemandResponse]) -> AsyncIterator[DemandResponse]:
    async for response in demand:
        if response.placed:
            yield response
            return


async def test_an_idle_holder_is_told_to_make_room_and_keeps_it_until_it_leaves() -> None:
    async with house() as place:
        one = await place.holder()
        async with one.lease(work("a", 60)) as lease:
            lease.loaded()
            await place.until(lambda picture: picture.leases[0].state == IDLE)
            demand = place.client.demand(DemandRequest(machine="local", work=work("b", 60)))
            async with demand:
                placed = asyncio.ensure_future(anext(aiter(_until_placed(demand))))
                await one.revoked.wait()
                assert not placed.done()
                lease.close()
                assert (await placed).placed[0].bytes == 60


async def test_a_holder_may_grow_as_far_as_there_is_room() -> None:
    async with house() as place:
        one = await place.holder()
        async with one.lease(work("a", 60)) as lease:
            lease.loaded()
            assert await lease.grow({DEVICE: 30})
            assert lease.shares == {DEVICE: 90}
            assert not await lease.grow({DEVICE: 30})
            assert (await place.picture()).devices[0].leased_bytes == 90


async def test_a_pinned_one_is_never_told_to_make_room() -> None:
    async with house() as place:
        one = await place.holder()
        await place.client.pin(PinRequest(machine="local", name="a", pinned=True))
        async with one.lease(work("a", 60)) as lease:
            lease.loaded()
            picture = await place.until(lambda picture: picture.leases[0].state == IDLE)
            assert picture.leases[0].pinned
            demand = place.client.demand(DemandRequest(machine="local", work=work("b", 60)))
            async with demand:
                told = await anext(aiter(demand))
                assert told.progress.note
                assert not one.revoked.is_set()


async def test_after_a_kill_holders_claim_and_nothing_is_granted_beyond_what_is_free() -> None:
    async with house() as place:
        one, two = await place.holder(), await place.holder()
        async with one.lease(work("a", 60)) as lease:
            lease.loaded()
            lease.used(running=1)
            await place.until(lambda picture: picture.leases[0].state == BUSY)
            await place.kill_stage()
            await place.open_stage()
            picture = await place.picture()  # at once, before anybody has claimed
            assert (leases(picture), picture.devices[0].leased_bytes) == (["a"], 60)

            async def enter() -> None:
                async with two.lease(work("b", 60)):
                    pass

            waiting = asyncio.create_task(enter())
            await place.until(lambda picture: bool(picture.wishes))
            lease.used(running=0)
            await place.until(lambda picture: picture.leases[0].state in (IDLE, LeaseState.LEASE_STATE_REVOKED))
            assert not waiting.done()
        await waiting


async def test_the_lease_of_one_that_has_died_meanwhile_is_freed_by_the_next_stage() -> None:
    async with house() as place:
        one, two = await place.holder(), await place.holder()

        async def hold() -> None:
            async with one.lease(work("a", 60)) as lease:
                lease.loaded()
                await asyncio.Event().wait()

        holding = asyncio.create_task(hold())
        await place.until(lambda picture: bool(picture.leases) and picture.leases[0].state == IDLE)
        await place.kill_stage()
        await one.process.kill()
        await place.open_stage()
        assert leases(await place.picture()) == ["a"]
        async with two.lease(work("b", 60)):
            pass
        await ended(holding)


async def test_a_grant_that_its_holder_has_missed_is_told_again() -> None:
    async with house() as place:
        assert (await first_of(place, ask())).granted.shares[0].bytes == 40
        # The call has ended without a word, and the process is there: the lease is gone with it.
        await place.until(lambda picture: not picture.leases and not picture.devices[0].unverified_bytes)
        responses = place.client.lease(said(ask()))
        assert (await anext(responses)).granted.shares[0].bytes == 40
        again = place.client.lease(said(ask()))
        assert (await anext(again)).granted.shares[0].bytes == 40
        assert (await place.picture()).devices[0].leased_bytes == 40
        await responses.aclose()
        await again.aclose()


async def test_a_stage_that_is_stopped_ends_its_calls_and_keeps_its_leases() -> None:
    async with house() as place:
        responses = place.client.lease(said(ask()))
        await anext(responses)
        watch = place.client.watch(WatchRequest(machine="local"))
        await anext(watch)
        async with asyncio.timeout(5):
            await place.stage.stop()
        for call in (responses, watch):
            with pytest.raises(RpcError) as lost:
                async for _ in call:
                    pass
            assert lost.value.code is Code.UNAVAILABLE
        await place.open_stage()
        assert leases(await place.picture()) == ["a"]


async def test_each_decision_is_an_event_with_its_reason() -> None:
    async with house() as place:
        one = await place.holder()
        async with one.lease(work("a")):
            pass
        log = await store_of(one.process.transport).events({DECIDED: Decision})
        async with aclosing(log.subscribe("reader")) as deliveries:
            seen: list[str] = []
            async for delivery in deliveries:
                decision = delivery.event.value
                assert (decision.name, bool(decision.reason), bool(decision.rule)) == ("a", True, True)
                seen.append(decision.what)
                if decision.what == "verified":
                    break
        assert seen == ["granted", "released", "verified"]


async def test_what_was_measured_is_remembered_by_the_next_stage() -> None:
    async with house() as place:
        one = await place.holder()
        async with one.lease(work("a", 40, key="a/q4/4096")) as lease:
            lease.loaded({DEVICE: 55})
            await place.until(lambda picture: picture.devices[0].leased_bytes == 55)
        await place.until(lambda picture: not picture.devices[0].leased_bytes)
        await place.stage.stop()
        await place.open_stage()
        async with one.lease(work("a", 40, key="a/q4/4096")) as lease:
            assert lease.shares == {DEVICE: 55}


async def test_a_lease_leaves_no_row_behind() -> None:
    async with house() as place:
        one = await place.holder()
        tables = store_of(one.process.transport)._tables  # type: ignore[attr-defined]  # the twin in memory
        [rows] = [table for name, (_, table) in tables.items() if name.startswith(LEASES)]
        changes = rows.watch()
        async with aclosing(changes):
            assert await anext(changes) is None
            async with one.lease(work("a")):
                assert (await anext(changes)).value.shares == [Share(device=DEVICE, bytes=40)]
            assert (await anext(changes)).value is None


def device(kind: int, size: int = 1) -> Size:
    return Size(kind=kind, bytes=size)  # type: ignore[arg-type]  # numbers that are none are tried, too


SYSTEM = DeviceKind.DEVICE_KIND_SYSTEM


@pytest.mark.parametrize(
    "wanted",
    [
        Work(variants=work("a").variants),
        Work(name="x" * 201, variants=work("a").variants),
        Work(name="a"),
        Work(name="a", variants=[Variant()]),
        Work(name="a", variants=[work("a").variants[0]] * 17),
        Work(name="a", variants=[Variant(sizes=[device(0)])]),
        Work(name="a", variants=[Variant(sizes=[device(SYSTEM), device(SYSTEM)])]),
        Work(name="a", variants=[Variant(sizes=[device(SYSTEM, 2**60 + 1)])]),
        work("a", key="k" * 513),
        work("a", devices=["d"] * 65),
    ],
)
async def test_work_that_makes_no_sense_is_refused(wanted: Work) -> None:
    async with house() as place:
        with pytest.raises(RpcError) as refused:
            async for _ in place.client.demand(DemandRequest(machine="local", work=wanted)):
                pass
        assert refused.value.code is Code.INVALID_ARGUMENT
        with pytest.raises(RpcError) as refused:
            await first_of(place, LeaseRequest(machine="local", ask=Ask(work=wanted, lease="lease-0001")))
        assert refused.value.code is Code.INVALID_ARGUMENT


SHARES = [Share(device=DEVICE, bytes=1)]


@pytest.mark.parametrize(
    "requests",
    [
        [LeaseRequest(machine="local")],
        [LeaseRequest(machine="local", loaded=Loaded())],
        [ask(lease="short")],
        [ask(lease="with spaces in it")],
        [ask(size=200), LeaseRequest(use=Use(running=1))],
        [ask(size=100), ask(lease="lease-0002", size=100), LeaseRequest(loaded=Loaded())],
        [LeaseRequest(machine="local", claim=Claim(work=work("a"), lease="lease-0001", shares=SHARES)), ask()],
    ],
)
async def test_what_a_holder_may_not_say_ends_its_lease(requests: list[LeaseRequest]) -> None:
    async with house() as place:
        with pytest.raises(RpcError) as refused:
            async with place.client.lease(said(*requests)) as responses:
                async for _ in responses:
                    pass
        assert refused.value.code in (Code.INVALID_ARGUMENT, Code.RESOURCE_EXHAUSTED)
        await place.until(lambda picture: not picture.leases and not picture.wishes)


async def test_a_lease_is_its_holders_alone() -> None:
    async with house() as place:
        one = await place.holder()
        async with place.client.lease(said(ask())) as responses:
            await anext(responses)
            with pytest.raises(RpcError) as refused:
                await anext(GpuServiceClient(one.process.member.channel).lease(said(ask())))
            assert refused.value.reason == "LEASE_TAKEN"


async def test_two_grows_at_once_are_refused() -> None:
    async with house() as place:
        more = LeaseRequest(grow=Grow(more=[Share(device=DEVICE, bytes=1)]))
        async with place.client.lease(said(ask(), more)) as responses:
            answers = [await anext(responses), await anext(responses)]
            assert [answer.WhichOneof("step") for answer in answers] in (["granted", "grown"], ["grown", "granted"])


async def test_classes_are_told_apart() -> None:
    async with house() as place:
        one = await place.holder()
        async with one.lease(work("a", 100)) as lease:
            lease.loaded()
            lease.used(running=1)
            await place.until(lambda picture: picture.leases[0].state == BUSY)
            calls = [
                place.client.demand(DemandRequest(machine="local", work=work(name, 50)), metadata={PRIORITY: name})
                for name in ("training", "voice")
            ]
            for call in calls:
                await anext(call)
            picture = await place.picture()
            assert [wish.name for wish in picture.wishes] == ["voice", "training"]
            for call in calls:
                await call.aclose()


async def test_metrics_tell_of_devices_classes_and_what_was_done() -> None:
    async with house(cap=0.8) as place:
        one = await place.holder()
        async with one.lease(work("a", 40)) as lease:
            lease.loaded()
            await place.until(lambda picture: picture.leases[0].state == IDLE)
            page = place.stage.member.metrics.text().decode()
        for line in (
            'troupe_stage_device_memory_bytes{actor="gpu",device="card",of="cap",process="gpu-1"} 80.0',
            'troupe_stage_device_memory_bytes{actor="gpu",device="card",of="leased",process="gpu-1"} 40.0',
            'troupe_stage_waiting{actor="gpu",class="voice",process="gpu-1"} 0.0',
            'troupe_stage_wait_seconds_count{actor="gpu",class="interactive",process="gpu-1"} 1.0',
            'troupe_stage_leases{actor="gpu",process="gpu-1",state="idle"} 1.0',
            'troupe_stage_loads_total{actor="gpu",process="gpu-1"} 1.0',
            'troupe_stage_evictions_total{actor="gpu",process="gpu-1"} 0.0',
        ):
            assert line in page
