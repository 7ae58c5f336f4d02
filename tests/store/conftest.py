"""Each test of the store runs on JetStream and in memory."""

from collections.abc import AsyncIterator, Iterator

import pytest

from bus.testing import NatsServer
from bus.transports.nats import NatsTransport
from store import JetStream


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
