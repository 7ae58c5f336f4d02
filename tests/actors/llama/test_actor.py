"""The family's actor: its list, and the life of its models' processes."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Self

import pytest

from actors.llama.actor import LlamaActor
from actors.llama.footprint import Footprint, KnownFootprint, here
from actors.llama.settings import LlamaSettings
from actors.model.launcher import Report
from actors.model.memory import CELL_OBJECTS
from actors.model.refusals import load_failed
from bus import RpcError
from bus.channel import Channel
from bus.server import Server
from bus.transports.memory import MemoryBroker, MemoryTransport
from host.driver import Ending
from troupe.family.v1 import (
    DescribeModelRequest,
    FamilyService,
    FamilyServiceClient,
    ListModelsRequest,
    Needs,
    StartModelRequest,
    StartModelResponse,
    StopModelRequest,
)
from troupe.model.v1 import Model, ModelState
from troupe.rpc.v1 import Progress

NO_PID = 1 << 23
"""No process has such a number."""


class FakeProcess:
    """A process that says what it is told to say."""

    def __init__(self, pid: int) -> None:
        self.said: asyncio.Queue[Report | None] = asyncio.Queue()
        self.pid = pid
        self.ending = ""
        self.stopped = False

    def say(self, *reports: Report) -> None:
        for report in reports:
            self.said.put_nowait(report)

    def end(self, ending: str) -> None:
        self.ending = ending
        self.said.put_nowait(None)

    async def reports(self) -> AsyncIterator[Report]:
        while (report := await self.said.get()) is not None:
            yield report

    async def ended(self) -> Ending:
        return Ending(self.ending, "SIGKILL" in self.ending)

    def terminate(self) -> None:
        self.stopped = True
        self.end("it ended with code 0")

    def kill(self) -> None:
        self.stopped = True
        self.end("it was ended by SIGKILL")


class FakeLauncher:
    """Counts what is started; `script` is run on each new process."""

    def __init__(self, script: Callable[[FakeProcess, int], None]) -> None:
        self._script = script
        self._started = asyncio.Condition()
        self.processes: list[FakeProcess] = []

    async def launch(self, name: str, path: Path, instance: str) -> FakeProcess:
        process = FakeProcess(NO_PID + len(self.processes))
        self.processes.append(process)
        self._script(process, len(self.processes))
        async with self._started:
            self._started.notify_all()
        return process

    async def wait_for(self, count: int) -> None:
        async with asyncio.timeout(5), self._started:
            await self._started.wait_for(lambda: len(self.processes) >= count)


def serving(process: FakeProcess, _: int) -> None:
    process.say(Report.loading(Progress(state=Progress.STATE_LOADING, fraction=0.5)), Report.ready())


def silent(process: FakeProcess, _: int) -> None:
    """Loads for ever."""


class Hall:
    """An actor on an in-memory bus, in a home with the fixture models."""

    def __init__(self, home: Path, launcher: FakeLauncher, **settings: object) -> None:
        given = {"preload": [], "max_restarts": 2, **settings}
        KnownFootprint(home, lambda: Footprint(process=50_000_000, on=here())).get()
        self.launcher = launcher
        self.actor = LlamaActor(LlamaSettings(**given), home, launcher)  # type: ignore[arg-type]
        broker = MemoryBroker()
        self.server = Server(MemoryTransport(broker))
        self.client = FamilyServiceClient(Channel(MemoryTransport(broker)))

    async def __aenter__(self) -> Self:
        await self.actor.__aenter__()
        await self.server.add(self.actor, FamilyService.INFO, "llama")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.server.drain(1)
        await self.actor.__aexit__()

    async def load(self, name: str) -> list[StartModelResponse]:
        request = StartModelRequest(family="llama", model=name)
        async with asyncio.timeout(5):
            return [response async for response in self.client.start_model(request)]

    async def stop(self, name: str) -> None:
        await self.client.stop_model(StopModelRequest(family="llama", model=name))

    async def models(self) -> list[Model]:
        return list((await self.client.list_models(ListModelsRequest(family="llama"))).models)

    async def model(self, name: str) -> Model:
        return (await self.client.describe_model(DescribeModelRequest(family="llama", model=name))).model

    async def needs(self, name: str) -> Needs:
        return (await self.client.describe_model(DescribeModelRequest(family="llama", model=name))).needs

    async def until(self, name: str, state: ModelState) -> Model:
        async with asyncio.timeout(5):
            while (model := await self.model(name)).state != state:
                pass
        return model


@pytest.fixture
def home(models: Path, tmp_path: Path) -> Path:
    """A home with two models, an adapter among them, and a damaged file."""
    folder = tmp_path / "models"
    shutil.copytree(models, folder)
    (folder / "broken.gguf").write_bytes((models / "fixture.gguf").read_bytes()[:50_000])
    (tmp_path / "adapters").mkdir()
    shutil.copy(models / "fixture-lora.gguf", tmp_path / "adapters" / "pirate.gguf")
    return tmp_path


async def test_the_list_names_what_can_be_called(home: Path) -> None:
    async with Hall(home, FakeLauncher(serving)) as hall:
        models = await hall.models()
    assert [model.name for model in models] == ["broken", "fixture", "fixture-b", "troupe-tiny"]
    fixture = models[1]
    assert (fixture.architecture, fixture.quantization, fixture.family) == ("llama", "Q8_0", "llama")
    assert fixture.state == ModelState.MODEL_STATE_AVAILABLE
    assert list(fixture.adapters) == ["pirate"]
    assert list(fixture.services) == ["troupe.chat.v1.ChatService", "troupe.embedding.v1.EmbeddingService"]
    assert (fixture.owner, models[3].owner) == ("user", "troupe")
    assert fixture.context_tokens == 2048 and fixture.size_bytes > 0 and fixture.modified.seconds > 0


async def test_what_a_model_needs_is_told_from_its_file(home: Path) -> None:
    async with Hall(home, FakeLauncher(serving), cache_tokens=4096) as hall:
        request = DescribeModelRequest(family="llama", model="fixture")
        answer = await hall.client.describe_model(request)
        broken = await hall.client.describe_model(DescribeModelRequest(family="llama", model="broken"))
    needs = answer.needs
    assert 0.9 * answer.model.size_bytes < needs.weights_bytes < answer.model.size_bytes, "all but the header"
    layers, kept, embedding = 2, 2 * 2 * 16 * 2, 2048 + 512
    assert needs.cache_bytes == (4096 + embedding) * (layers * kept + CELL_OBJECTS)
    assert 50_000_000 < needs.process_bytes < 52_000_000 and needs.later_bytes > 0, "an adapter may come"
    whole, *less = needs.ways
    parts = needs.weights_bytes + needs.cache_bytes + needs.working_bytes + needs.process_bytes + needs.later_bytes
    assert whole.host_bytes == parts and whole.note == ""
    assert all(way.host_bytes < whole.host_bytes and way.note for way in less) and less
    assert broken.needs == Needs()


async def test_what_is_measured_is_told_by_the_same_name_whatever_the_file_is_called(home: Path, models: Path) -> None:
    shutil.copy(models / "fixture.gguf", home / "models" / "again.gguf")
    async with Hall(home, FakeLauncher(serving)) as hall, Hall(home, FakeLauncher(serving), slots=3) as other:
        keys = {name: (await hall.needs(name)).key for name in ("fixture", "again", "troupe-tiny")}
        assert keys["fixture"] == keys["again"] != keys["troupe-tiny"]
        assert (await other.needs("fixture")).key not in keys.values()


async def test_a_damaged_file_is_listed_with_what_is_wrong_and_cannot_be_loaded(home: Path) -> None:
    async with Hall(home, FakeLauncher(serving)) as hall:
        model = await hall.model("broken")
        assert model.state == ModelState.MODEL_STATE_FAILED
        assert "incomplete" in model.error and not model.services
        with pytest.raises(RpcError) as refusal:
            await hall.load("broken")
    assert refusal.value.reason == "MODEL_LOAD_FAILED"
    assert refusal.value.message == model.error
    assert hall.launcher.processes == []


async def test_a_file_that_was_replaced_is_read_again(home: Path, models: Path) -> None:
    async with Hall(home, FakeLauncher(serving)) as hall:
        await hall.model("broken")
        shutil.copy(models / "fixture.gguf", home / "models" / "broken.gguf")
        assert (await hall.model("broken")).state == ModelState.MODEL_STATE_AVAILABLE


async def test_an_unknown_model_is_refused_with_the_nearest_names(home: Path) -> None:
    async with Hall(home, FakeLauncher(serving)) as hall:
        with pytest.raises(RpcError) as refusal:
            await hall.load("fixtur")
    assert refusal.value.reason == "MODEL_NOT_FOUND"
    assert "fixture" in refusal.value.message and refusal.value.metadata["nearest"]


async def test_loading_tells_its_progress_and_ends_with_the_model(home: Path) -> None:
    async with Hall(home, FakeLauncher(serving)) as hall:
        *progress, last = await hall.load("fixture")
        assert last.model.state == ModelState.MODEL_STATE_READY
        assert all(each.progress.note for each in progress) and progress
        assert len(await hall.load("fixture")) == 1
    assert len(hall.launcher.processes) == 1


async def test_callers_who_want_the_same_model_share_one_loading(home: Path) -> None:
    launcher = FakeLauncher(silent)
    async with Hall(home, launcher) as hall:
        loads = [asyncio.create_task(hall.load("fixture")) for _ in range(5)]
        await launcher.wait_for(1)
        launcher.processes[0].say(Report.ready())
        results = await asyncio.gather(*loads)
    assert all(result[-1].model.state == ModelState.MODEL_STATE_READY for result in results)
    assert len(launcher.processes) == 1


async def test_loading_goes_on_when_who_asked_for_it_leaves(home: Path) -> None:
    launcher = FakeLauncher(silent)
    async with Hall(home, launcher) as hall:
        load = asyncio.create_task(hall.load("fixture"))
        await launcher.wait_for(1)
        load.cancel()
        launcher.processes[0].say(Report.ready())
        await hall.until("fixture", ModelState.MODEL_STATE_READY)
        assert not launcher.processes[0].stopped


async def test_what_the_process_says_of_a_bad_file_reaches_the_caller(home: Path) -> None:
    def refusing(process: FakeProcess, _: int) -> None:
        process.say(Report.failed(load_failed("fixture", "There is no such tensor.")))
        process.end("it ended with code 1")

    launcher = FakeLauncher(refusing)
    async with Hall(home, launcher) as hall:
        with pytest.raises(RpcError, match=r"no such tensor\.") as refusal:
            await hall.load("fixture")
        assert (await hall.model("fixture")).state == ModelState.MODEL_STATE_FAILED
    assert refusal.value.reason == "MODEL_LOAD_FAILED"
    assert len(launcher.processes) == 1


async def test_a_process_that_dies_while_it_loads_fails_the_model_at_once(home: Path) -> None:
    launcher = FakeLauncher(lambda process, _: process.end("it was ended by SIGABRT"))
    async with Hall(home, launcher) as hall:
        with pytest.raises(RpcError, match="SIGABRT"):
            await hall.load("fixture")
    assert len(launcher.processes) == 1


async def test_a_model_that_crashes_comes_back(home: Path) -> None:
    launcher = FakeLauncher(serving)
    async with Hall(home, launcher) as hall:
        await hall.load("fixture")
        launcher.processes[0].end("it was ended by SIGSEGV")
        await launcher.wait_for(2)
        await hall.until("fixture", ModelState.MODEL_STATE_READY)


async def test_a_model_that_keeps_crashing_is_given_up_with_the_reason(home: Path) -> None:
    def crashing(process: FakeProcess, number: int) -> None:
        process.say(Report.ready())
        if number > 1:
            process.end("it was ended by SIGSEGV")

    launcher = FakeLauncher(crashing)
    async with Hall(home, launcher) as hall:
        await hall.load("fixture")
        launcher.processes[0].end("it was ended by SIGSEGV")
        model = await hall.until("fixture", ModelState.MODEL_STATE_FAILED)
    assert "SIGSEGV" in model.error
    assert len(launcher.processes) == 3


async def test_a_model_that_was_given_up_can_be_loaded_again(home: Path) -> None:
    def once(process: FakeProcess, number: int) -> None:
        if number == 1:
            process.end("it was ended by SIGABRT")
        else:
            process.say(Report.ready())

    async with Hall(home, FakeLauncher(once)) as hall:
        with pytest.raises(RpcError):
            await hall.load("fixture")
        assert (await hall.load("fixture"))[-1].model.state == ModelState.MODEL_STATE_READY


async def test_a_model_that_does_not_load_in_time_has_failed(home: Path) -> None:
    async with Hall(home, FakeLauncher(silent), load_seconds=0.01) as hall:
        with pytest.raises(RpcError, match="was not loaded within"):
            await hall.load("fixture")
        assert hall.launcher.processes[0].stopped


async def test_unloading_ends_the_process_and_may_be_repeated(home: Path) -> None:
    async with Hall(home, FakeLauncher(serving)) as hall:
        await hall.load("fixture")
        for _ in range(2):
            await hall.stop("fixture")
        assert hall.launcher.processes[0].stopped
        assert (await hall.model("fixture")).state == ModelState.MODEL_STATE_AVAILABLE
        assert (await hall.load("fixture"))[-1].model.state == ModelState.MODEL_STATE_READY
    assert len(hall.launcher.processes) == 2


async def test_models_named_in_the_settings_are_loaded_at_start_and_ended_at_the_end(home: Path) -> None:
    launcher = FakeLauncher(serving)
    async with Hall(home, launcher, preload=["fixture", "missing"]) as hall:
        await hall.until("fixture", ModelState.MODEL_STATE_READY)
    assert [process.stopped for process in launcher.processes] == [True]
