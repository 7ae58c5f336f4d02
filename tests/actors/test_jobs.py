"""Jobs as people ask for them, on both transports."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from actors.jobs import JobsActor
from bus import Behalf, Code, RpcError, on_behalf_of
from bus.channel import Channel
from bus.server import Server
from bus.testing import NatsServer
from bus.transports import Transport
from bus.transports.memory import MemoryBroker, MemoryTransport
from bus.transports.nats import NatsTransport
from host.jobs import Jobs, Running, Worker
from host.liveness import Presence
from store import store_of
from troupe.job.v1 import (
    CancelJobRequest,
    GetJobRequest,
    Job,
    JobService,
    JobServiceClient,
    JobState,
    ListJobsRequest,
    PauseJobRequest,
    ResumeJobRequest,
    WatchJobRequest,
)
from troupe.rpc.v1 import Location, Progress

ALICE, BOB = Behalf("alice"), Behalf("bob")
PAUSED, RUNNING = JobState.JOB_STATE_PAUSED, JobState.JOB_STATE_RUNNING
CANCELLED, SUCCEEDED = JobState.JOB_STATE_CANCELLED, JobState.JOB_STATE_SUCCEEDED


class Place:
    """The actor, a client, and jobs to submit."""

    def __init__(self, jobs: Jobs, client: JobServiceClient, stack: AsyncExitStack) -> None:
        self.jobs = jobs
        self.client = client
        self.stack = stack

    async def submit(self, kind: str = "test.wait", behalf: Behalf = ALICE) -> Job:
        return await self.jobs.submit(kind, Location(), lane="test", behalf=behalf, title="Wait")


@pytest.fixture(params=["nats", "memory"])
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    broker = MemoryBroker()
    server: NatsServer | None = request.getfixturevalue("nats_server") if request.param == "nats" else None
    async with asyncio.timeout(60), AsyncExitStack() as stack:

        async def connect(name: str) -> Transport:
            transport = (
                MemoryTransport(broker, name) if server is None else await NatsTransport.connect(server.url, name)
            )
            stack.push_async_callback(transport.close)
            return transport

        serving, calling = await connect("jobs"), await connect("caller")
        kept, jobs = Jobs(store_of(serving), "jobs"), Jobs(store_of(calling), "caller")
        stack.push_async_callback(kept.close)
        stack.push_async_callback(jobs.close)
        presence = Presence(serving)
        await presence.start()
        stack.push_async_callback(presence.stop)
        actor, bus_server, channel = JobsActor(kept, presence), Server(serving), Channel(calling)
        await actor.start()
        stack.push_async_callback(actor.stop)
        await bus_server.add(actor, JobService.INFO)
        stack.push_async_callback(bus_server.drain, 1)
        stack.push_async_callback(channel.close)
        yield Place(jobs, JobServiceClient(channel), stack)


async def test_everybody_sees_their_own_jobs_the_newest_first(place: Place) -> None:
    first, second = await place.submit(), await place.submit("test.other")
    await place.submit(behalf=BOB)
    with on_behalf_of(ALICE):
        while len(listed := (await place.client.list_jobs(ListJobsRequest())).jobs) < 2:
            pass
        assert [job.id for job in listed] == [second.id, first.id]
        assert not listed[0].events
        one = (await place.client.list_jobs(ListJobsRequest(kind="test.wait", live=True, limit=1))).jobs
        assert [job.id for job in one] == [first.id]
        await place.client.cancel_job(CancelJobRequest(id=first.id))
        while (await place.client.list_jobs(ListJobsRequest(kind="test.wait", live=True))).jobs:
            pass
        with pytest.raises(RpcError) as caught:
            await place.client.list_jobs(ListJobsRequest(limit=1001))
        assert caught.value.field == "limit"


async def test_somebody_elses_job_is_as_one_that_never_was(place: Place) -> None:
    job, never = await place.submit(), "0" * 32
    client, answers = place.client, []
    with on_behalf_of(BOB):
        for job_id in (job.id, never):
            for asking in (
                client.get_job(GetJobRequest(id=job_id)),
                client.pause_job(PauseJobRequest(id=job_id)),
                client.resume_job(ResumeJobRequest(id=job_id)),
                client.cancel_job(CancelJobRequest(id=job_id)),
                anext(aiter(client.watch_job(WatchJobRequest(id=job_id)))),
            ):
                with pytest.raises(RpcError) as caught:
                    await asking
                answers.append((caught.value.code, caught.value.reason, caught.value.message.replace(job_id, "")))
    assert set(answers) == {(Code.NOT_FOUND, "JOB_NOT_FOUND", "There is no job ''.")}


async def test_who_watches_hears_all_events_and_goes_on_after_an_interruption(place: Place) -> None:
    go = asyncio.Event()

    async def handler(running: Running) -> Location:
        running.tell(Progress(fraction=0.25, note="A quarter."))
        await go.wait()
        return Location(process="x")

    job, seen, last = await place.submit(), [], 0
    await place.stack.enter_async_context(Worker(place.jobs, "test", {"test.wait": handler}))
    with on_behalf_of(ALICE):
        async for response in place.client.watch_job(WatchJobRequest(id=job.id)):
            seen += [event.note for event in response.job.events]
            last = max([last, *(event.sequence for event in response.job.events)])
            if response.job.progress.fraction:
                break
        go.set()
        async for response in place.client.watch_job(WatchJobRequest(id=job.id, after=last)):
            seen += [event.note for event in response.job.events]
            job = response.job
    assert seen == ["It waits.", "A worker has begun.", "A quarter.", "It is done."]
    assert job.state == SUCCEEDED


async def test_a_job_is_paused_resumed_and_cancelled(place: Place) -> None:
    async def handler(running: Running) -> Location:
        await asyncio.Event().wait()
        raise AssertionError

    job = await place.submit()
    await place.stack.enter_async_context(Worker(place.jobs, "test", {"test.wait": handler}))

    async def until(state: "JobState") -> None:
        async for response in place.client.watch_job(WatchJobRequest(id=job.id)):
            if response.job.state == state:
                return

    with on_behalf_of(ALICE):
        await until(RUNNING)
        await place.client.pause_job(PauseJobRequest(id=job.id))
        await until(PAUSED)
        await place.client.resume_job(ResumeJobRequest(id=job.id))
        await until(RUNNING)
        await place.client.cancel_job(CancelJobRequest(id=job.id))
        await until(CANCELLED)
        assert (await place.client.get_job(GetJobRequest(id=job.id))).job.events[-1].note == "It was cancelled."
