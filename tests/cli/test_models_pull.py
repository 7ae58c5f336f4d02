"""`troupe models pull` as a program, at a hub whose fetching actor and keeper of jobs are lost meanwhile."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from bus import Code, Context, RpcError
from bus.channel import Channel
from bus.server import Server
from bus.transports.memory import MemoryBroker, MemoryTransport
from gateway.access import Access
from gateway.catalog import Catalog
from gateway.grpc_server import GrpcServer
from gateway.hub import Hub
from gateway.limits import Limits
from gateway.locations import RememberedLocations
from gateway.settings import DoorSettings, GrpcSettings, HttpSettings
from host.jobs import rules
from store import MemoryLocations
from troupe.job.v1 import Job, JobService, JobState, WatchJobRequest, WatchJobResponse
from troupe.rpc.v1 import Progress
from troupe.weights.v1 import PulledModel, PullModelRequest, PullModelResponse, WeightsService

from .conftest import Run

FETCHING = Progress(state=Progress.STATE_LOADING, fraction=0.25, note="Fetching more.")
JOB = "5f1c0a44d1b14a0f9d5b0a4b8b1f7c21"


def lost(what: str) -> RpcError:
    return RpcError(Code.UNAVAILABLE, f"The process {what} has ended.", reason="PEER_LOST", retry_after=0.01)


class Killed(WeightsService):
    """Ends after it has submitted the job."""

    async def pull_model(self, request: PullModelRequest, ctx: Context) -> AsyncIterator[PullModelResponse]:
        yield PullModelResponse(job_id=JOB)
        yield PullModelResponse(progress=FETCHING)
        raise lost("weights-1")


class Keeper(JobService):
    """Tells of one job; its first answer breaks off, too. `ends`: how the job does."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.ends = JobState.JOB_STATE_SUCCEEDED

    async def watch_job(self, request: WatchJobRequest, ctx: Context) -> AsyncIterator[WatchJobResponse]:
        self.asked.append(request.after)
        job = Job(id=request.id, state=JobState.JOB_STATE_RUNNING)
        job.progress.CopyFrom(FETCHING)
        if request.after:
            job.progress.fraction = 0.5
        job.events.add(sequence=7, note="Half of it.")
        yield WatchJobResponse(job=job)
        if len(self.asked) == 1:
            raise lost("jobs-1")
        job.state = self.ends
        job.ended_at.FromSeconds(1)
        job.result.Pack(PulledModel(name="more", source="carrier==1.0", license="MIT"))
        job.error.CopyFrom(RpcError(Code.UNAVAILABLE, "The index cannot be reached.").to_status())
        yield WatchJobResponse(job=job)


@pytest.fixture
def keeper() -> Keeper:
    return Keeper()


@pytest.fixture
async def broken_door(keeper: Keeper) -> AsyncIterator[str]:
    settings = DoorSettings(http=HttpSettings(port=0), grpc=GrpcSettings(port=0))
    broker = MemoryBroker()
    serving, calling = MemoryTransport(broker), MemoryTransport(broker)
    server, channel = Server(serving), Channel(calling)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(serving.close)
        stack.push_async_callback(calling.close)
        stack.push_async_callback(server.drain, grace=0.1)
        stack.push_async_callback(channel.close)
        await server.add(Killed(), WeightsService.INFO)
        await server.add(keeper, JobService.INFO)
        await channel.start()
        locations = RememberedLocations(MemoryLocations())
        stack.push_async_callback(locations.close)
        hub = Hub(settings, calling, channel, Catalog(), Access(settings.auth), Limits(settings.limits), locations)
        rpc = GrpcServer(hub)
        await rpc.start()
        stack.push_async_callback(rpc.stop, 0.1)
        yield f"127.0.0.1:{rpc.port}"


async def test_a_pull_is_followed_over_the_end_of_who_does_it_and_of_who_tells_of_it(
    troupe: Run, broken_door: str, keeper: Keeper
) -> None:
    ended = await troupe("models", "pull", "more", "--target", broken_door)
    assert (ended.code, ended.out) == (0, "more: pulled from carrier==1.0; licence MIT\n")
    assert ended.err.splitlines() == [
        f"more: job {JOB}, which goes on if you leave",
        "more: loading 25% Fetching more.",
        "more: loading 50% Fetching more.",
    ]
    assert keeper.asked == [0, 7]


async def test_what_the_job_came_to_is_what_the_command_says(troupe: Run, broken_door: str, keeper: Keeper) -> None:
    keeper.ends = rules.FAILED
    ended = await troupe("models", "pull", "more", "--target", broken_door)
    assert (ended.code, "The index cannot be reached." in ended.err) == (1, True)
    keeper.ends = rules.CANCELLED
    ended = await troupe("models", "pull", "more", "--json", "--target", broken_door)
    assert (ended.code, f"The job {JOB} was cancelled." in ended.err) == (1, True)
    assert [json.loads(line).keys() for line in ended.out.splitlines()] == [{"jobId"}, {"progress"}]
