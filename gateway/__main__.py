"""`python -m gateway`: the doors as one process."""

import asyncio
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
import uvicorn

from bus import Code, RpcError
from gateway.access import Access, check_doors
from gateway.app import create_app, uvicorn_config
from gateway.catalog import Catalog
from gateway.grpc_server import GrpcServer
from gateway.hub import Hub
from gateway.identity import KeyFile
from gateway.limits import Limits
from gateway.locations import RememberedLocations
from gateway.settings import DoorSettings, doors_of, load
from host import process
from host.liveness import DisconnectRelay
from host.log import configure
from host.member import Member
from host.process import stop_requested
from host.settings import Settings, SettingsError
from store import TableLocations

OWN_FILES = 512
"""Files that the gateway has open besides its clients' connections, and those of gRPC, which it does not count."""

log = structlog.get_logger(__name__)


class HttpServer(uvicorn.Server):
    """uvicorn without its own signal handlers and exits: this process has one owner of both."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen. Raises UNAVAILABLE where that cannot be."""
        try:
            await super().startup(sockets)
        except SystemExit as error:  # in a task it would end the loop, and nobody would say why
            raise _unheard(self.config, self.lifespan.should_exit) from error

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _unheard(config: uvicorn.Config, failed: bool) -> RpcError:
    if failed:
        return RpcError(Code.UNAVAILABLE, "HTTP cannot start; the log has why.", reason="DOOR_FAILED")
    where = f"{config.host}:{config.port}"
    message = f"HTTP cannot listen on {where}; is another hub running? Set TROUPE_HTTP_PORT."
    return RpcError(Code.UNAVAILABLE, message, reason="ADDRESS_IN_USE")


async def serve(member: Member, settings: DoorSettings, locations: RememberedLocations) -> None:
    """Serve HTTP, WebSocket and gRPC until SIGTERM or SIGINT."""
    channel = member.channel
    await channel.start()
    keys = KeyFile(settings.auth, settings.source) if settings.auth.keys else None
    access, limits = Access(settings.auth, keys), Limits(settings.limits)
    hub = Hub(settings, member.transport, channel, Catalog(), access, limits, locations)
    http = HttpServer(uvicorn_config(hub, create_app(hub, member.presence)))
    hub.doors.tell(member.metrics)
    member.heart.calls = lambda: limits.calls.in_use  # of clients; the gateway's own questions keep nobody waiting
    rpc = GrpcServer(hub)
    await rpc.start()
    serving = asyncio.create_task(http.serve())
    stopping = asyncio.create_task(stop_requested().wait())
    await member.ready()
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    http.should_exit = True
    await asyncio.gather(serving, rpc.stop(settings.drain_seconds))
    await locations.close()


async def run(settings: Settings) -> int:
    """Join the bus and serve; the exit status."""
    doors = doors_of(settings)
    check_doors(doors)
    wanted = 2 * doors.limits.max_connections + OWN_FILES
    if (allowed := process.allow_files(wanted)) < wanted:
        log.warning("files.limited", allowed=allowed, wanted=wanted, remedy="raise the hard limit, ulimit -Hn")
    async with Member(settings, "gateway") as member:
        locations = RememberedLocations(await TableLocations.open(member.store))
        # Where nobody supervises, as in containers, somebody has to tell of processes that have ended.
        relay = DisconnectRelay(member.transport)
        await relay.start()
        try:
            await serve(member, doors, locations)
        finally:
            await relay.stop()
    return 0


def main() -> int:
    """Run the gateway."""
    try:
        settings = load()
        configure(settings.log, "gateway")
        return process.run(run(settings))
    except (RpcError, SettingsError) as error:
        print(f"gateway: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
