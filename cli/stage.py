"""Show the stage: devices and who uses their memory, what is loaded, who waits and for how long, and what was decided.

On a terminal it is a screen that goes on until Ctrl-C; on a plain one (TERM=dumb) what was decided follows as lines.
Into a file or pipe everything is written once. Exit codes: 0 told, 1 the hub cannot tell, 2 no hub answers.
"""

import argparse
import asyncio
import sys
import time
from typing import TYPE_CHECKING

from cli import connection
from cli.completion import completing, model_names
from cli.failure import FAILED, OK, CommandError
from cli.plain_text import clean, colours
from cli.stage_text import decision_line, lines

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from troupe.gpu.v1 import WatchRequest, WatchResponse
    from troupe_client import Hub


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `troupe stage` understands."""
    plan = parser.add_argument(
        "plan", nargs="*", metavar="plan MODEL", help="say whether these models run together, instead of showing it"
    )
    completing(plan, model_names)
    parser.add_argument("--json", action="store_true", help="once, as one JSON object")
    parser.add_argument("--once", action="store_true", help="once, as text")
    parser.add_argument("--machine", default="", help="whose stage alone (default: all that are on the bus)")
    connection.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Show it; exit code 0. Raises CommandError, SettingsError, RpcError."""
    if args.plan and (args.plan[0] != "plan" or len(args.plan) == 1):
        raise CommandError(
            f"`troupe stage {args.plan[0]}` cannot be done.", "`troupe stage plan MODEL …` names models."
        )
    return asyncio.run(_run(args))


async def _run(args: argparse.Namespace) -> int:
    from cli.stage_machines import together
    from troupe.gpu.v1 import WatchRequest

    settings = connection.settings_of(args)
    machine = args.machine or str(settings.actors.get("gpu", {}).get("machine", "local"))
    once = args.json or args.once or not sys.stdout.isatty()
    async with connection.hub_at(args, settings) as hub:
        if args.plan:
            from cli.stage_plan import plan

            return await plan(hub, args.plan[1:], WatchRequest(machine=machine, once=True), as_json=args.json)

        def watch(name: str) -> "AsyncIterator[WatchResponse]":
            return _answers(hub, WatchRequest(machine=name, once=once))

        answers = watch(machine) if args.machine else together(watch, machine, once=once)
        if args.json:
            await _print_json(answers)
        elif once:
            async for picture in answers:
                _print(lines(picture, picture.decisions, time.time()))
        elif colours(sys.stdout):
            from cli.stage_view import show

            await show(answers)
        else:
            await _follow(answers)
    return OK


async def _answers(hub: "Hub", request: "WatchRequest") -> "AsyncIterator[WatchResponse]":
    """What is answered, but for progress. Raises CommandError in a hub that has no stage."""
    from bus import RpcError

    try:
        async for response in hub.stage.watch(request):
            if not response.HasField("progress"):
                yield response
    except RpcError as error:
        if error.reason == "NO_RESPONDERS":
            hint = "`troupe status` says which actors run; the stage is the actor gpu."
            what = f"Nobody keeps the memory of the machine {request.machine!r} here."
            raise CommandError(what, hint, FAILED) from error
        raise


async def _print_json(answers: "AsyncIterator[WatchResponse]") -> None:
    from google.protobuf import json_format

    async for picture in answers:
        print(json_format.MessageToJson(picture, indent=None, ensure_ascii=False), flush=True)


async def _follow(answers: "AsyncIterator[WatchResponse]") -> None:
    first = True
    async for picture in answers:
        if first:
            _print(lines(picture, picture.decisions, time.time()))
        else:
            _print(decision_line(decision) for decision in picture.decisions)
        first = False


def _print(text: "Iterable[str]") -> None:
    for line in text:
        print(clean(line), flush=True)
