"""A family whose folder does not answer: what was known goes on, and it is told."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass

import pytest

from actors.model import looking
from actors.model.family import Family
from actors.model.shelf import Life
from bus import RpcError
from bus.channel import Channel
from bus.server import Server
from bus.transports.memory import MemoryBroker, MemoryTransport
from troupe.family.v1 import (
    DescribeModelRequest,
    FamilyService,
    FamilyServiceClient,
    ListModelsRequest,
    Needs,
    StartModelRequest,
)
from troupe.model.v1 import Model


@dataclass(frozen=True)
class Stone:
    """A model that does nothing."""

    name: str
    error: str = "Stones cannot be loaded."


class StoneShelf:
    """Stones on a disk that can be stopped."""

    def __init__(self) -> None:
        self.place = "/mnt/quarry"
        self.names = ["granite"]
        self.looks = 0
        self.disk = threading.Event()
        self.disk.set()

    def entries(self) -> Mapping[str, Stone]:
        self.looks += 1
        self.disk.wait()
        return {name: Stone(name) for name in self.names}

    def describe(self, entry: Stone) -> Model:
        return Model(name=entry.name, error=entry.error)

    def needs(self, entry: Stone) -> Needs:
        return Needs()

    def life(self, entry: Stone) -> Life:
        raise AssertionError(entry)


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> Iterator[StoneShelf]:
    monkeypatch.setattr(looking, "FIRST_LOOK_SECONDS", 0.1)
    monkeypatch.setattr(looking, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(looking, "HANG_SECONDS", 0.1)
    shelf = StoneShelf()
    yield shelf
    shelf.disk.set()


@pytest.fixture
async def client() -> AsyncIterator[tuple[MemoryTransport, FamilyServiceClient]]:
    broker = MemoryBroker()
    transport, own = MemoryTransport(broker, "stones-1"), MemoryTransport(broker, "client")
    channel = Channel(own)
    yield transport, FamilyServiceClient(channel)
    await channel.close()


Client = tuple[MemoryTransport, FamilyServiceClient]
LIST = ListModelsRequest(family="stones")


async def served(actor: Family[Stone], transport: MemoryTransport) -> None:
    server = Server(transport)
    await server.add(actor, FamilyService.INFO, route="stones")


async def test_a_disk_that_hangs_leaves_what_was_known_and_is_told_with_its_place(
    shelf: StoneShelf, client: Client
) -> None:
    transport, stones = client
    async with Family("stones", shelf) as actor:
        await served(actor, transport)
        assert actor.trouble() == ""
        shelf.disk.clear()
        shelf.names.append("marble")
        for _ in range(3):
            async with asyncio.timeout(5):
                assert [model.name for model in (await stones.list_models(LIST)).models] == ["granite"]
        assert actor.trouble().startswith("/mnt/quarry does not answer")
        assert shelf.looks == 2, "a thread more was spent on it"
        described = await stones.describe_model(DescribeModelRequest(family="stones", model="granite"))
        assert described.model.name == "granite"
        with pytest.raises(RpcError) as refusal:
            async for _ in stones.start_model(StartModelRequest(family="stones", model="marble")):
                pass
        assert (refusal.value.reason, refusal.value.retry_after) == ("FAMILY_UNAVAILABLE", 1.0)
        assert "/mnt/quarry" in refusal.value.message

        shelf.disk.set()
        async with asyncio.timeout(5):
            while actor.trouble():
                await asyncio.sleep(0)
        assert [model.name for model in (await stones.list_models(LIST)).models] == ["granite", "marble"]


async def test_a_disk_that_is_slow_is_not_called_hanging_and_a_model_it_may_have_is_not_denied(
    shelf: StoneShelf, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "HANG_SECONDS", 3600.0)
    transport, stones = client
    async with Family("stones", shelf) as actor:
        await served(actor, transport)
        shelf.disk.clear()
        shelf.names.append("marble")
        for _ in range(2):
            assert [model.name for model in (await stones.list_models(LIST)).models] == ["granite"]
        assert (actor.trouble(), shelf.looks) == ("", 2)
        with pytest.raises(RpcError, match="still looking") as refusal:
            await stones.describe_model(DescribeModelRequest(family="stones", model="marble"))
        assert (refusal.value.reason, refusal.value.retry_after) == ("FAMILY_UNAVAILABLE", 1.0)
        shelf.disk.set()
        async with asyncio.timeout(5):
            while len((await stones.list_models(LIST)).models) == 1:
                await asyncio.sleep(0)


async def test_a_family_that_never_saw_its_models_says_so_and_not_that_there_are_none(
    shelf: StoneShelf, client: Client
) -> None:
    transport, stones = client
    shelf.disk.clear()
    async with asyncio.timeout(5), Family("stones", shelf) as actor:
        await served(actor, transport)
        with pytest.raises(RpcError, match="/mnt/quarry does not answer") as refusal:
            await stones.list_models(LIST)
        assert refusal.value.reason == "FAMILY_UNAVAILABLE"
        shelf.disk.set()
