"""Say whether a process of the hub serves, for the health checks of containers.

Without a name: the doors of this machine. With one: an actor of that name on the bus. Exit code 0 or 1.
"""

import argparse
import asyncio
from typing import TYPE_CHECKING

from cli.failure import FAILED, OK

if TYPE_CHECKING:
    from host.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `troupe alive` understands."""
    parser.add_argument("name", nargs="?", help="an actor, for example llama (default: the doors)")
    parser.add_argument("--within", type=float, default=4.0, metavar="SECONDS", help="how long to wait (default: 4)")


def run(args: argparse.Namespace) -> int:
    """Ask; exit code 0 if it serves. Raises SettingsError, RpcError if the bus cannot be reached."""
    from cli.checks import answers_as_hub
    from gateway.settings import doors_of, load
    from host.log import configure
    from host.settings import LogSettings

    settings = load(args.config)
    configure(LogSettings(level="error", format="console"), "alive")
    if args.name is None:
        http = doors_of(settings).http
        alive, name = answers_as_hub(http.host, http.port), "the hub"
    else:
        alive, name = asyncio.run(_serves(settings, args.name, args.within)), args.name
    print(f"{name} {'serves' if alive else 'does not serve'}")
    return OK if alive else FAILED


async def _serves(settings: "Settings", name: str, within: float) -> bool:
    """An actor of this name tells, within so many seconds, that it serves."""
    from host.embedded import connect
    from host.liveness import Presence

    transport = await connect(settings, "alive", timeout=within)
    presence, changed = Presence(transport), asyncio.Event()
    presence.subscribe(lambda _: changed.set())
    await presence.start()
    try:
        async with asyncio.timeout(within):
            while not any(seen.state == "serving" for seen in presence.actors().get(name, [])):
                changed.clear()
                await changed.wait()
    except TimeoutError:
        return False
    finally:
        await presence.stop()
        await transport.close()
    return True
