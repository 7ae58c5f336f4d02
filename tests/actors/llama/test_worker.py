"""A model's own process, on a real NATS server: it serves, comes back when it is killed, and ends with its parent."""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from actors.llama.actor import LlamaActor
from actors.llama.launcher import Subprocess, SubprocessLauncher
from actors.llama.settings import LlamaSettings
from actors.models.actor import ModelsActor, ModelsSettings
from bus import RpcError
from bus.channel import Channel
from bus.server import Server
from host.embedded import EmbeddedServer, connect
from host.settings import load
from troupe.chat.v1 import ChatServiceClient, CompleteRequest
from troupe.family.v1 import FamilyService
from troupe.model.v1 import LoadModelRequest, ModelService, ModelServiceClient, ModelState, UnloadModelRequest

SETTINGS = LlamaSettings(preload=[], threads=1)


class RememberingLauncher(SubprocessLauncher):
    """Keeps the processes that it started."""

    def __init__(self, home: Path) -> None:
        super().__init__({"TROUPE_HOME": str(home), "TROUPE_CONFIG": "", "NATS_URL": ""})
        self.processes: list[Subprocess] = []
        self._started = asyncio.Condition()

    async def launch(self, name: str, path: Path) -> Subprocess:
        process = await super().launch(name, path)
        self.processes.append(process)
        async with self._started:
            self._started.notify_all()
        return process

    async def wait_for(self, count: int) -> None:
        async with asyncio.timeout(30), self._started:
            await self._started.wait_for(lambda: len(self.processes) >= count)


class Hub:
    """A bus, the family's actor, and clients."""

    def __init__(self, home: Path, channel: Channel, launcher: RememberingLauncher) -> None:
        self.home = home
        self.launcher = launcher
        self.models = ModelServiceClient(channel)
        self.chat = ChatServiceClient(channel)

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


@pytest.fixture
async def hub(models: Path, tmp_path: Path) -> AsyncIterator[Hub]:
    shutil.copytree(models, tmp_path / "models")
    async with EmbeddedServer(tmp_path):
        settings = load(environ={"TROUPE_HOME": str(tmp_path)})
        transport = await connect(settings, "test")
        launcher = RememberingLauncher(tmp_path)
        server = Server(transport)
        async with LlamaActor(SETTINGS, tmp_path, launcher) as actor:
            await server.add(actor, FamilyService.INFO, "llama")
            channel = Channel(transport)
            front = ModelsActor(ModelsSettings(families=["llama"]), channel, transport, patience=0)
            await front.start()
            await server.add(front, ModelService.INFO)
            yield Hub(tmp_path, channel, launcher)
            await server.drain(1)
            await front.stop()
        await transport.close()


async def test_a_loaded_model_answers_under_its_name_until_it_is_unloaded(hub: Hub) -> None:
    assert await hub.load("fixture") == ModelState.MODEL_STATE_READY
    assert await hub.complete("fixture")
    await hub.models.unload_model(UnloadModelRequest(name="fixture"))
    assert hub.launcher.processes[0].ending == "it ended with code 0"
    with pytest.raises(RpcError) as refusal:
        await hub.complete("fixture")
    assert refusal.value.reason == "NO_RESPONDERS"


async def test_a_killed_process_is_started_again_and_serves(hub: Hub) -> None:
    await hub.load("fixture")
    os.kill(hub.launcher.processes[0].pid, signal.SIGKILL)
    await hub.launcher.wait_for(2)
    assert await hub.load("fixture") == ModelState.MODEL_STATE_READY
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
    process = await hub.launcher.launch("fixture", hub.home / "models" / "fixture.gguf")
    said = []
    async with asyncio.timeout(30):
        async for report in process.reports():
            said.append(report.state)
            if report.state == "ready":
                await process.stop(5)
    assert said[-1] == "ready"
    assert process.ending == "it ended with code 0"


async def test_a_process_without_a_bus_ends_with_a_sentence(models: Path, tmp_path: Path) -> None:
    process = await RememberingLauncher(tmp_path).launch("fixture", models / "fixture.gguf")
    async with asyncio.timeout(30):
        assert [report async for report in process.reports()] == []
    assert process.ending == "it ended with code 1"
