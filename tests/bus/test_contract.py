"""Both transports keep the contract of a transport, and calls over both keep the contract of a call."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from bus.testing import CALL_CONTRACT, TRANSPORT_CONTRACT, NatsServer
from bus.testing.transport_contract import Clause, Make
from bus.transports import Transport
from bus.transports.memory import MemoryBroker, MemoryTransport
from bus.transports.nats import NatsTransport


def named(clause: Clause) -> str:
    return clause.__name__


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    folder: Path = tmp_path_factory.mktemp("contract")
    server = NatsServer(folder)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def make_memory() -> Make:
    broker = MemoryBroker()

    async def make() -> Transport:
        return MemoryTransport(broker)

    return make


@pytest.fixture
async def make_nats(shared_server: NatsServer) -> AsyncIterator[Make]:
    made: list[NatsTransport] = []

    async def make() -> Transport:
        transport = await NatsTransport.connect(shared_server.url, "process")
        made.append(transport)
        return transport

    yield make
    for transport in made:
        await transport.close()


@pytest.mark.parametrize("clause", TRANSPORT_CONTRACT, ids=named)
async def test_the_memory_transport(clause: Clause, make_memory: Make) -> None:
    await clause(make_memory)


@pytest.mark.parametrize("clause", TRANSPORT_CONTRACT, ids=named)
async def test_the_nats_transport(clause: Clause, make_nats: Make) -> None:
    await clause(make_nats)


@pytest.mark.parametrize("clause", CALL_CONTRACT, ids=named)
async def test_calls_in_memory(clause: Clause, make_memory: Make) -> None:
    await clause(make_memory)


@pytest.mark.parametrize("clause", CALL_CONTRACT, ids=named)
async def test_calls_over_nats(clause: Clause, make_nats: Make) -> None:
    await clause(make_nats)
