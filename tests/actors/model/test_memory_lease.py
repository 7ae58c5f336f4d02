"""Models that lease their memory, in a process of their own or in their family's, on a stage that holds one of them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack

import pytest

from actors.gpu.devices import Budgets
from actors.model import needs as needs_module
from actors.model import worker as worker_module
from actors.model.hosted import HostedModel, NoAdapters
from actors.model.interface import Engine
from actors.model.launcher import Report
from actors.model.memory_lease import shares_of
from actors.model.needs import work_of
from actors.model.refusals import out_of_memory
from actors.model.worker import Work, serve
from bus import Context, RpcError, ServiceInfo
from host.member import Member
from host.watchdog import IDLE as IDLE_PULSE
from host.watchdog import Pulse
from tests.actors.gpu.house import DEVICE, House, Process, house, work
from tests.actors.models.words import WordEngine
from troupe.chat.v1 import ChatServiceClient, CompleteRequest
from troupe.family.v1 import Buffer, DescribeModelRequest, DescribeModelResponse, FamilyService, Measured, Needs, Way
from troupe.gpu.v1 import DemandRequest, DeviceKind, LeaseState
from troupe.model.v1 import ModelState
from troupe.rpc.v1 import Progress

NEEDS = Needs(weights_bytes=60)
MEASURED = 55
"""Bytes that a process says it takes; its real ones are those of the tests."""
AVAILABLE, READY, FAILED = (
    ModelState.MODEL_STATE_AVAILABLE,
    ModelState.MODEL_STATE_READY,
    ModelState.MODEL_STATE_FAILED,
)
IDLE = LeaseState.LEASE_STATE_IDLE


class Saying(FamilyService):
    """A family that says what its models need."""

    needs = NEEDS

    async def describe_model(self, request: DescribeModelRequest, ctx: Context) -> DescribeModelResponse:
        return DescribeModelResponse(needs=self.needs)

    def routes(self, service: ServiceInfo) -> list[str]:
        return ["words"]


class BeatingEngine(WordEngine):
    """One that has a process for itself."""

    def __init__(self) -> None:
        super().__init__(["a", "b"])
        self.failure: asyncio.Future[RpcError] = asyncio.get_running_loop().create_future()
        self.waiting = 0
        self.closed = False

    def pulse(self) -> Pulse:
        return IDLE_PULSE

    def memory(self) -> tuple[Sequence[Buffer], int]:
        return (), 0

    async def close(self) -> None:
        self.closed = True
        await super().close()


@pytest.fixture
async def place(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    monkeypatch.setattr(needs_module, "PROCESS_BYTES", 0)
    monkeypatch.setattr(worker_module, "measured", lambda *_: Measured(host_bytes=MEASURED))
    async with house() as place:
        yield place


@pytest.fixture
async def member(place: House) -> AsyncIterator[Member]:
    async with AsyncExitStack() as stack:
        process = Process(place.broker, "words-1")
        stack.push_async_callback(process.stop)
        await process.start()
        await process.member.serve(Saying(), FamilyService.INFO, "words")
        await process.member.ready()
        yield process.member


class Worker:
    """What a process does that serves one model, and what it says of itself."""

    def __init__(self, member: Member, problem: RpcError | None = None) -> None:
        """problem: with which its engine cannot be opened."""
        self.member = member
        self.problem = problem
        self.stop = asyncio.Event()
        self.said: asyncio.Queue[Report | None] = asyncio.Queue()
        self.engines: list[BeatingEngine] = []

    async def _open(self, progress: Callable[[float], None]) -> BeatingEngine:
        if self.problem is not None:
            raise self.problem
        self.engines.append(BeatingEngine())
        return self.engines[-1]

    async def until(self, state: str) -> Report:
        """What it says when it has come so far."""
        while True:
            report = await self.said.get()
            assert report is not None, "it has ended"
            if report.state == state:
                return report

    def start(self) -> "asyncio.Task[None]":
        running = asyncio.create_task(self._run())
        running.add_done_callback(lambda _: self.said.put_nowait(None))
        return running

    async def _run(self) -> None:
        wanted = Work("words", "small", self._open, NoAdapters(), load_seconds=10, drain_seconds=1)
        await serve(self.member, wanted, self.said.put_nowait, self.stop)


def _how(model: HostedModel) -> tuple[ModelState, str]:
    return model.state, model.error.reason if model.error is not None else ""


async def settled(model: HostedModel) -> tuple[ModelState, str]:
    """How it is when loading is over."""
    async with asyncio.timeout(20):
        async for _ in model.changes():
            pass
    return _how(model)


async def test_a_model_waits_for_its_memory_serves_and_gives_it_back(place: House, member: Member) -> None:
    one = await place.holder()
    worker = Worker(member)
    async with one.lease(work("other", 60)) as lease:
        lease.loaded()
        lease.used(running=1)
        await place.until(lambda picture: bool(picture.leases) and picture.leases[0].running == 1)
        running = worker.start()
        waits = await worker.until("loading")
        assert (waits.how.state, waits.how.position) == (Progress.STATE_QUEUED, 1)
        assert worker.engines == []
    await worker.until("ready")
    picture = await place.until(lambda picture: [each.state for each in picture.leases] == [IDLE])
    assert picture.leases[0].name == "words/small"
    assert [share.bytes for share in picture.leases[0].measured] == [MEASURED]
    worker.stop.set()
    await running
    assert [engine.closed for engine in worker.engines] == [True]
    await place.until(lambda picture: not picture.leases)


async def test_a_model_that_is_told_to_make_room_says_so_and_leaves(place: House, member: Member) -> None:
    worker = Worker(member)
    running = worker.start()
    await worker.until("ready")
    await place.until(lambda picture: [each.state for each in picture.leases] == [IDLE])
    async with place.client.demand(DemandRequest(machine="local", work=work("other", 60))) as demand:
        async for response in demand:
            if response.placed:
                break
    why = (await worker.until("leaving")).why
    assert why.reason == "MODEL_UNLOADED" and "other" in why.message
    await running


async def test_a_model_that_is_stopped_while_it_waits_leaves_the_queue(place: House, member: Member) -> None:
    one = await place.holder()
    worker = Worker(member)
    async with one.lease(work("other", 60)) as lease:
        lease.loaded()
        lease.used(running=1)
        running = worker.start()
        await place.until(lambda picture: bool(picture.wishes))
        worker.stop.set()
        await running
        await place.until(lambda picture: not picture.wishes)


async def test_a_model_that_never_fits_has_failed_with_the_stages_own_words(
    place: House, member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = Worker(member)
    monkeypatch.setattr(Saying, "needs", Needs(weights_bytes=200))
    with pytest.raises(RpcError):
        await worker.start()
    assert (await worker.until("failed")).why.reason == "INSUFFICIENT_MEMORY"


async def test_a_model_in_its_familys_process_leases_and_makes_room(place: House, member: Member) -> None:
    async def open_engine(progress: Callable[[float | Progress], None]) -> Engine:
        return WordEngine(["a", "b"])

    model, changed = HostedModel(member, "words", "hosted", open_engine, grace=1, needs=NEEDS), asyncio.Event()
    model.on_change = changed.set
    await model.start()
    assert await settled(model) == (READY, "")
    chat = ChatServiceClient(member.channel)
    assert [each async for each in chat.complete(CompleteRequest(model="words/hosted", prompt="a", max_tokens=2))]
    await place.until(lambda picture: [each.state for each in picture.leases] == [IDLE])
    async with place.client.demand(DemandRequest(machine="local", work=work("other", 60))) as demand:
        async for response in demand:
            if response.placed:
                break
    await place.until(lambda picture: "words/hosted" not in [each.name for each in picture.leases])
    async with asyncio.timeout(10):
        while _how(model) != (AVAILABLE, "MODEL_UNLOADED"):
            await changed.wait()
            changed.clear()
    await model.start()  # once the place that was kept for the other one is free again
    assert await settled(model) == (READY, "")
    await model.stop()
    assert _how(model) == (AVAILABLE, "")


async def test_one_that_never_fits_there_has_failed_as_itself(place: House, member: Member) -> None:
    async def open_engine(progress: Callable[[float | Progress], None]) -> Engine:
        raise AssertionError("it was not granted")

    model = HostedModel(member, "words", "hosted", open_engine, needs=Needs(weights_bytes=200))
    await model.start()
    assert await settled(model) == (FAILED, "INSUFFICIENT_MEMORY")


def test_what_can_use_an_accelerator_is_placed_on_one() -> None:
    [main] = work_of("llama", "tiny", Needs(weights_bytes=5, cache_bytes=3)).variants[0].sizes
    assert (main.kind, main.bytes) == (DeviceKind.DEVICE_KIND_SYSTEM, needs_module.PROCESS_BYTES + 8)
    work = work_of("llama", "tiny", Needs(weights_bytes=5, cache_bytes=3, accelerator=True))
    assert {size.kind: size.bytes for size in work.variants[0].sizes} == {
        DeviceKind.DEVICE_KIND_NVIDIA: 8,
        DeviceKind.DEVICE_KIND_SYSTEM: needs_module.PROCESS_BYTES,
    }
    assert work.name == "llama/tiny"


def test_a_budget_is_a_source_of_its_own() -> None:
    assert list(Budgets({DEVICE: 1}).devices) == [DEVICE]


def test_what_is_measured_is_told_by_device() -> None:
    asked = work_of("words", "m", Needs(ways=[Way(accelerator_bytes=80, host_bytes=30, spread=True)]))
    takes = Measured(host_bytes=33, accelerator_bytes=60)
    assert shares_of(takes, {"main": 30, "card0": 40, "card1": 40}, asked) == {"main": 33, "card0": 30, "card1": 30}
    assert shares_of(takes, {"budget": 80}, asked) == {"budget": 60}, "a fixed one gives the larger"
    assert shares_of(takes, {}, asked) == shares_of(Measured(), {"main": 30}, asked) == {}


async def test_an_engine_that_gets_no_memory_makes_the_stage_plan_more_and_its_callers_hear_what_takes_less(
    place: House, member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways = [Way(host_bytes=60), Way(host_bytes=30, note="with 1,024 tokens of context")]
    monkeypatch.setattr(Saying, "needs", Needs(weights_bytes=60, ways=ways))
    sizes = []
    for _ in range(3):
        worker = Worker(member, out_of_memory("small", "failed to allocate a buffer"))
        running = worker.start()
        report = await worker.until("failed")
        assert report.why.reason == "INSUFFICIENT_MEMORY"
        assert "failed to allocate" in report.why.message
        assert report.why.metadata["fits"] == "with 1,024 tokens of context"
        sizes.append(int(report.why.metadata["granted"]))
        await asyncio.gather(running, return_exceptions=True)
        await place.until(lambda picture: not picture.leases)
    assert sizes[0] < sizes[1] < sizes[2]
    worker = Worker(member)
    running = worker.start()
    assert (await worker.until("failed")).why.reason == "QUARANTINED"
    await asyncio.gather(running, return_exceptions=True)
    decided = [decision.what for decision in (await place.picture()).decisions]
    assert decided.count("quarantined") == 3
