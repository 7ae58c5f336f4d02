"""A hub's gRPC door with an echo and a models actor, and the command line as a program of its own."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from actors.blobs import BlobActor, BlobSettings
from actors.echo import EchoActor
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
from store import MemoryLocations
from troupe.blob.v1 import BlobService
from troupe.echo.v1 import EchoService
from troupe.gpu.v1 import (
    Decision,
    Device,
    DeviceKind,
    GpuService,
    LeaseInfo,
    LeaseState,
    WatchRequest,
    WatchResponse,
    Wish,
)
from troupe.job.v1 import (
    CancelJobRequest,
    CancelJobResponse,
    GetJobRequest,
    GetJobResponse,
    Job,
    JobAsk,
    JobService,
    JobState,
    ListJobsRequest,
    ListJobsResponse,
    PauseJobRequest,
    PauseJobResponse,
    ResumeJobRequest,
    ResumeJobResponse,
    WatchJobRequest,
    WatchJobResponse,
)
from troupe.model.v1 import (
    Alias,
    Divergence,
    GetModelRequest,
    GetModelResponse,
    ListAliasesRequest,
    ListAliasesResponse,
    ListModelsRequest,
    ListModelsResponse,
    LoadModelRequest,
    LoadModelResponse,
    MemoryWay,
    Model,
    ModelPlan,
    ModelService,
    ModelState,
    PinModelRequest,
    PinModelResponse,
    PlanModelsRequest,
    PlanModelsResponse,
    QuantizedModel,
    QuantizeModelRequest,
    QuantizeModelResponse,
    RemoveAliasRequest,
    RemoveAliasResponse,
    RollbackAliasRequest,
    RollbackAliasResponse,
    SetAliasRequest,
    SetAliasResponse,
    UnloadModelRequest,
    UnloadModelResponse,
    UnpinModelRequest,
    UnpinModelResponse,
)
from troupe.rpc.v1 import Priority, Progress
from troupe.weights.v1 import (
    ListWeightsRequest,
    ListWeightsResponse,
    PulledModel,
    PullModelRequest,
    PullModelResponse,
    Weights,
    WeightsService,
    WeightsState,
)

PATIENCE_SECONDS = 60.0
GIB = 2**30


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


Run = Callable[..., Awaitable[Ended]]


def environment(home: Path) -> dict[str, str]:
    """A shell's environment without settings of whoever runs the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TROUPE_", "NATS_"))}
    return {**kept, "TROUPE_HOME": str(home), "TROUPE_ACTORS_WEIGHTS_FETCH": "false", "PYTHONUTF8": "1"}


TroupeIn = Callable[..., Run]


@pytest.fixture
def troupe(troupe_in: TroupeIn) -> Run:
    """Run `troupe` with these arguments in a process of its own; `given` is its stdin, `env` joins its environment."""
    return troupe_in("-m", "cli")


@pytest.fixture
def troupe_in(tmp_path: Path) -> TroupeIn:
    """As `troupe`, for any program that Python is asked to run by these arguments."""
    return partial(_running, tmp_path)


def _running(folder: Path, *python: str) -> Run:
    async def run(*arguments: str, given: str = "", env: dict[str, str] | None = None) -> Ended:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *python,
            *arguments,
            cwd=folder,
            env=environment(folder / "home") | (env or {}),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(PATIENCE_SECONDS):
            out, err = await process.communicate(given.encode())
        assert process.returncode is not None
        return Ended(process.returncode, out.decode(), err.decode())

    return run


