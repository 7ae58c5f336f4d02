"""The family's actor: what it lists, and that it starts a process for a model, with no library in its own."""

import asyncio
import sys
from pathlib import Path

import pytest

from actors.model.launcher import WorkerProcess
from actors.transformers.actor import TransformersActor
from actors.transformers.settings import TransformersSettings
from bus import RpcError
from bus.channel import Channel
from bus.server import Server
from bus.transports.memory import MemoryBroker, MemoryTransport
from troupe.family.v1 import FamilyService, FamilyServiceClient, ListModelsRequest, StartModelRequest
from troupe.model.v1 import ModelState


class Idle:
    """Starts nothing."""

    def __init__(self) -> None:
        self.wanted: list[tuple[str, Path]] = []

    async def launch(self, name: str, path: Path, instance: str) -> WorkerProcess:
        self.wanted.append((name, path))
        raise OSError("there are no processes here")


async def test_it_lists_its_models_and_starts_the_process_of_one(folders: Path) -> None:
    launcher, broker = Idle(), MemoryBroker()
    async with TransformersActor(TransformersSettings(), folders, launcher) as actor:
        server = Server(MemoryTransport(broker))
        await server.add(actor, FamilyService.INFO, "transformers")
        client = FamilyServiceClient(Channel(MemoryTransport(broker)))
        models = (await client.list_models(ListModelsRequest(family="transformers"))).models
        assert [model.name for model in models] == ["chat", "encoder", "sliding"]
        assert {model.state for model in models} == {ModelState.MODEL_STATE_AVAILABLE}
        start = StartModelRequest(family="transformers", model="chat")
        with pytest.raises(RpcError, match="no processes here"):
            _ = [each async for each in client.start_model(start)]
        await server.drain(1)
    assert launcher.wanted == [("chat", folders / "models" / "chat")]


async def test_its_own_process_needs_no_torch() -> None:
    script = (
        "import sys, actors.transformers.actor, actors.transformers.worker;"
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers', 'tokenizers')))"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script)
    assert await process.wait() == 0
