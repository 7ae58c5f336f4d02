"""Jobs whose worker is gone or silent, whose time is over, or that ended long ago."""

import asyncio
from collections.abc import Iterable

import pytest

from bus import RpcError
from bus.transports.memory import MemoryBroker, MemoryTransport
from host.jobs import Housekeeper, Jobs, Running, Worker, housekeeping, rules
from host.liveness import Heart, Presence
from store import store_of
from troupe.job.v1 import Job
from troupe.rpc.v1 import Location

from .conftest import Clock, submit, until


class Household:
    """One process that keeps order, and one worker whose heart can stop."""

    def __init__(self, clock: Clock) -> None:
        broker, self.now = MemoryBroker(), 0.0
        transport = MemoryTransport(broker, "keeper")
        self.jobs, self.presence = Jobs(store_of(transport), "keeper", clock), Presence(transport)
        self.keeper = Housekeeper(self.jobs, self.presence, lambda: self.now)
        self.heart = Heart(MemoryTransport(broker, "worker"), "test", list, lambda: 0)
        self.heart.state = "serving"
        self.held = Jobs(store_of(transport), "worker", clock)

    async def claimed(self) -> Job:
        job = await submit(self.jobs, "x", attempts=2)
        await self.held.change(job.id, lambda record: rules.claimed(record, "worker", self.held.clock()))
        await until(self.jobs, job, rules.RUNNING)
        return job

    async def close(self, tasks: Iterable["asyncio.Task[None]"] = ()) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for jobs in (self.jobs, self.held):
            await jobs.close()


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "SWEEP_SECONDS", 0.01)


async def test_a_job_stays_its_workers_while_that_is_heard_and_is_another_s_once_it_is_gone() -> None:
    home = Household(Clock())
    async with asyncio.timeout(30):
        await home.presence.start()
        home.heart.start()
        while "worker" not in home.presence.processes:
            await asyncio.sleep(0)
        job = await home.claimed()
        keeping = asyncio.create_task(home.keeper.run())
        home.now = (await home.jobs.view()).entries[job.id].since + housekeeping.UNHEARD_SECONDS + 1
        for _ in range(20):
            await asyncio.sleep(0)
        assert (await home.jobs.find(job.id, "alice")).job.state == rules.RUNNING
        await home.heart.stop()
        record = await until(home.jobs, job, rules.QUEUED)
        assert record.job.failed_attempts == 1
        await home.presence.stop()
        await home.close([keeping])


async def test_a_worker_that_lives_and_says_nothing_of_its_job_has_lost_it() -> None:
    home = Household(Clock())
    async with asyncio.timeout(30):
        await home.presence.start()
        home.heart.start()
        job = await home.claimed()
        keeping = asyncio.create_task(home.keeper.run())
        home.now = (await home.jobs.view()).entries[job.id].since + housekeeping.SILENT_SECONDS + 1
        await until(home.jobs, job, rules.QUEUED)
        await home.heart.stop()
        await home.presence.stop()
        await home.close([keeping])


async def test_a_job_whose_time_is_over_fails_and_stops_its_worker_and_an_old_one_is_forgotten() -> None:
    clock, stopped = Clock(), asyncio.Event()
    home = Household(clock)

    async def handler(running: Running) -> Location:
        try:
            await asyncio.Event().wait()
        finally:
            assert running.stopping == "lost"
            stopped.set()
        raise AssertionError

    async with asyncio.timeout(30), Worker(home.held, "test", {"test.do": handler}):
        job = await submit(home.jobs, "x", expires_in=60.0)
        await until(home.jobs, job, rules.RUNNING)
        clock.now += 61
        keeping = asyncio.create_task(home.keeper.run())
        record = await until(home.jobs, job, rules.FAILED)
        assert RpcError.from_status(record.job.error).reason == "JOB_EXPIRED"
        await stopped.wait()
        clock.now += housekeeping.KEEP_SECONDS + 1
        view, changed = await home.jobs.view(), asyncio.Event()
        with view.heard_by(lambda _: changed.set()):
            while job.id in view.entries:
                await changed.wait()
                changed.clear()
        with pytest.raises(RpcError, match="There is no job"):
            await home.jobs.find(job.id, "alice")
        await home.close([keeping])
