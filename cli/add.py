"""Install a part of the hub, for example `troupe add voice`, and start its actors in the hub that runs.

Without a name: list the parts. Exit codes: 0 it is there and its actors serve, 1 it could not be installed, and nothing
was left behind, or its actors do not serve, 2 the command line or the settings are wrong.
"""

import argparse
import asyncio
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from cli import connection, part_install
from cli.completion import completing
from cli.failure import FAILED, OK, CommandError
from cli.plain_text import columns

if TYPE_CHECKING:
    from host.parts import Part, Parts
    from host.settings import Settings
    from troupe.health.v1 import Actor
    from troupe_client import Hub

SERVE_SECONDS = 60.0
"""An actor that was started serves by then, or its log says why not."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `troupe add` understands."""
    part = parser.add_argument("part", nargs="?", help="which (default: list them)")
    completing(part, part_names)
    parser.add_argument("--yes", action="store_true", help="do not ask before the download")
    parser.add_argument("--again", action="store_true", help="install anew what is there, for example for another card")
    parser.add_argument("--json", action="store_true", help="list them as one JSON object per line")
    connection.add_arguments(parser)


def part_names(*_: object, **__: object) -> list[str]:
    """Those there are."""
    from actors.registry import PARTS

    return list(PARTS)


def run(args: argparse.Namespace) -> int:
    """Do it; exit code 0. Raises CommandError, SettingsError, RpcError."""
    from actors.registry import PARTS

    if not args.part:
        _list(PARTS, as_json=args.json)
        return OK
    part = named(args.part, PARTS)
    settings = connection.settings_of(args)
    if args.again or part.missing():
        part_install.install(args.part, part, settings.parts, yes=args.yes, again=args.again)
        print(f"{args.part} is installed.", flush=True)
    else:
        print(f"{args.part} is there already; --again installs it anew.", flush=True)
    return _start(args, settings, part)


def named(name: str, parts: "Parts") -> "Part":
    """The part of this name. Raises CommandError with the nearest."""
    from bus import nearest

    if name not in parts:
        close = nearest(name, parts)
        hint = f"Did you mean {' or '.join(close)}?" if close else f"There are: {', '.join(parts)}."
        raise CommandError(f"There is no part {name!r}.", hint)
    return parts[name]


def _list(parts: "Parts", *, as_json: bool) -> None:
    rows = [("PART", "STATE", "FOR")]
    for name, part in parts.items():
        state = "not installed" if part.missing() else "installed"
        if as_json:
            print(json.dumps({"name": name, "installed": not part.missing(), "about": part.about}))
        rows.append((name, state, part.about))
    for line in [] if as_json else columns(rows):
        print(line)


# ---- its actors


def _start(args: argparse.Namespace, settings: "Settings", part: "Part") -> int:
    """Start them in the hub that the arguments name, or that runs in this home; whether they serve, as an exit code."""
    from host.running import find

    if not part.actors:
        print("No actor of this version stands on it yet.")
        return OK
    if find(settings.home) is None and not (args.target or args.host or args.port):
        print(f"No hub runs in {settings.home}; `troupe up` starts it with {', '.join(part.actors)}.")
        return OK
    return asyncio.run(_started(args, settings, part.actors))


async def _started(args: argparse.Namespace, settings: "Settings", names: Iterable[str]) -> int:
    from bus import Code, RpcError
    from troupe.health.v1 import ActorState, StartActorRequest

    code = OK
    async with connection.hub_at(args, settings) as hub:
        for name in names:
            try:
                await hub.health.start_actor(StartActorRequest(name=name))
            except RpcError as error:
                if error.code not in (Code.UNAUTHENTICATED, Code.PERMISSION_DENIED):
                    raise
                remedy = "--key gives a key that may, or start the hub anew."
                raise CommandError(f"It is installed, and {name} is not started: {error.message}", remedy) from error
            actor = await _settled(hub, name)
            serves = actor.state == ActorState.ACTOR_STATE_SERVING
            state = ActorState.Name(actor.state).removeprefix("ACTOR_STATE_").lower().replace("_", " ")
            print(f"{name} serves." if serves else f"{name} is {state}: {actor.last_exit or 'its log says why'}")
            code = code if serves else FAILED
    return code


async def _settled(hub: "Hub", name: str) -> "Actor":
    """The actor once it serves, has ended, or has had its time."""
    from troupe.health.v1 import Actor, ActorState, WatchRequest

    actor, resting = Actor(), (ActorState.ACTOR_STATE_SERVING, ActorState.ACTOR_STATE_FAILED)
    try:
        async with asyncio.timeout(SERVE_SECONDS):
            async for response in hub.health.watch(WatchRequest()):
                actor = next((each for each in response.actors if each.name == name), actor)
                if actor.state in resting:
                    break
    except TimeoutError:
        pass
    return actor