class OneModel(ModelService):
    """Knows one model, which it can load."""

    def __init__(self) -> None:
        self.model = Model(
            name="tiny",
            services=["troupe.chat.v1.ChatService"],
            state=ModelState.MODEL_STATE_AVAILABLE,
            architecture="llama",
            quantization="Q8_0",
            size_bytes=3 * 1024 * 1024,
            context_tokens=2048,
            description="Nhỏ và nhanh.",
            aliases=["gpt-4o"],
        )
        self.aliases: dict[str, Alias] = {}
        self.model.modified.FromNanoseconds(1_795_890_000_710_309_202)

    async def list_models(self, request: ListModelsRequest, ctx: Context) -> ListModelsResponse:
        return ListModelsResponse(models=[self.model])

    async def get_model(self, request: GetModelRequest, ctx: Context) -> GetModelResponse:
        if request.name != self.model.name:
            raise RpcError(Code.NOT_FOUND, "There is no such model. Did you mean tiny?", reason="MODEL_NOT_FOUND")
        return GetModelResponse(model=self.model)

    async def load_model(self, request: LoadModelRequest, ctx: Context) -> AsyncIterator[LoadModelResponse]:
        yield LoadModelResponse(progress=Progress(state=Progress.STATE_LOADING, fraction=0.5))
        self.model.state = ModelState.MODEL_STATE_READY
        yield LoadModelResponse(model=self.model)

    async def set_alias(self, request: SetAliasRequest, ctx: Context) -> SetAliasResponse:
        alias = self.aliases.setdefault(request.alias, Alias(name=request.alias))
        alias.model, alias.version = request.model, len(alias.versions) + 1
        alias.versions.add(number=alias.version, model=request.model)
        return SetAliasResponse(alias=alias)

    async def rollback_alias(self, request: RollbackAliasRequest, ctx: Context) -> RollbackAliasResponse:
        alias = self.aliases[request.alias]
        alias.model, alias.version = alias.versions[0].model, 1
        return RollbackAliasResponse(alias=alias)

    async def remove_alias(self, request: RemoveAliasRequest, ctx: Context) -> RemoveAliasResponse:
        del self.aliases[request.alias]
        return RemoveAliasResponse()

    async def list_aliases(self, request: ListAliasesRequest, ctx: Context) -> ListAliasesResponse:
        return ListAliasesResponse(aliases=[*self.aliases.values(), Alias(name="gpt-4o", model="tiny", fixed=True)])

    async def pin_model(self, request: PinModelRequest, ctx: Context) -> PinModelResponse:
        self.model.pinned = True
        return PinModelResponse(model=self.model)

    async def unpin_model(self, request: UnpinModelRequest, ctx: Context) -> UnpinModelResponse:
        self.model.pinned = False
        return UnpinModelResponse(model=self.model)

    async def quantize_model(self, request: QuantizeModelRequest, ctx: Context) -> AsyncIterator[QuantizeModelResponse]:
        yield QuantizeModelResponse(job_id="7", warnings=["It is small."])
        if request.detached:
            return
        yield QuantizeModelResponse(progress=Progress(state=Progress.STATE_RUNNING, fraction=0.5, note="Writing."))
        compared = Divergence(
            tokens=1200, mean_kl=0.0123, p99_kl=0.4, same_top=0.9, source_perplexity=1234.5, perplexity=1300,
            own_text=not request.text,
        )  # fmt: skip
        made = QuantizedModel(
            name=request.new_name or "tiny-Q4_K_M", source="llama/tiny", quantization=request.quantization,
            source_quantization="Q8_0", size_bytes=2 << 20, source_bytes=3 << 20, divergence=compared,
            warnings=[f"{len(request.text)} characters."],
        )  # fmt: skip
        yield QuantizeModelResponse(model=made)

    async def plan_models(self, request: PlanModelsRequest, ctx: Context) -> PlanModelsResponse:
        ways = [MemoryWay(accelerator_bytes=4 * GIB), MemoryWay(accelerator_bytes=2 * GIB, note="with 1 slot")]
        return PlanModelsResponse(plans=[ModelPlan(model=Model(name=name), ways=ways) for name in request.names])

    async def unload_model(self, request: UnloadModelRequest, ctx: Context) -> UnloadModelResponse:
        self.model.state = ModelState.MODEL_STATE_AVAILABLE
        return UnloadModelResponse()


class TwoWeights(WeightsService):
    """Fetches one model, and could fetch another."""

    def __init__(self) -> None:
        services = ["troupe.chat.v1.ChatService"]
        self.weights = [
            Weights(name="words", state=WeightsState.WEIGHTS_STATE_FETCHING, fraction=0.25, services=services),
            Weights(name="more", state=WeightsState.WEIGHTS_STATE_ABSENT, license="MIT", size_bytes=2 * 1024 * 1024),
        ]

    async def list_weights(self, request: ListWeightsRequest, ctx: Context) -> ListWeightsResponse:
        return ListWeightsResponse(weights=self.weights)

    async def pull_model(self, request: PullModelRequest, ctx: Context) -> AsyncIterator[PullModelResponse]:
        yield PullModelResponse(job_id="7")
        if not request.detached:
            loading = Progress(state=Progress.STATE_LOADING, fraction=0.5, note="Fetching more.")
            yield PullModelResponse(progress=loading)
            yield PullModelResponse(model=PulledModel(name="more", source="carrier==1.0", license="MIT"))


