"""Two machines on one bus: each stage has its own memory, and a model's place is asked of its family's machine."""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest

from bus import RpcError
from bus.channel import Channel
from bus.resolver import resolver
from bus.testing import NatsServer
from bus.transports.nats import NatsTransport
from host.member import method_of
from troupe.chat.v1 import ChatServiceClient, CompleteRequest
from troupe.gpu.v1 import GpuServiceClient, WatchRequest, WatchResponse
from troupe.model.v1 import ModelServiceClient, UnloadModelRequest

from .test_stage_on_the_hub import TINY, size_of_one

PATIENCE_SECONDS = 240
SETTINGS = """
[actors.gpu]
machine = "{machine}"

[[actors.gpu.devices]]
name = "{machine}-card"
kind = "fixed"
memory = {memory}

[actors.llama]
preload = []
"""
HERE, ATTIC = "local", "attic"


@asynccontextmanager
async def machine(home: Path, name: str, memory: int, url: str, actors: Sequence[str]) -> AsyncIterator[None]:
    """Processes that are told to be on a machine of this name."""
    (home / "troupe.toml").write_text(SETTINGS.format(machine=name, memory=memory))
    own = {**os.environ, "TROUPE_HOME": str(home), "TROUPE_CONFIG": str(home / "troupe.toml"), "NATS_URL": url}
    processes = []
    try:
        with (home / "log").open("wb") as log:
            for actor in actors:
                command = (sys.executable, "-m", "actors", actor)
                process = await asyncio.create_subprocess_exec(*command, env=own, stdout=log, stderr=log)
                processes.append(process)
        yield
    finally:
        for process in processes:
            with suppress(ProcessLookupError):
                process.terminate()
        await asyncio.gather(*(process.wait() for process in processes))


class Bus:
    """Whoever calls."""

    def __init__(self, channel: Channel) -> None:
        self.chat = ChatServiceClient(channel)
        self.models = ModelServiceClient(channel)
        self._gpu = GpuServiceClient(channel)

    async def picture(self, name: str) -> WatchResponse:
        """What a machine's stage shows, once it is there."""
        while True:
            with suppress(RpcError):
                async for response in self._gpu.watch(WatchRequest(machine=name, once=True)):
                    if response.devices:
                        return response
            await asyncio.sleep(0.1)

    async def say(self, model: str) -> str:
        request = CompleteRequest(model=model, prompt="The hub", max_tokens=8)
        return "".join([each.delta.text async for each in self.chat.complete(request)])


@pytest.fixture
async def bus(nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[Bus]:
    homes = {name: tmp_path / name for name in (HERE, ATTIC)}
    for home in homes.values():
        (home / "models").mkdir(parents=True)
    for name in ("ada", "bea"):
        shutil.copy(TINY, homes[ATTIC] / "models" / f"{name}.gguf")
    one = size_of_one(homes[ATTIC], "ada")
    async with AsyncExitStack() as stack, asyncio.timeout(PATIENCE_SECONDS):
        transport = await NatsTransport.connect(nats_server.url, "caller-1")
        stack.push_async_callback(transport.close)
        channel = Channel(transport)
        stack.push_async_callback(channel.close)
        channel.resolver = resolver(channel, method_of)
        await stack.enter_async_context(machine(homes[HERE], HERE, one // 2, nats_server.url, ["gpu", "models"]))
        attic = machine(homes[ATTIC], ATTIC, int(one * 1.5 / 0.8), nats_server.url, ["gpu", "llama"])
        await stack.enter_async_context(attic)
        yield Bus(channel)


async def test_models_of_the_second_machine_take_its_memory_and_wait_for_it(bus: Bus) -> None:
    here, attic = await bus.picture(HERE), await bus.picture(ATTIC)
    assert [device.name for device in here.devices] == ["local-card"]
    assert [device.name for device in attic.devices] == ["attic-card"]
    while list((await bus.picture(HERE)).machines) != [ATTIC, HERE]:
        await asyncio.sleep(0.1)
    assert await bus.say("ada")
    assert [lease.name for lease in (await bus.picture(ATTIC)).leases] == ["llama/ada"]
    assert await bus.say("bea")  # which has to wait for ada to go
    attic = await bus.picture(ATTIC)
    assert [lease.name for lease in attic.leases] == ["llama/bea"]
    decided = [(each.what, each.name) for each in attic.decisions]
    assert decided.index(("waits", "llama/bea")) < decided.index(("revoked", "llama/ada")) + 2
    assert ("placed", "llama/bea") in decided, "its place was asked for before its process was started"
    here = await bus.picture(HERE)
    assert not here.leases and not here.decisions
    await bus.models.unload_model(UnloadModelRequest(name="bea"))
    while (await bus.picture(ATTIC)).leases:
        await asyncio.sleep(0.1)
