"""What runs in a model's own process: loading is told, the model served, and it ends with its engine or when told."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from actors.model.hosted import NoAdapters
from actors.model.launcher import Report
from actors.model.worker import Leaving, Loading, Work, WorkingEngine, serve
from bus import Code, RpcError
from bus.transports.memory import MemoryBroker, MemoryTransport
from host.member import Member
from host.settings import Settings
from host.watchdog import IDLE, Pulse
from tests.actors.models.words import WordEngine
from troupe.chat.v1 import ChatServiceClient, CompleteRequest
from troupe.family.v1 import Buffer
from troupe.rpc.v1 import Progress


class LoneEngine(WordEngine):
    """An engine of words that has its process for itself."""

    def __init__(self) -> None:
        super().__init__(["a", "b"])
        self.failure: asyncio.Future[RpcError] = asyncio.get_running_loop().create_future()
        self.waiting = 0
        self.closed = False

    def pulse(self) -> Pulse:
        return IDLE

    def memory(self) -> tuple[Sequence[Buffer], int]:
        return [Buffer(kind="compute", place="CPU", bytes=1000, host=True)], 24

    async def close(self) -> None:
        await super().close()
        self.closed = True


class Worker:
    """One process's work, whose reports the test hears."""

    def __init__(self, member: Member) -> None:
        self.member = member
        self.said: asyncio.Queue[Report] = asyncio.Queue()
        self.stop = asyncio.Event()
        self.let = asyncio.Event()
        self.engine: LoneEngine | None = None
        self.error: RpcError | None = None
        self.given_up = False

    async def open_engine(self, progress: Callable[[float], None]) -> WorkingEngine:
        progress(0.5)
        try:
            await self.let.wait()
        except asyncio.CancelledError:
            self.given_up = True
            raise
        if self.error is not None:
            raise self.error
        self.engine = LoneEngine()
        return self.engine

    def start(self) -> "asyncio.Task[None]":
        work = Work("words", "small", self.open_engine, NoAdapters(), load_seconds=60.0, drain_seconds=1.0)
        return asyncio.create_task(serve(self.member, work, self.said.put_nowait, self.stop))


@pytest.fixture
async def worker(tmp_path: Path) -> AsyncIterator[Worker]:
    async with asyncio.timeout(20):
        transport = MemoryTransport(MemoryBroker(), "words-small-1")
        async with Member(Settings(home=tmp_path), "words", transport=transport) as member:
            yield Worker(member)


async def test_it_tells_how_loading_goes_serves_and_frees_its_engine_when_told_to_stop(worker: Worker) -> None:
    serving = worker.start()
    assert (await worker.said.get()).how == Progress(state=Progress.STATE_LOADING, fraction=0.5)
    worker.let.set()
    ready = await worker.said.get()
    assert ready.state == "ready" and ready.takes is not None
    assert ready.takes.host_bytes == ready.takes.resident_bytes + 1024
    chat = ChatServiceClient(worker.member.channel)
    request = CompleteRequest(model="words/small", prompt="a", max_tokens=3)
    assert "".join([each.delta.text async for each in chat.complete(request)]) == "b ? a"
    worker.stop.set()
    await serving
    assert worker.engine is not None and worker.engine.closed


async def test_an_engine_that_fails_ends_it_with_the_engines_error(worker: Worker) -> None:
    serving = worker.start()
    worker.let.set()
    while (await worker.said.get()).state != "ready":
        pass
    assert worker.engine is not None
    worker.engine.failure.set_result(RpcError(Code.INTERNAL, "It broke.", reason="ENGINE_CRASHED"))
    with pytest.raises(RpcError, match="It broke"):
        await serving
    assert worker.engine.closed


async def test_one_that_is_told_to_stop_while_it_loads_gives_up_and_ends_in_order(worker: Worker) -> None:
    serving = worker.start()
    assert (await worker.said.get()).state == "loading"
    worker.stop.set()
    await serving
    assert worker.given_up
    assert worker.said.empty() and worker.member.server.services == []


async def test_what_cannot_be_loaded_is_served_by_nobody(worker: Worker) -> None:
    worker.error = RpcError(Code.FAILED_PRECONDITION, "small is damaged.", reason="MODEL_LOAD_FAILED")
    worker.let.set()
    with pytest.raises(RpcError, match="damaged"):
        await worker.start()
    assert worker.member.server.services == []
    told = [worker.said.get_nowait() for _ in range(worker.said.qsize())]
    assert [report.state for report in told] == ["loading", "failed"]
    assert told[1].why.to_status() == worker.error.to_status()


async def test_where_somebody_is_only_away_the_process_ends_without_having_failed(worker: Worker) -> None:
    worker.error = RpcError(Code.UNAVAILABLE, "Nobody lends memory now.", reason="NO_RESPONDERS")
    worker.let.set()
    with pytest.raises(RpcError, match="lends"):
        await worker.start()
    assert [worker.said.get_nowait().state for _ in range(worker.said.qsize())] == ["loading"]


def test_loading_is_told_in_steps_and_may_stand_still_as_long_as_it_asked_for() -> None:
    said: list[Report] = []
    loading = Loading(said.append, patience=600.0)
    for share in range(1000):
        loading.progress(share / 1000)
    assert 40 <= len(said) <= 51
    assert loading.pulse() == Pulse(len(said), working=True, patience=600.0)


@pytest.mark.parametrize(("within", "seconds"), [(30.0, 28.0), (1.0, 0.0), (0.0, 7.0)])
async def test_running_calls_have_the_stages_time_where_it_takes_the_memory_back(within: float, seconds: float) -> None:
    said: list[Report] = []
    stop = asyncio.Event()
    leaving = Leaving(7.0, said.append, stop)
    assert leaving.seconds() == 7.0
    why = RpcError(Code.UNAVAILABLE, "large needs the memory.", reason="MODEL_UNLOADED")
    leaving.leave(why, within)
    leaving.leave(why, 99.0)  # told again
    assert (leaving.seconds(), stop.is_set(), [report.within for report in said]) == (seconds, True, [within])


def test_reading_from_a_disk_is_the_larger_part_of_a_load_and_waiting_for_it_is_told() -> None:
    said: list[Report] = []
    loading = Loading(said.append, patience=600.0)
    loading.waits_for_disk("Waits for the disk: huge is being read.", 2.5)
    assert not loading.pulse().working
    loading.reads(0.0)
    loading.reads(1.0)
    loading.progress(0.5)
    loading.progress(1.0)
    assert (said[0].how.note, said[0].how.eta.ToSeconds()) == ("Waits for the disk: huge is being read.", 2)
    assert [round(report.how.fraction, 2) for report in said[1:]] == [0.0, 0.9, 0.95, 1.0]


def test_waiting_for_others_is_no_work_that_could_stand_still() -> None:
    said: list[Report] = []
    loading, waiting = Loading(said.append, patience=600.0), Progress(state=Progress.STATE_QUEUED, position=1)
    loading.waits(waiting)
    assert (said[0].how, loading.pulse().working) == (waiting, False)
    loading.progress(0.0)
    assert loading.pulse().working
