"""A model's own process, on a real NATS server: it serves, comes back when it is killed, and ends with its parent."""

import asyncio
import os
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import psutil
import pytest

from actors.llama.actor import LlamaActor
from actors.llama.settings import LlamaSettings
from actors.model import checks
from actors.model.launcher import Subprocess, SubprocessLauncher
from actors.models.actor import ModelsActor, ModelsSettings
from bus import RpcError, subjects
from bus.transports import Message
from host.embedded import EmbeddedServer
from host.member import Member
from host.metrics import gather
from host.settings import load
from troupe.chat.v1 import ChatServiceClient, CompleteRequest
from troupe.family.v1 import FamilyService, FamilyServiceClient, WatchModelsRequest
from troupe.model.v1 import (
    GetModelRequest,
    Health,
    HealthState,
    LoadModelRequest,
    ModelService,
    ModelServiceClient,
    ModelState,
    UnloadModelRequest,
)

SETTINGS = LlamaSettings(preload=[], threads=1, spare=False)


class RememberingLauncher(SubprocessLauncher):
    """Keeps the processes that it started."""

    def __init__(self, home: Path) -> None:
        super().__init__("actors.llama.worker", {"TROUPE_HOME": str(home), "TROUPE_CONFIG": "", "NATS_URL": ""})
        self.processes: list[Subprocess] = []
        self._started = asyncio.Condition()

    async def launch(self, name: str, path: Path, instance: str) -> Subprocess:
        process = await super().launch(name, path, instance)
        self.processes.append(process)
        async with self._started:
            self._started.notify_all()
        return process

    async def wait_for(self, count: int) -> None:
        async with asyncio.timeout(30), self._started:
            await self._started.wait_for(lambda: len(self.processes) >= count)


class Hub:
    """A bus, the family's actor, and clients."""

    def __init__(self, home: Path, member: Member, actor: LlamaActor, launcher: RememberingLauncher) -> None:
        self.home = home
        self.member = member
        self.actor = actor
        self.launcher = launcher
        self.models = ModelServiceClient(member.channel)
        self.chat = ChatServiceClient(member.channel)

    async def load(self, name: str) -> ModelState:
        async with asyncio.timeout(30):
            responses = [each async for each in self.models.load_model(LoadModelRequest(name=name))]
        return responses[-1].model.state

    async def complete(self, name: str) -> str:
        text = ""
        request = CompleteRequest(model=name, prompt="Hello", max_tokens=5)
        async with asyncio.timeout(30):
            async for response in self.chat.complete(request):
                text += response.delta.text
        return text


@asynccontextmanager
async def running(models: Path, home: Path, own: LlamaSettings) -> AsyncIterator[Hub]:
    shutil.copytree(models, home / "models")
    async with EmbeddedServer(home):
        settings = load(environ={"TROUPE_HOME": str(home)})
        launcher = RememberingLauncher(home)
        async with Member(settings, "llama") as member, LlamaActor(own, home, launcher, member) as actor:
            member.heart.trouble = actor.trouble  # as the runner does
            await member.serve(actor, FamilyService.INFO, "llama")
            front = ModelsActor(ModelsSettings(families=["llama"]), member.channel, member.transport, patience=0)
            await front.start()
            await member.serve(front, ModelService.INFO)
            yield Hub(home, member, actor, launcher)
            await front.stop()
            await member.drain(1)


@pytest.fixture
async def hub(models: Path, tmp_path: Path) -> AsyncIterator[Hub]:
    async with running(models, tmp_path, SETTINGS) as hub:
        yield hub


async def test_a_model_that_was_unloaded_is_gone_until_the_next_call_for_it(hub: Hub) -> None:
    assert await hub.load("fixture") == ModelState.MODEL_STATE_READY
    assert await hub.complete("fixture")
    await hub.models.unload_model(UnloadModelRequest(name="fixture"))
    assert (await hub.launcher.processes[0].ended()).why == "it ended with code 0"
    told = await hub.models.get_model(GetModelRequest(name="fixture"))
    assert told.model.state == ModelState.MODEL_STATE_AVAILABLE
    assert await hub.complete("fixture")
    assert len(hub.launcher.processes) == 2


async def test_a_loaded_model_is_tried_and_found_healthy(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "FIRST_SECONDS", 0.0)
    await hub.load("fixture")
    client, found = FamilyServiceClient(hub.member.channel), list[Health]()
    async with asyncio.timeout(30), aclosing(client.watch_models(WatchModelsRequest(family="llama"))) as changes:
        async for change in changes:
            found = [model.health for model in change.models if model.HasField("health")]
            if found:
                break
    assert [health.state for health in found] == [HealthState.HEALTH_STATE_HEALTHY]
    assert found[0].latency.ToNanoseconds() > 0


async def test_a_model_whose_name_has_a_dot_is_loaded_as_any_other(hub: Hub) -> None:
    shutil.copy(hub.home / "models" / "fixture.gguf", hub.home / "models" / "fixture.v1@x.gguf")
    assert await hub.load("fixture.v1@x") == ModelState.MODEL_STATE_READY
    assert await hub.complete("fixture.v1@x")


async def test_a_killed_process_is_started_again_and_serves(hub: Hub) -> None:
    await hub.load("fixture")
    os.kill(hub.launcher.processes[0].pid, signal.SIGKILL)
    await hub.launcher.wait_for(2)
    assert await hub.load("fixture") == ModelState.MODEL_STATE_READY
    assert await hub.complete("fixture")


