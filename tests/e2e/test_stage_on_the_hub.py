"""A hub with four models and memory for two: everybody is answered, nothing is over the limit, the busy are left be."""

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from actors.llama.settings import LlamaSettings
from actors.llama.shelf import LlamaShelf
from actors.model.launcher import SubprocessLauncher
from actors.model.needs import work_of
from bus import RpcError
from bus.testing.nats_server import free_port
from forge.architectures import Sizes, llama
from troupe.chat.v1 import CompleteRequest, GrammarFormat, ResponseFormat, Sampling
from troupe.gpu.v1 import LeaseState, WatchRequest, WatchResponse
from troupe.model.v1 import UnloadModelRequest
from troupe_client import Hub, connect

ROOT = Path(__file__).parents[2]
TINY = ROOT / "actors/llama/models/troupe-tiny.gguf"
NAMES = ("one", "qwen2.5-7b", "mô hình @ ba", "four")
"""Such as people give to files."""
START_SECONDS = 90
PATIENCE_SECONDS = 240

SETTINGS = """
[supervisor]
actors = ["gpu", "models", "llama"]

[actors.llama]
preload = []

[[actors.gpu.devices]]
name = "small"
kind = "fixed"
memory = {memory}
"""
HUGE = Sizes(layers=32, width=4096, feed_forward=14336, heads=32, kv_heads=8, head_width=128, vocabulary=4096)
"""Of a model of 7 GB, in a file that has holes instead of weights."""


class StageHub:
    """A hub that runs, and what is seen of its stage."""

    def __init__(self, client: Hub, home: Path, process: asyncio.subprocess.Process) -> None:
        self.client = client
        self.home = home
        self.process = process
        self.seen: list[WatchResponse] = []
        self.new = asyncio.Condition()

    async def watch(self) -> None:
        """Keep everything that the stage shows."""
        while True:
            with suppress(RpcError):
                async for response in self.client.stage.watch(WatchRequest(machine="local")):
                    async with self.new:
                        self.seen.append(response)
                        self.new.notify_all()

    async def until(self, what: str) -> None:
        """Wait until something like this was decided."""
        async with self.new:
            await self.new.wait_for(lambda: what in self.decided())

    async def shows(self, name: str, state: int) -> None:
        """Wait until the stage shows a lease in this state."""
        async with asyncio.timeout(START_SECONDS), self.new:
            await self.new.wait_for(lambda: _state(self.seen[-1], name) == state)

    def decided(self) -> list[str]:
        """All that was decided, with the work's name."""
        return [f"{each.what} {each.name}" for response in self.seen for each in response.decisions]

    async def say(self, model: str) -> str:
        """What a model says, in a few tokens."""
        request = CompleteRequest(model=model, prompt="The hub", max_tokens=8, sampling=Sampling(temperature=0))
        return "".join([each.delta.text async for each in self.client.chat.complete(request)])

    async def say_much(self, model: str) -> None:
        """Let a model say letters for as long as its context holds, eight times over."""
        letters = ResponseFormat(grammar=GrammarFormat(dialect="gbnf", grammar="root ::= [a-z] root"))
        request = CompleteRequest(model=model, prompt="The hub", max_tokens=1900, choices=8, response_format=letters)
        async for _ in self.client.chat.complete(request):
            continue


async def start(home: Path, memory: int, settings: str = SETTINGS) -> tuple[asyncio.subprocess.Process, int]:
    """A hub whose only device has so much memory; its gRPC port."""
    (home / "troupe.toml").write_text(settings.format(memory=memory))
    grpc = free_port()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli", "--config", str(home / "troupe.toml"), "up", "--home", str(home)),
        *("--http-port", str(free_port()), "--grpc-port", str(grpc)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHONUTF8": "1"},
    )
    assert process.stdout is not None
    async with asyncio.timeout(START_SECONDS):
        while b"Processes" not in (line := await process.stdout.readline()):
            assert line
    return process, grpc


async def stop(process: asyncio.subprocess.Process) -> None:
    """End it in order."""
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
    await process.communicate()


