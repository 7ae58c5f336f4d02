"""Fetching through the actor's own methods, with a download that the test holds in its hands."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Self

import pytest

from actors.weights.actor import WeightsActor
from actors.weights.download import unavailable
from actors.weights.known import Package, Weights
from actors.weights.settings import WeightsSettings
from bus import RpcError
from bus.channel import Channel
from bus.server import Server
from bus.transports.memory import MemoryBroker, MemoryTransport
from troupe.model.v1 import ListModelsResponse, ModelService
from troupe.weights.v1 import (
    FetchWeightsRequest,
    ListWeightsRequest,
    WeightsService,
    WeightsServiceClient,
    WeightsState,
)

Wheel = Callable[..., Path]
FETCHING, PRESENT, FAILED = (
    WeightsState.WEIGHTS_STATE_FETCHING,
    WeightsState.WEIGHTS_STATE_PRESENT,
    WeightsState.WEIGHTS_STATE_FAILED,
)


class Models(ModelService):
    async def list_models(self, request: object, ctx: object) -> ListModelsResponse:
        return ListModelsResponse()


class Held:
    """A download that waits for the test."""

    def __init__(self, carrier: Path) -> None:
        self._carrier = carrier
        self.begun, self.let = asyncio.Event(), asyncio.Event()
        self.error = ""
        self.times = 0

    async def __call__(self, package: Package, folder: Path, told: Callable[[int], None]) -> Path:
        self.times += 1
        told(package.size // 2)
        self.begun.set()
        await self.let.wait()
        if self.error:
            raise unavailable(self.error)
        return Path(shutil.copy(self._carrier, folder))


class Hub:
    """The actor on a bus of this process's own, beside models that answer."""

    def __init__(self, home: Path, weights: Weights, download: Held, wanted: list[str]) -> None:
        broker = MemoryBroker()
        self._server, self._channel = Server(MemoryTransport(broker, "w-1")), Channel(MemoryTransport(broker, "c-1"))
        self.client = WeightsServiceClient(self._channel)
        settings = WeightsSettings(fetch=False)
        known = {weights.name: weights}
        self.actor = WeightsActor(settings, home, self._channel, download, known)
        self.actor._wanted = wanted

    async def __aenter__(self) -> Self:
        await self._server.add(Models(), ModelService.INFO)
        await self._server.add(self.actor, WeightsService.INFO)
        await self.actor.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.actor.__aexit__()
        await self._channel.close()
        await self._server.drain(1)

    async def state(self) -> tuple[WeightsState, str]:
        [found] = (await self.client.list_weights(ListWeightsRequest())).weights
        return found.state, found.error


@pytest.fixture
async def held(tmp_path: Path, wheel: Wheel) -> Held:
    return Held(wheel(tmp_path / "carrier-1.0-py3-none-any.whl"))


@pytest.fixture
def hub(tmp_path: Path, weights: Weights, held: Held) -> Callable[..., Hub]:
    return lambda *wanted: Hub(tmp_path / "home", weights, held, list(wanted))


@pytest.fixture(autouse=True)
async def patience() -> AsyncIterator[None]:
    async with asyncio.timeout(20):
        yield


async def test_what_is_wanted_is_fetched_after_the_start(hub: Callable[..., Hub], held: Held, tmp_path: Path) -> None:
    async with hub("carried") as running:
        await held.begun.wait()
        assert (await running.state())[0] == FETCHING
        held.let.set()
        responses = [one async for one in running.client.fetch_weights(FetchWeightsRequest(name="carried"))]
        assert responses[-1].weights.state == PRESENT
        assert all(0 < one.progress.fraction <= 1 for one in responses[:-1])
        assert all(one.progress.HasField("eta") for one in responses[:-1])
    assert held.times == 1
    assert (tmp_path / "home/models/carried.gguf").exists()
    assert list((tmp_path / "home/models/.fetching").iterdir()) == []


async def test_nothing_is_fetched_that_nobody_wants_or_that_is_there(
    hub: Callable[..., Hub], held: Held, tmp_path: Path
) -> None:
    async with hub() as running:
        assert (await running.state())[0] == WeightsState.WEIGHTS_STATE_ABSENT
    (tmp_path / "home/models").mkdir(parents=True)
    (tmp_path / "home/models/carried.gguf").write_text("mine")
    async with hub("carried") as running:
        assert (await running.state())[0] == PRESENT
        responses = [one async for one in running.client.fetch_weights(FetchWeightsRequest(name="carried"))]
    assert [one.weights.name for one in responses] == ["carried"]
    assert held.times == 0


async def test_a_file_of_an_earlier_fetch_gets_what_its_makers_say_of_sampling(
    tmp_path: Path, weights: Weights, held: Held
) -> None:
    models, advised = tmp_path / "home/models", replace(weights, sampling={"temperature": 0.2})
    models.mkdir(parents=True)
    for content, beside in ((b"mine", False), (bytes(weights.size), True)):
        (models / "carried.gguf").write_bytes(content)
        async with Hub(tmp_path / "home", advised, held, []):
            assert (models / "carried.sampling.json").exists() == beside


async def test_a_failure_is_told_and_asking_tries_again(hub: Callable[..., Hub], held: Held) -> None:
    held.error = "There is no index"
    held.let.set()
    async with hub() as running:
        with pytest.raises(RpcError, match="There is no index") as caught:
            _ = [one async for one in running.client.fetch_weights(FetchWeightsRequest(name="carried"))]
        assert caught.value.reason == "WEIGHTS_UNAVAILABLE"
        assert await running.state() == (FAILED, "There is no index.")
        held.error = ""
        _ = [one async for one in running.client.fetch_weights(FetchWeightsRequest(name="carried"))]
        assert await running.state() == (PRESENT, "")


async def test_a_hub_that_ends_while_it_fetches_leaves_nothing_and_begins_again(
    hub: Callable[..., Hub], held: Held, tmp_path: Path
) -> None:
    async with hub("carried"):
        await held.begun.wait()
    assert list((tmp_path / "home/models").rglob("*")) == [tmp_path / "home/models/.fetching"]
    held.let.set()
    async with hub("carried") as running:
        _ = [one async for one in running.client.fetch_weights(FetchWeightsRequest(name="carried"))]
    assert (tmp_path / "home/models/carried.gguf").exists()


async def test_a_caller_that_leaves_does_not_end_the_fetch(hub: Callable[..., Hub], held: Held) -> None:
    async with hub() as running:
        async for _ in running.client.fetch_weights(FetchWeightsRequest(name="carried")):
            break
        held.let.set()
        _ = [one async for one in running.client.fetch_weights(FetchWeightsRequest(name="carried"))]
        assert held.times == 1


async def test_an_unknown_name_gets_the_nearest(hub: Callable[..., Hub]) -> None:
    async with hub() as running:
        with pytest.raises(RpcError, match="Did you mean carried") as caught:
            _ = [one async for one in running.client.fetch_weights(FetchWeightsRequest(name="caried"))]
    assert caught.value.reason == "WEIGHTS_NOT_FOUND"


async def test_a_disk_that_cannot_be_written_to_is_a_failure_with_a_sentence(
    tmp_path: Path, weights: Weights, held: Held
) -> None:
    (tmp_path / "home").write_text("a file")
    held.let.set()
    async with Hub(tmp_path / "home", replace(weights), held, []) as running:
        with pytest.raises(RpcError, match="cannot be written"):
            _ = [one async for one in running.client.fetch_weights(FetchWeightsRequest(name="carried"))]
