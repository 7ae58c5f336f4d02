"""`python -m actors <name>`: one actor as one process."""

import argparse
import sys

import structlog

from actors.registry import ACTORS, PARTS
from bus import RpcError
from bus.errors import part_not_installed
from host import process, registry, runner
from host.log import configure
from host.parts import lacking
from host.settings import Settings, SettingsError, load

PARENT_GRACE_SECONDS = 5.0
"""Beyond the time to drain, when the supervisor is gone."""

log = structlog.get_logger(__name__)


async def serve(name: str, settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; the exit status."""
    stop = process.stop_requested()
    process.watch_parent(settings.supervisor.drain_seconds + PARENT_GRACE_SECONDS)
    await runner.run(name, settings, stop, actors=ACTORS)
    return 0


def main() -> int:
    """Entry point of the module."""
    parser = argparse.ArgumentParser(prog="python -m actors", description="Run one actor in this process.")
    parser.add_argument("name", help=f"which: {', '.join(ACTORS)}")
    name = parser.parse_args().name
    try:
        registry.location(name, ACTORS)
        if part := lacking(name, PARTS):
            raise part_not_installed(f"The actor {name}", part)
        settings = load()
        configure(settings.log, name)
        return process.run(serve(name, settings))
    except (registry.UnknownActor, runner.UnfitActor, SettingsError, RpcError, ImportError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
