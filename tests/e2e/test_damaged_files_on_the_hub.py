"""GGUF files that are cut or damaged, loaded through the door of a hub: told what and where, and no harm done."""

import asyncio
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from actors.model.gguf_file import read_header
from bus import Code, RpcError
from bus.testing.nats_server import free_port
from forge.random_weights import FIXTURE, write_random_model
from troupe.chat.v1 import CompleteRequest, Sampling
from troupe.model.v1 import ListModelsRequest, LoadModelRequest, ModelState, UnloadModelRequest
from troupe_client import Hub, connect

START_SECONDS = 90
PATIENCE_SECONDS = 300
SEED = int(os.environ.get("CUTS_SEED", "5"))
HEADER_BYTES = 4096
SETTINGS = """
[supervisor]
actors = ["models", "llama"]

[actors.llama]
preload = []
load_seconds = 60
"""


class Place:
    """A hub that runs, and its folder of models."""

    def __init__(self, client: Hub, models: Path) -> None:
        self.client = client
        self.models = models

    async def load(self, name: str) -> RpcError | None:
        """What is wrong with a model; None: it was loaded, and is unloaded again."""
        try:
            async for _ in self.client.models.load_model(LoadModelRequest(name=name)):
                continue
        except RpcError as error:
            return error
        await self.client.models.unload_model(UnloadModelRequest(name=name))
        return None

    async def is_well(self) -> None:
        """A good model is loaded and answers."""
        request = CompleteRequest(model="whole", prompt="The hub", max_tokens=4, sampling=Sampling(temperature=0))
        answer = [each async for each in self.client.chat.complete(request)]
        assert answer[-1].usage.completion_tokens


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Place]:
    models = tmp_path / "models"
    models.mkdir()
    write_random_model(models / "whole.gguf", FIXTURE, "whole")
    (tmp_path / "troupe.toml").write_text(SETTINGS)
    grpc = free_port()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli", "--config", str(tmp_path / "troupe.toml"), "up", "--home", str(tmp_path)),
        *("--http-port", str(free_port()), "--grpc-port", str(grpc)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHONUTF8": "1"},
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_SECONDS):
            while b"Processes" not in (line := await process.stdout.readline()):
                assert line
        async with asyncio.timeout(PATIENCE_SECONDS), connect(f"127.0.0.1:{grpc}") as client:
            yield Place(client, models)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.communicate()


def cuts(whole: Path) -> Iterator[tuple[int, str]]:
    """Places to cut a file at, and what the error must say: each tensor's begin and middle, the header's fields."""
    header = read_header(whole)
    ends = "the copy is incomplete"
    for tensor in header.tensors:
        begin = header.starts[0] + tensor.offset
        yield begin, f"from the tensor {tensor.name} on; {ends}"
        yield begin + tensor.size // 2, f"from the tensor {tensor.name} on; {ends}"
    for place in sorted(random.Random(SEED).sample(range(24, HEADER_BYTES), 60)):
        yield place, f"it ends within its header, after {place} bytes; {ends}"
    for place in (0, 3, 4, 8, 16, 23):
        yield place, "it is no GGUF file"


async def test_a_file_cut_anywhere_is_told_where_and_leaves_the_hub_well(hub: Place) -> None:
    data = (hub.models / "whole.gguf").read_bytes()
    wanted = {}
    for number, (place, words) in enumerate(cuts(hub.models / "whole.gguf")):
        (hub.models / f"cut-{number}.gguf").write_bytes(data[:place])
        wanted[f"cut-{number}"] = words
    for name, words in wanted.items():
        error = await hub.load(name)
        assert error is not None, words
        assert (error.code, error.reason) == (Code.FAILED_PRECONDITION, "MODEL_LOAD_FAILED")
        assert f"{name}.gguf cannot be loaded: " in error.message
        assert words in error.message
    listed = {model.name: model for model in (await hub.client.models.list_models(ListModelsRequest())).models}
    assert all(listed[name].state == ModelState.MODEL_STATE_FAILED and listed[name].error for name in wanted)
    await hub.is_well()


async def test_a_header_with_wrong_bytes_is_a_typed_error_or_a_model_and_leaves_the_hub_well(hub: Place) -> None:
    data = (hub.models / "whole.gguf").read_bytes()
    chance = random.Random(SEED)
    for number in range(24):
        damaged = bytearray(data)
        for _ in range(chance.randint(1, 4)):
            damaged[chance.randrange(HEADER_BYTES)] = chance.randrange(256)
        (hub.models / f"damaged-{number}.gguf").write_bytes(damaged)
    for number in range(24):
        error = await hub.load(f"damaged-{number}")
        assert error is None or error.reason in ("MODEL_LOAD_FAILED", "MODEL_NOT_FOUND"), error
    await hub.is_well()