async def test_a_process_that_is_killed_while_it_loads_is_tried_once_more_for_the_same_call(hub: Hub) -> None:
    notes: list[str] = []

    async def load() -> ModelState:
        async for response in hub.models.load_model(LoadModelRequest(name="fixture")):
            notes.append(response.progress.note)
        return response.model.state

    loading = asyncio.create_task(load())
    await hub.launcher.wait_for(1)
    os.kill(hub.launcher.processes[0].pid, signal.SIGKILL)
    async with asyncio.timeout(60):
        assert await loading == ModelState.MODEL_STATE_READY
    assert "Loading fixture again: it was ended by SIGKILL." in notes
    assert len(hub.launcher.processes) == 2
    assert await hub.complete("fixture")


async def test_a_file_that_llama_cpp_refuses_fails_with_a_sentence_and_nothing_else_suffers(hub: Hub) -> None:
    await hub.load("fixture")
    content = bytearray((hub.home / "models" / "fixture-b.gguf").read_bytes())
    content = content.replace(b"blk.0.attn_q.weight", b"blk.0.attn_x.weight")
    (hub.home / "models" / "odd.gguf").write_bytes(content)
    with pytest.raises(RpcError) as refusal:
        await hub.load("odd")
    assert refusal.value.reason == "MODEL_LOAD_FAILED"
    assert "llama.cpp cannot load odd.gguf: " in refusal.value.message
    assert "blk.0.attn_" in refusal.value.message
    assert await hub.complete("fixture")


async def test_a_process_ends_when_its_parent_closes_its_input(hub: Hub) -> None:
    process = await hub.launcher.launch("fixture", hub.home / "models" / "fixture.gguf", "abc")
    said = []
    async with asyncio.timeout(30):
        async for report in process.reports():
            said.append(report.state)
            if report.state == "ready":
                process.terminate()
    assert said[-1] == "ready"
    assert (await process.ended()).why == "it ended with code 0"


async def test_a_process_without_a_bus_ends_with_a_sentence(models: Path, tmp_path: Path) -> None:
    process = await RememberingLauncher(tmp_path).launch("fixture", models / "fixture.gguf", "abc")
    async with asyncio.timeout(30):
        [word] = [report.how.note async for report in process.reports()]
    assert word.startswith("No hub runs in ")
    assert (await process.ended()).why == "it ended with code 1"


async def test_a_process_that_was_stopped_is_replaced_in_three_seconds_and_its_callers_are_told(hub: Hub) -> None:
    await hub.load("fixture")
    first, began = hub.launcher.processes[0], time.monotonic()
    gone: asyncio.Queue[Message] = asyncio.Queue()
    await hub.member.transport.subscribe(subjects.GONE, gone.put_nowait)
    os.kill(first.pid, signal.SIGSTOP)
    async with asyncio.timeout(30):
        assert "llama-fixture-" in (await gone.get()).subject
        await hub.launcher.wait_for(2)
    assert time.monotonic() - began < 3 * patience()
    model = (await hub.models.get_model(GetModelRequest(name="fixture"))).model
    assert model.state == ModelState.MODEL_STATE_LOADING
    assert model.error.startswith("killed: it was stopped and told nothing for ")
    assert hub.member.heart.trouble() == f"fixture is started again: {model.error}."
    assert await hub.load("fixture") == ModelState.MODEL_STATE_READY
    assert hub.member.heart.trouble() == ""
    assert await hub.complete("fixture")


async def test_a_spare_process_becomes_a_model_like_any_other_and_is_started_again_when_it_is_killed(
    models: Path, tmp_path: Path
) -> None:
    async with asyncio.timeout(90), running(models, tmp_path, LlamaSettings(preload=[], threads=1)) as hub:
        spare, changed = hub.actor._spare, asyncio.Event()
        assert spare is not None
        spare.on_change = changed.set
        assert await hub.load("fixture") == ModelState.MODEL_STATE_READY
        while not (taken := spare.pid):
            changed.clear()
            await changed.wait()
        assert b"troupe_spare_process_bytes" in await gather(hub.member.transport, expected=2)
        assert await hub.load("fixture-b") == ModelState.MODEL_STATE_READY
        assert await hub.complete("fixture-b")
        assert len(hub.launcher.processes) == 1
        words = [word for word in psutil.Process(taken).cmdline() if word]
        assert words[1:5] == ["-m", "actors.llama.worker", "--model", "fixture-b"]
        os.kill(taken, signal.SIGKILL)
        assert await hub.complete("fixture-b")


def patience() -> float:
    """How many times longer a loaded machine may take."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends children with their parent on Linux")
async def test_a_stopped_model_does_not_outlive_a_killed_family(hub: Hub) -> None:
    text = (
        "import asyncio, pathlib, sys\n"
        "from actors.model.launcher import SubprocessLauncher\n"
        "async def main():\n"
        "    launcher = SubprocessLauncher('actors.llama.worker')\n"
        "    process = await launcher.launch('fixture', pathlib.Path(sys.argv[1]), 'abc')\n"
        "    print(process.pid, flush=True)\n"
        "    async for report in process.reports():\n"
        "        print(report.state, flush=True)\n"
        "asyncio.run(main())\n"
    )
    family = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", text, str(hub.home / "models" / "fixture.gguf")),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "TROUPE_HOME": str(hub.home), "TROUPE_CONFIG": "", "NATS_URL": ""},
    )
    assert family.stdout is not None
    async with asyncio.timeout(30):
        worker = psutil.Process(int(await family.stdout.readline()))
        while (await family.stdout.readline()) != b"ready\n":
            pass
    worker.suspend()
    family.kill()
    await family.communicate()
    _, alive = await asyncio.to_thread(psutil.wait_procs, [worker], 10)
    assert alive == []
