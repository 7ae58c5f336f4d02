"""Start a hub on this machine: the bus, the actors and the doors. Ctrl-C lets running answers end, then stops it.

Exit codes: 0 stopped by Ctrl-C or SIGTERM, 1 the hub could not run, 2 wrong settings.
"""

import argparse
import asyncio
import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from cli.failure import FAILED, CommandError, why

if TYPE_CHECKING:
    from cli.hub_lines import HubLines
    from host.settings import Settings
    from host.supervisor import Addresses

VARIABLES = {
    "home": "TROUPE_HOME",
    "http_port": "TROUPE_HTTP_PORT",
    "grpc_port": "TROUPE_GRPC_PORT",
    "actors": "TROUPE_SUPERVISOR_ACTORS",
}
"""What each option stands for."""

QUESTION = "What is a lease?"
USUAL_GRPC = "127.0.0.1:50051"
WAIT_SECONDS = 5.0
"""Between two lines that say what a starting hub waits for."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `troupe up` understands; each wins over the settings."""
    parser.add_argument("--home", type=Path, metavar="DIR", help="where models, adapters and data are (TROUPE_HOME)")
    parser.add_argument("--http-port", type=int, metavar="PORT", help="HTTP and WebSocket (TROUPE_HTTP_PORT)")
    parser.add_argument("--grpc-port", type=int, metavar="PORT", help="gRPC (TROUPE_GRPC_PORT)")
    parser.add_argument("--actors", metavar="NAMES", help="only these, separated by commas (TROUPE_SUPERVISOR_ACTORS)")


def run(args: argparse.Namespace) -> int:
    """Run the hub until it is stopped. Raises CommandError, SettingsError."""
    from actors.registry import ACTORS
    from gateway.access import check_doors
    from gateway.settings import doors_of, load
    from host import process
    from host.embedded import ServerError
    from host.registry import UnknownActor
    from host.runner import check_settings
    from host.running import AlreadyRunning
    from host.supervisor import HubFailed

    settings = load(args.config, environment(args, os.environ))
    check_doors(doors_of(settings))
    check_settings(settings, ACTORS)
    print_line(f"Starting the hub; its data is in {settings.home}.")
    try:
        return process.run(_supervised(settings))
    except (AlreadyRunning, ServerError, HubFailed) as error:
        raise CommandError(str(error), code=FAILED) from error
    except UnknownActor as error:
        raise CommandError(str(error)) from error
    except OSError as error:
        raise _unusable(settings.home, error) from error


def _unusable(home: Path, error: OSError) -> CommandError:
    other = "choose another home with --home or TROUPE_HOME."
    file = next((path for path in (home, *home.parents) if path.exists() and not path.is_dir()), None)
    if file is not None:
        what = "is a file, and a home is a folder" if file == home else f"is a file, so that {home} cannot be in it"
        return CommandError(f"{file} {what}.", f"Move it away, or {other}", FAILED)
    return CommandError(f"{error.filename or home} cannot be used: {why(error)}.", f"Mend it, or {other}", FAILED)


def environment(args: argparse.Namespace, environ: "os._Environ[str] | dict[str, str]") -> dict[str, str]:
    """The environment with the options in it, so that both are checked and reported alike."""
    given = {variable: getattr(args, option, None) for option, variable in VARIABLES.items()}
    return {**environ, **{name: str(value) for name, value in given.items() if value is not None}}


async def _supervised(settings: "Settings") -> int:
    from actors.registry import ACTORS, PARTS
    from cli.hub_lines import HubLines
    from gateway.settings import doors_of
    from host import supervisor

    own = doors_of(settings)
    doors = [supervisor.Door(name, door.host, door.port) for name, door in (("http", own.http), ("grpc", own.grpc))]
    lines = HubLines(settings.home, os.getpid(), settings.supervisor.drain_seconds)

    def ready(addresses: "Addresses") -> None:
        lines.greeted(addresses.states)
        print("\n".join(greeting(addresses, keys=bool(own.auth.keys), command=own_command())), flush=True)

    waiting = asyncio.create_task(_tell_waiting(lines))
    try:
        return await supervisor.run(
            settings,
            ACTORS,
            parts=PARTS,
            doors=doors,
            ready=ready,
            changed=lambda child: print_lines(lines.changed(child)),
            stopping=lambda answers: print_line(lines.stopping(answers)),
        )
    finally:
        waiting.cancel()


async def _tell_waiting(lines: "HubLines") -> None:
    while True:
        await asyncio.sleep(WAIT_SECONDS)
        print_lines(lines.waiting())


def print_lines(lines: Iterable[str]) -> None:
    """Lines that are seen at once."""
    for line in lines:
        print_line(line)


def print_line(line: str) -> None:
    """A line that is seen at once, also in a pipe."""
    print(line, flush=True)


def greeting(addresses: "Addresses", *, keys: bool, command: str) -> list[str]:
    """How to talk to the hub. keys: API keys are asked for; command: how `troupe` is called here."""
    http, grpc = _page(addresses), addresses.doors["grpc"]
    chat = f"{command} chat" if grpc == USUAL_GRPC else f"{command} chat --target {grpc}"
    bearer = " -H 'Authorization: Bearer tr-…'" if keys else ""
    body = f'{{"model": "troupe-tiny", "messages": [{{"role": "user", "content": "{QUESTION}"}}]}}'
    states = ", ".join(f"{name} {state.replace('_', ' ')}" for name, state in addresses.states.items())
    return [
        "",
        "Troupe is up. Ctrl-C stops it.",
        "",
        f"  Chat page  {http}/",
        f"  Terminal   {chat}",
        f"  OpenAI     curl {http}/v1/chat/completions{bearer} -H 'Content-Type: application/json' \\",
        f"               -d '{body}'",
        f"  gRPC       {grpc}, with reflection",
        f"  Bus        {addresses.bus}",
        f"  Home       {addresses.home}; logs in {addresses.home / 'logs'}",
        f"  Processes  {states}",
        *(f"             {_why(addresses, name)}" for name, state in addresses.states.items() if state != "serving"),
        "",
    ]


def _page(addresses: "Addresses") -> str:
    return f"http://{addresses.doors['http']}"


def _why(addresses: "Addresses", name: str) -> str:
    if part := addresses.lacking.get(name):
        return f"{name} is not installed; `troupe add {part}` installs and starts it"
    return f"{name} does not serve yet; why is in {addresses.home / 'logs' / f'{name}.log'}"


def own_command() -> str:
    """How this program is called from the shell it runs in."""
    called = Path(sys.argv[0])
    on_path = shutil.which("troupe")
    if on_path and called.name == "troupe" and Path(on_path).resolve() == called.resolve():
        return "troupe"
    try:
        return str(called.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(called)