def size_of_one(home: Path, name: str = NAMES[0]) -> int:
    """What one of the models takes of a fixed device, as its family says."""
    shelf = LlamaShelf(home, LlamaSettings(), SubprocessLauncher(""))
    variant = work_of("llama", name, shelf.needs(shelf.entries()[name])).variants[0]
    return max(size.bytes for size in variant.sizes)


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[StageHub]:
    (tmp_path / "models").mkdir()
    for name in NAMES:
        shutil.copy(TINY, tmp_path / "models" / f"{name}.gguf")
    process, grpc = await start(tmp_path, int(size_of_one(tmp_path) * 2.5 / 0.8))
    try:
        async with asyncio.timeout(PATIENCE_SECONDS), connect(f"127.0.0.1:{grpc}") as client:
            hub = StageHub(client, tmp_path, process)
            watching = asyncio.create_task(hub.watch())
            yield hub
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
    finally:
        await stop(process)


async def test_four_models_with_memory_for_two_answer_everybody(hub: StageHub) -> None:
    answers = await asyncio.gather(*(hub.say(name) for _ in range(3) for name in NAMES))
    assert len(set(answers)) == 1 and answers[0], "copies of one model say the same"
    assert max(len(response.leases) for response in hub.seen) == 2
    for response in hub.seen:
        [device] = response.devices
        assert device.leased_bytes + device.unverified_bytes <= device.cap_bytes
    reasons = [wish.reason for response in hub.seen for wish in response.wishes]
    assert reasons and all(reasons)
    decisions = [each for response in hub.seen for each in response.decisions]
    assert all(each.reason and each.rule for each in decisions)
    async with asyncio.timeout(START_SECONDS):
        for name in NAMES:  # what was decided last may still be on its way
            await hub.until(f"granted llama/{name}")


async def test_a_busy_one_is_left_alone_until_it_has_answered(hub: StageHub) -> None:
    first, second, third = NAMES[:3]
    await asyncio.gather(hub.say(first), hub.say(second))
    for name in (first, second):
        await hub.shows(name, LeaseState.LEASE_STATE_IDLE)
    talking = asyncio.create_task(hub.say_much(first))
    await hub.shows(first, LeaseState.LEASE_STATE_BUSY)
    assert await hub.say(third)
    assert not talking.done()
    assert f"revoked llama/{second}" in hub.decided()
    assert f"revoked llama/{first}" not in hub.decided()
    talking.cancel()
    await asyncio.gather(talking, return_exceptions=True)


def _state(response: WatchResponse, name: str) -> int:
    return next((lease.state for lease in response.leases if lease.name == f"llama/{name}"), 0)


async def test_what_never_fits_is_refused_as_itself_and_what_is_unloaded_is_given_back(hub: StageHub) -> None:
    await hub.say(NAMES[0])
    llama(HUGE).write(hub.home / "models" / "huge.gguf")
    with pytest.raises(RpcError) as refused:
        await hub.say("huge")
    assert refused.value.reason == "INSUFFICIENT_MEMORY"
    await hub.client.models.unload_model(UnloadModelRequest(name=NAMES[0]))
    await hub.until(f"verified llama/{NAMES[0]}")
    async with hub.new:
        await hub.new.wait_for(lambda: not hub.seen[-1].leases)
    assert hub.seen[-1].devices[0].leased_bytes == 0


async def test_a_killed_stage_keeps_what_is_loaded_and_goes_on(hub: StageHub) -> None:
    await asyncio.gather(*(hub.say(name) for name in NAMES[:2]))
    for status in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = status.read_bytes().split(b"\0")
            if b"actors" in words and b"gpu" in words and _parent(status.parent) == hub.process.pid:
                os.kill(int(status.parent.name), signal.SIGKILL)
    assert await hub.say(NAMES[0])
    assert await hub.say(NAMES[2])
    await hub.until(f"claimed llama/{NAMES[0]}")
    assert all(len(response.leases) <= 2 for response in hub.seen)


def _parent(process: Path) -> int:
    return int((process / "stat").read_text().rpartition(")")[2].split()[1])
