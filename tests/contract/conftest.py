"""Two of everything where parts meet: a bus of each kind; processes that come, go and are killed; gateways."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import websockets
from websockets.asyncio.client import ClientConnection

from bus import subjects
from bus.channel import Channel
from bus.resolver import resolver
from bus.server import Server
from bus.service import ServiceInfo
from bus.testing import Hall, NatsServer
from bus.transports import Transport
from bus.transports.memory import MemoryBroker, MemoryTransport
from bus.transports.nats import NatsTransport
from gateway.access import Access
from gateway.catalog import Catalog
from gateway.grpc_server import GrpcServer
from gateway.hub import Hub
from gateway.identity import hash_key
from gateway.limits import Limits
from gateway.locations import RememberedLocations
from gateway.settings import AuthSettings, DoorSettings, GrpcSettings, HttpSettings, KeySettings
from gateway.testing import listening
from host.member import method_of
from store import TableLocations, store_of
from troupe.rpc.v1 import Frame
from troupe_client import GrpcChannel

PATIENCE_SECONDS = 30.0
"""For a whole test; more, and it is broken."""


class Gate:
    """A gateway of its own: a process on the bus with a WebSocket and a gRPC door."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self._stack = AsyncExitStack()

    async def open(self, settings: DoorSettings) -> None:
        """Begin to serve."""
        channel = Channel(self.transport)
        channel.resolver = resolver(channel, method_of)
        await channel.start()
        self._stack.push_async_callback(self.transport.close)
        self._stack.push_async_callback(channel.close)
        locations = RememberedLocations(await TableLocations.open(store_of(self.transport)))
        self._stack.push_async_callback(locations.close)
        access, limits = Access(settings.auth), Limits(settings.limits)
        hub = self.hub = Hub(settings, self.transport, channel, Catalog(), access, limits, locations)
        self._rpc = GrpcServer(hub)
        await self._rpc.start()
        self._stack.push_async_callback(self._rpc.stop, 0.1)
        self._port = await self._stack.enter_async_context(listening(hub))

    async def close(self) -> None:
        """End in order."""
        await self._stack.aclose()

    def caller(self, key: str | None = None) -> GrpcChannel:
        """A client of the gRPC door."""
        return GrpcChannel(f"127.0.0.1:{self._rpc.port}", key=key)

    @asynccontextmanager
    async def socket(self, key: str = "") -> AsyncIterator["Socket"]:
        """A client of the WebSocket door, in its binary form."""
        connection = await websockets.connect(
            f"ws://127.0.0.1:{self._port}/ws",
            subprotocols=[websockets.Subprotocol("troupe.v1.binary")],
            additional_headers={"authorization": f"Bearer {key}"} if key else None,
            proxy=None,
        )
        async with connection:
            yield Socket(connection)


class Socket:
    """Frames over one WebSocket."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def send(self, frame: Frame) -> None:
        await self._connection.send(frame.SerializeToString())

    async def receive(self) -> Frame:
        data = await self._connection.recv()
        assert isinstance(data, bytes)
        return Frame.FromString(data)

    async def until_close(self, call_id: str) -> tuple[list[bytes], Frame]:
        """The payloads of a call, and its last frame."""
        payloads: list[bytes] = []
        while True:
            frame = await self.receive()
            if frame.call_id == call_id:
                payloads += frame.payload
                if frame.HasField("close"):
                    return payloads, frame


class Town:
    """One bus with everything on it; all of it ends with the test."""

    def __init__(self, hall: Hall, stack: AsyncExitStack) -> None:
        self.hall = hall
        self._stack = stack

    async def serve(self, actor: object, service: ServiceInfo, route: str = "") -> Server:
        """One more process that serves."""
        return await self.hall.serve(actor, service, route)

    async def kill(self, server: Server) -> None:
        """As after SIGKILL: not a word more, and its supervisor tells its end."""
        await self.hall.vanish(server)
        (await self.hall.transport()).publish(subjects.gone(server.process), b"")

    async def gate(self, *, keys: tuple[str, ...] = ()) -> Gate:
        """One more gateway. keys: who may call, by name; the key of "ada" is "tr-ada". None: whoever comes."""
        known = [KeySettings(name=name, hash=hash_key(f"tr-{name}")) for name in keys]
        doors = DoorSettings(http=HttpSettings(port=0), grpc=GrpcSettings(port=0), auth=AuthSettings(keys=known))
        gate = Gate(await self.hall.transport())
        self._stack.push_async_callback(gate.close)
        await gate.open(doors)
        return gate

    async def caller(self, gate: Gate, name: str = "") -> GrpcChannel:
        """A client at a gateway's gRPC door, by name where that asks for keys."""
        channel = gate.caller(f"tr-{name}" if name else None)
        self._stack.push_async_callback(channel.close)
        return channel


@pytest.fixture(scope="module")
def town_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    folder: Path = tmp_path_factory.mktemp("town")
    server = NatsServer(folder)
    server.start()
    yield server
    server.stop()


@pytest.fixture(params=["memory", "nats"])
async def town(request: pytest.FixtureRequest) -> AsyncIterator[Town]:
    """A bus, in memory and on a real NATS server."""
    broker = MemoryBroker()
    server: Any = request.getfixturevalue("town_server") if request.param == "nats" else None

    async def make() -> Transport:
        return await NatsTransport.connect(server.url, "town") if server else MemoryTransport(broker)

    async with asyncio.timeout(PATIENCE_SECONDS), Hall(make) as hall, AsyncExitStack() as stack:
        yield Town(hall, stack)
