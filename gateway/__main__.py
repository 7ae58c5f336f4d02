"""`python -m gateway`: the doors as one process."""

import asyncio
import signal
import sys

import structlog
import uvicorn

from bus import NatsTransport, RpcError
from bus.liveness import DisconnectRelay
from bus.log import configure
from bus.member import Member
from bus.settings import Settings, SettingsError, load
from bus.store import JetStreamLocations
from gateway.access import Access, check_exposure
from gateway.app import create_app, uvicorn_config
from gateway.catalog import Catalog
from gateway.grpc_server import GrpcServer
from gateway.hub import Hub
from gateway.limits import Limits
from gateway.locations import RememberedLocations
from gateway.resolver import load_on_demand

log = structlog.get_logger(__name__)


class _HttpServer(uvicorn.Server):
    """uvicorn without its own signal handlers: this process has one owner of signals."""

    def install_signal_handlers(self) -> None:
        return


async def serve(member: Member, locations: RememberedLocations) -> None:
    """Serve HTTP, WebSocket and gRPC until SIGTERM or SIGINT."""
    settings, channel = member.settings, member.channel
    channel.resolver = load_on_demand(channel)
    await channel.start()
    access, limits = Access(settings.auth), Limits(settings.limits)
    hub = Hub(settings, member.transport, channel, Catalog(), access, limits, locations)
    http = _HttpServer(uvicorn_config(hub, create_app(hub)))
    rpc = GrpcServer(hub)
    await rpc.start()
    serving = asyncio.create_task(http.serve())
    stop = _stop_requested()
    await member.ready()
    await asyncio.wait({serving, stop}, return_when=asyncio.FIRST_COMPLETED)
    http.should_exit = True
    await asyncio.gather(serving, rpc.stop(settings.supervisor.drain_seconds))
    await locations.close()


def _stop_requested() -> "asyncio.Future[None]":
    loop = asyncio.get_running_loop()
    stop: asyncio.Future[None] = loop.create_future()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _settle, stop)
    return stop


def _settle(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


async def run(settings: Settings) -> int:
    """Join the bus and serve; the exit status."""
    check_exposure(settings)
    async with Member(settings, "gateway") as member:
        assert isinstance(member.transport, NatsTransport)
        locations = RememberedLocations(await JetStreamLocations.open(member.transport.client))
        # Where nobody supervises, as in containers, somebody has to tell of processes that have ended.
        relay = DisconnectRelay(member.transport)
        await relay.start()
        try:
            await serve(member, locations)
        finally:
            await relay.stop()
    return 0


def main() -> int:
    """Run the gateway."""
    import uvloop

    try:
        settings = load()
        configure(settings.log, "gateway")
        return uvloop.run(run(settings))
    except (RpcError, SettingsError) as error:
        print(f"gateway: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
