"""`python -m gateway`: the doors as one process."""

import asyncio
import signal
import sys

import structlog
import uvicorn

from bus import Channel, RpcError, Transport
from bus.embedded import connect
from bus.log import configure
from bus.settings import Settings, SettingsError, load
from bus.store import JetStreamLocations
from bus.telemetry import Telemetry
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


async def serve(settings: Settings, transport: Transport, locations: RememberedLocations) -> None:
    """Serve HTTP, WebSocket and gRPC until SIGTERM or SIGINT."""
    check_exposure(settings)
    telemetry = Telemetry(settings.telemetry, transport.process)
    channel = Channel(transport, stamps=(telemetry.stamp,))
    channel.resolver = load_on_demand(channel)
    await channel.start()
    hub = Hub(settings, transport, channel, Catalog(), Access(settings.auth), Limits(settings.limits), locations)
    http = _HttpServer(uvicorn_config(hub, create_app(hub)))
    rpc = GrpcServer(hub)
    await rpc.start()
    serving = asyncio.create_task(http.serve())
    stop = _stop_requested()
    await asyncio.wait({serving, stop}, return_when=asyncio.FIRST_COMPLETED)
    http.should_exit = True
    await asyncio.gather(serving, rpc.stop(settings.supervisor.drain_seconds))
    await locations.close()
    await channel.close()
    telemetry.close()


def _stop_requested() -> "asyncio.Future[None]":
    loop = asyncio.get_running_loop()
    stop: asyncio.Future[None] = loop.create_future()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: stop.done() or stop.set_result(None))
    return stop


async def run() -> int:
    """Connect to the bus and serve; the exit status."""
    settings = load()
    configure(settings.log, "gateway")
    transport = await connect(settings, "gateway")
    try:
        locations = RememberedLocations(await JetStreamLocations.open(transport.client))
        await serve(settings, transport, locations)
    finally:
        await transport.close()
    return 0


def main() -> int:
    """Run the gateway."""
    import uvloop

    try:
        return uvloop.run(run())
    except (RpcError, SettingsError) as error:
        print(f"gateway: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
