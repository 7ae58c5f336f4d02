"""Memory as a holder has it: waited for, used, taken back, and in a hub without a stage."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from actors.model import lease as module
from actors.model.lease import own_holder
from actors.model.lessor import Lessor
from actors.model.stage_watch import machine_of
from bus import RpcError
from bus.transports.memory import MemoryBroker, MemoryTransport
from host.member import Member
from host.settings import SUPERVISED, Settings, SupervisorSettings
from tests.actors.gpu.house import DEVICE, ended, house, work
from troupe.gpu.v1 import Holder, LeaseState

IDLE, BUSY = LeaseState.LEASE_STATE_IDLE, LeaseState.LEASE_STATE_BUSY


async def test_a_hub_without_a_stage_asks_for_nothing() -> None:
    transport = MemoryTransport(MemoryBroker(), "holder-1")
    async with asyncio.timeout(10), Member(Settings(), "holder", transport=transport) as member:
        lessor = Lessor(member)
        async with lessor.lease(work("a")) as lease:
            assert lease.shares == {}
            lease.loaded({DEVICE: 1})
            lease.used(running=1)
            assert await lease.grow({DEVICE: 1})


@pytest.mark.parametrize(("actors", "there"), [([], True), (["gpu", "echo"], True), (["echo"], False)])
async def test_a_supervisors_settings_say_whether_there_is_one(
    actors: list[str], there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SUPERVISED, "/somewhere")
    settings = Settings(supervisor=SupervisorSettings(actors=actors))
    async with Member(settings, "holder", transport=MemoryTransport(MemoryBroker(), "holder-1")) as member:
        assert await Lessor(member).has_stage() is there


async def test_a_stage_that_stays_away_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AWAY_SECONDS", 1.5)
    monkeypatch.setenv(SUPERVISED, "/somewhere")
    told: list[str] = []
    async with Member(Settings(), "holder", transport=MemoryTransport(MemoryBroker(), "holder-1")) as member:
        with pytest.raises(RpcError) as away:
            async with Lessor(member).lease(work("a"), tell=lambda progress: told.append(progress.note)):
                pass
    assert away.value.reason == "STAGE_UNAVAILABLE"
    assert told


def test_the_machine_is_that_of_the_settings() -> None:
    assert machine_of(Settings()) == "local"
    assert machine_of(Settings(actors={"gpu": {"machine": "attic"}})) == "attic"


async def test_who_is_cancelled_while_it_waits_leaves_nothing_behind() -> None:
    async with house() as place:
        one, two = await place.holder(), await place.holder()
        async with one.lease(work("a", 60)) as first:
            first.loaded()
            first.used(running=1)

            async def enter() -> None:
                async with two.lease(work("b", 60)):
                    raise AssertionError("it was granted")

            waiting = asyncio.create_task(enter())
            await place.until(lambda picture: bool(picture.wishes))
            await ended(waiting)
            await place.until(lambda picture: not picture.wishes)
            assert [lease.name for lease in (await place.picture()).leases] == ["a"]


async def test_use_is_told_at_once_when_it_begins_and_not_for_each_call() -> None:
    async with house() as place:
        one = await place.holder()
        async with one.lease(work("a")) as lease:
            lease.loaded()
            await place.until(lambda picture: picture.leases[0].state == IDLE)
            heard: list[int] = []
            tell = place.stage.actor._stage.tell  # every word that the stage hears

            def listen(*happenings: object) -> None:
                heard.extend(getattr(each, "running", -1) for each in happenings)
                tell(*happenings)  # type: ignore[arg-type]  # what it was given

            vars(place.stage.actor._stage)["tell"] = listen
            for call in range(200):
                lease.used(running=1 + call % 3, begun=call)
                await asyncio.sleep(0)
            await place.until(lambda picture: picture.leases[0].state == BUSY)
            assert len([running for running in heard if running > 0]) == 1
            lease.used(running=0, begun=200)
            await place.until(lambda picture: picture.leases[0].state == IDLE)


async def test_the_memory_of_a_killed_process_is_granted_only_when_it_is_gone(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    namespace = own_holder().pid_namespace
    if not namespace:
        child.kill()
        pytest.skip("a system without /proc")
    async with house() as place:
        one, two = await place.holder(), await place.holder()
        one.lessor = Lessor(one.process.member, "local", holder=Holder(pid=child.pid, pid_namespace=namespace))

        async def hold() -> None:
            async with one.lease(work("a", 60)) as lease:
                lease.loaded()
                await asyncio.Event().wait()

        holding = asyncio.create_task(hold())
        await place.until(lambda picture: bool(picture.leases) and picture.leases[0].state == IDLE)
        await one.process.kill()  # gone from the bus, as after its connection broke: the process itself lives

        async def enter() -> None:
            async with two.lease(work("b", 60)):
                pass

        waiting = asyncio.create_task(enter())
        picture = await place.until(lambda picture: bool(picture.wishes))
        assert picture.devices[0].unverified_bytes == 60
        assert not waiting.done()
        child.kill()
        child.communicate()
        await waiting
        await ended(holding)


async def test_a_holder_that_does_not_leave_is_killed() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    namespace = own_holder().pid_namespace
    if not namespace:
        child.kill()
        pytest.skip("a system without /proc")
    async with house() as place:
        one = await place.holder()
        one.lessor = Lessor(one.process.member, "local", holder=Holder(pid=child.pid, pid_namespace=namespace))
        async with one.lease(work("a", 60)) as lease:
            lease.loaded()
            await place.until(lambda picture: picture.leases[0].state == IDLE)
            two = await place.holder()
            async with two.lease(work("b", 60)):  # it is told, and does nothing
                assert one.revoked.is_set()
        assert child.wait() == -9
        child.communicate()


def test_a_process_is_named_by_its_number_and_where_that_holds() -> None:
    assert own_holder().pid == os.getpid()
