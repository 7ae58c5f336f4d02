"""A place with jobs: on JetStream and in memory, as many processes as a test asks for."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any

import pytest

from bus import Behalf
from bus.testing import NatsServer
from bus.transports import Transport
from bus.transports.memory import MemoryBroker, MemoryTransport
from bus.transports.nats import NatsTransport
from host.jobs import Handler, Jobs, Running, Worker, rules
from host.jobs import worker as work
from store import store_of
from troupe.job.v1 import Job, JobRecord, JobState
from troupe.rpc.v1 import Location

ALICE = Behalf("alice")


class Clock:
    """Seconds of the epoch, as far as jobs are told."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Town:
    """Processes on one bus, each with its jobs."""

    def __init__(self, connect: Callable[[str], Coroutine[Any, Any, Transport]], stack: AsyncExitStack) -> None:
        self.clock = Clock()
        self.stack = stack
        self._connect = connect

    async def process(self, name: str) -> Jobs:
        transport = await self.transport(name)
        jobs = Jobs(store_of(transport), name, self.clock)
        self.stack.push_async_callback(jobs.close)
        return jobs

    async def transport(self, name: str) -> Transport:
        transport = await self._connect(name)
        self.stack.push_async_callback(transport.close)
        return transport

    async def work(self, jobs: Jobs, handler: Handler, at_once: int = 1) -> Worker:
        return await self.stack.enter_async_context(Worker(jobs, "test", {"test.do": handler}, at_once))


async def submit(jobs: Jobs, name: str, behalf: Behalf | None = ALICE, **given: Any) -> Job:
    return await jobs.submit("test.do", Location(process=name), lane="test", behalf=behalf, **given)


def name_of(running: Running) -> str:
    return running.request(Location).process


async def until(jobs: Jobs, job: Job, *states: "JobState", behalf: Behalf = ALICE) -> JobRecord:
    """The record, once the job stands there."""
    async for record in jobs.follow(job.id, behalf.principal):
        if record.job.state in states:
            return record
        assert record.job.state not in rules.ENDED, record.job
    raise AssertionError


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers look and write often, so that nothing waits for the pace of a real hub."""
    monkeypatch.setattr(work, "LOOK_SECONDS", 0.2)
    monkeypatch.setattr(work, "WRITE_SECONDS", 0.01)


@pytest.fixture(params=["jetstream", "memory"])
async def town(request: pytest.FixtureRequest) -> AsyncIterator[Town]:
    broker = MemoryBroker()
    server: NatsServer | None = request.getfixturevalue("nats_server") if request.param == "jetstream" else None

    async def connect(name: str) -> Transport:
        return MemoryTransport(broker, name) if server is None else await NatsTransport.connect(server.url, name)

    async with asyncio.timeout(60), AsyncExitStack() as stack:
        yield Town(connect, stack)
