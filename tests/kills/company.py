"""A hub whose processes are there to be killed: run as `python company.py HOME`, prints its doors as one JSON line.

Besides the usual ones there is an actor that calls others: `chained` answers the model of that name with what
EchoService or the model troupe-tiny say.
"""

import json
import os
import sys
from pathlib import Path

from host import process
from host.embedded import EmbeddedServer
from host.log import RotatingFile, configure
from host.settings import Settings
from host.supervisor import Addresses, Door, Supervisor

ACTORS = ["gpu", "echo", "models", "llama"]

CHAINED = Path(__file__).with_name("chained_actor.py")


def environment(home: Path, http: int, grpc: int) -> dict[str, str]:
    """What the hub's processes inherit."""
    return {
        **os.environ,
        "TROUPE_HOME": str(home),
        "TROUPE_CONFIG": "",
        "NATS_URL": "",
        "TROUPE_HTTP_PORT": str(http),
        "TROUPE_GRPC_PORT": str(grpc),
        "TROUPE_ACTORS_LLAMA_THREADS": "1",
    }


async def serve(settings: Settings, doors: list[Door], actors: list[str]) -> int:
    """Run the hub until SIGTERM."""
    commands = {"gateway": [sys.executable, "-m", "gateway"], "chained": [sys.executable, str(CHAINED)]}
    commands |= {name: [sys.executable, "-m", "actors", name] for name in actors}
    configure(settings.log, "supervisor", RotatingFile(settings.home / "logs" / "supervisor.log"))

    def ready(addresses: Addresses) -> None:
        print(json.dumps(dict(addresses.doors)), flush=True)

    async with EmbeddedServer(settings.home) as server:
        supervisor = Supervisor(settings, commands, doors=doors, server=server, ready=ready)
        return await supervisor.run(process.stop_requested(again=supervisor.stop_now))


def main() -> int:
    """Entry point."""
    from gateway.settings import doors_of, load

    settings = load()
    own = doors_of(settings)
    doors = [Door("http", own.http.host, own.http.port), Door("grpc", own.grpc.host, own.grpc.port)]
    return process.run(serve(settings, doors, ACTORS))


if __name__ == "__main__":
    sys.exit(main())
