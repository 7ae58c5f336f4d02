"""Each test of the store runs on JetStream and in memory."""

from collections.abc import AsyncIterator, Iterator

import pytest

from bus.testing import NatsServer
from bus.transports.memory import MemoryBroker, MemoryTransport
from bus.transports.nats import NatsTransport
from store import JetStream, MemoryStore, Store, store_of


@pytest.fixture(scope="module")
def store_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    server = NatsServer(tmp_path_factory.mktemp("store"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def jetstream(store_server: NatsServer) -> AsyncIterator[JetStream]:
    transport = await NatsTransport.connect(store_server.url, "store")
    yield JetStream(transport.client)
    await transport.close()


class Place:
    """Where two processes keep the same things: `one` and `two` are the ways of each to them."""

    def __init__(self, one: Store, two: Store, jetstream: JetStream | None = None) -> None:
        self.one = one
        self.two = two
        self._jetstream = jetstream

    async def write_event(self, kind: str, type_name: str, data: bytes) -> int:
        """As another version of the program might."""
        if self._jetstream is None:
            assert isinstance(self.one, MemoryStore)
            return await self.one.stream.append(kind, type_name, data)
        headers = {"Troupe-Type": type_name} if type_name else None
        sequence, _ = await self._jetstream.publish(f"event.{kind}", data, headers)
        return sequence

    async def remove_event(self, sequence: int) -> None:
        """Leave a gap."""
        if self._jetstream is None:
            assert isinstance(self.one, MemoryStore)
            self.one.stream.remove(sequence)
        else:
            await self._jetstream.context.delete_msg("EVENTS", sequence)


@pytest.fixture(params=["jetstream", "memory"])
async def place(request: pytest.FixtureRequest, store_server: NatsServer) -> AsyncIterator[Place]:
    if request.param == "memory":
        broker = MemoryBroker()
        yield Place(store_of(MemoryTransport(broker)), store_of(MemoryTransport(broker)))
        return
    one = await NatsTransport.connect(store_server.url, "one")
    two = await NatsTransport.connect(store_server.url, "two")
    jetstream = JetStream(one.client)
    yield Place(store_of(one), store_of(two), jetstream)
    for info in await jetstream.context.streams_info():
        await jetstream.context.delete_stream(str(info.config.name))
    await one.close()
    await two.close()
