"""A gateway in this process, its doors open on free ports, actors beside it on the same bus."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

import pytest

from actors.echo import EchoActor
from bus.channel import Channel
from bus.resolver import resolver
from bus.server import Server
from bus.transports.memory import MemoryBroker, MemoryTransport
from gateway.access import Access
from gateway.catalog import Catalog
from gateway.grpc_server import GrpcServer
from gateway.hub import Hub
from gateway.limits import Limits
from gateway.locations import RememberedLocations
from gateway.settings import DoorSettings, GrpcSettings, HttpSettings
from gateway.testing import listening
from host.member import method_of
from store import MemoryLocations
from troupe.echo.v1 import EchoService

LONGEST_TEST_SECONDS = 20.0


@pytest.fixture(autouse=True)
async def patience(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """No test waits for ever. The test runs in a task of its own, which a timeout in this one would not reach."""
    loop = asyncio.get_running_loop()

    def give_up() -> None:
        for task in asyncio.all_tasks(loop):
            if getattr(task.get_coro(), "__name__", "") == request.function.__name__:
                task.cancel("the test took too long")

    handle = loop.call_later(LONGEST_TEST_SECONDS, give_up)
    yield
    handle.cancel()


@dataclass
class Gateway:
    """One gateway, its hub and where its doors are."""

    hub: Hub
    websocket_url: str
    grpc_target: str
    channel: Channel

    async def stop_listening(self) -> None:
        """As if its process had ended: connections are cut."""


@dataclass
class Hall:
    """A bus with an echo actor; gateways are made on demand."""

    broker: MemoryBroker
    server: Server
    settings: DoorSettings
    locations: MemoryLocations

    @asynccontextmanager
    async def gateway(self, settings: DoorSettings | None = None) -> AsyncIterator[Gateway]:
        """Open the WebSocket and gRPC doors of one more gateway."""
        settings = settings or self.settings
        transport = MemoryTransport(self.broker)
        channel = Channel(transport)
        channel.resolver = resolver(channel, method_of)
        await channel.start()
        remembered = RememberedLocations(self.locations)
        access, limits = Access(settings.auth), Limits(settings.limits)
        hub = Hub(settings, transport, channel, Catalog(), access, limits, remembered)
        rpc = GrpcServer(hub)
        await rpc.start()
        try:
            async with listening(hub) as port:
                yield Gateway(hub, f"ws://127.0.0.1:{port}/ws", f"127.0.0.1:{rpc.port}", channel)
        finally:
            await rpc.stop(0.1)
            await remembered.close()
            await channel.close()
            await transport.close()


@pytest.fixture
def door_settings() -> DoorSettings:
    return DoorSettings(http=HttpSettings(port=0), grpc=GrpcSettings(port=0))


@asynccontextmanager
async def _hall_of(actor: EchoService, settings: DoorSettings) -> AsyncIterator[Hall]:
    """A bus with this actor."""
    broker = MemoryBroker()
    transport = MemoryTransport(broker)
    server = Server(transport)
    await server.add(actor, EchoService.INFO)
    yield Hall(broker, server, settings, MemoryLocations())
    await server.drain(grace=0.1)
    await transport.close()


@pytest.fixture
def hall_of(door_settings: DoorSettings) -> Callable[[EchoService], AbstractAsyncContextManager[Hall]]:
    """Makes a bus with an actor of the test's own."""
    return lambda actor: _hall_of(actor, door_settings)


@pytest.fixture
async def hall(hall_of: Callable[[EchoService], AbstractAsyncContextManager[Hall]]) -> AsyncIterator[Hall]:
    async with hall_of(EchoActor()) as running:
        yield running


@pytest.fixture
async def gateway(hall: Hall) -> AsyncIterator[Gateway]:
    async with hall.gateway() as running:
        yield running