class TwoJobs(JobService):
    """One that runs, and fails once it is watched; one that is done."""

    def __init__(self) -> None:
        running = Job(id="5f1c0a44d1b14a0f9d5b0a4b8b1f7c21", kind="model.pull", title="Pull more", owner="ada")
        running.state, running.priority = JobState.JOB_STATE_RUNNING, Priority.PRIORITY_BATCH
        running.progress.fraction = 0.25
        running.events.add(sequence=1, note="A quarter is here.", fraction=0.25)
        done = Job(id="5f2c0a44d1b14a0f9d5b0a4b8b1f7c21", kind="test.wait", priority=Priority.PRIORITY_TRAINING)
        done.state = JobState.JOB_STATE_SUCCEEDED
        self.jobs = {job.id: job for job in (running, done)}
        done.ended_at.FromSeconds(int(time.time()) - 1800)
        for job in self.jobs.values():
            job.created_at.FromSeconds(int(time.time()) - 3600)

    async def list_jobs(self, request: ListJobsRequest, ctx: Context) -> ListJobsResponse:
        live = [job for job in self.jobs.values() if not request.live or job.state == JobState.JOB_STATE_RUNNING]
        return ListJobsResponse(jobs=[job for job in live if request.kind in ("", job.kind)])

    async def get_job(self, request: GetJobRequest, ctx: Context) -> GetJobResponse:
        return GetJobResponse(job=self.jobs[request.id])

    async def watch_job(self, request: WatchJobRequest, ctx: Context) -> AsyncIterator[WatchJobResponse]:
        job = self.jobs[request.id]
        yield WatchJobResponse(job=job)
        if job.state == JobState.JOB_STATE_RUNNING:
            job.state = JobState.JOB_STATE_FAILED
            job.ended_at.FromSeconds(int(time.time()))
            del job.events[:]
            job.events.add(sequence=2, note="It could not be done.")
            yield WatchJobResponse(job=job)

    async def pause_job(self, request: PauseJobRequest, ctx: Context) -> PauseJobResponse:
        job = self.jobs[request.id]
        if job.state == JobState.JOB_STATE_SUCCEEDED:
            raise RpcError(Code.FAILED_PRECONDITION, "The job has ended.", reason="JOB_ENDED")
        job.asked = JobAsk.JOB_ASK_PAUSE
        return PauseJobResponse(job=job)

    async def resume_job(self, request: ResumeJobRequest, ctx: Context) -> ResumeJobResponse:
        self.jobs[request.id].asked = JobAsk.JOB_ASK_UNSPECIFIED
        return ResumeJobResponse(job=self.jobs[request.id])

    async def cancel_job(self, request: CancelJobRequest, ctx: Context) -> CancelJobResponse:
        self.jobs[request.id].asked = JobAsk.JOB_ASK_CANCEL
        return CancelJobResponse(job=self.jobs[request.id])


class SmallStage(GpuService):
    """One card with one lease, and a wish that is served while one watches."""

    async def watch(self, request: WatchRequest, ctx: Context) -> AsyncIterator[WatchResponse]:
        kind = DeviceKind.DEVICE_KIND_FIXED
        card = Device(name="card", kind=kind, total_bytes=16 * GIB, cap_bytes=12 * GIB)
        card.leased_bytes, card.others_bytes = 4 * GIB, 2 * GIB
        lease = LeaseInfo(
            id="l", name="llama/tiny", holder="llama-tiny-1", state=LeaseState.LEASE_STATE_BUSY, running=2
        )
        lease.shares.add(device="card", bytes=4 * GIB)
        wish = Wish(
            name="llama/more", position=1, waiting=3, priority=Priority.PRIORITY_BATCH, reason="Waits for tiny."
        )
        granted = Decision(what="granted", name="llama/tiny", reason="There is room.", rule="5")
        yield WatchResponse(devices=[card], leases=[lease], wishes=[wish], decisions=[granted])
        if not request.once:
            placed = Decision(what="placed", name="llama/more", reason="It is its turn.", rule="5")
            yield WatchResponse(devices=[card], leases=[lease], decisions=[placed])


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[str]:
    """Host and port of a gRPC door behind which both actors serve."""
    settings = DoorSettings(http=HttpSettings(port=0), grpc=GrpcSettings(port=0))
    broker = MemoryBroker()
    serving, calling = MemoryTransport(broker), MemoryTransport(broker)
    server, channel = Server(serving), Channel(calling)
    await server.add(EchoActor(), EchoService.INFO)
    await server.add(OneModel(), ModelService.INFO)
    blobs = BlobActor(BlobSettings(min_free_bytes=0), tmp_path / "hub")
    await blobs.start()
    await server.add(blobs, BlobService.INFO)
    await server.add(TwoWeights(), WeightsService.INFO)
    await server.add(SmallStage(), GpuService.INFO, "local")
    await server.add(TwoJobs(), JobService.INFO)
    await channel.start()
    locations = RememberedLocations(MemoryLocations())
    hub = Hub(settings, calling, channel, Catalog(), Access(settings.auth), Limits(settings.limits), locations)
    rpc = GrpcServer(hub)
    await rpc.start()
    yield f"127.0.0.1:{rpc.port}"
    await rpc.stop(0.1)
    await locations.close()
    await channel.close()
    await server.drain(grace=0.1)
    await blobs.stop()
    await serving.close()
    await calling.close()
