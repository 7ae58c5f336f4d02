"""List, load and unload models; bring them, quantize them, name them, pin them.

Without an action the models are listed. Exit codes: 0 done, 1 the hub refused, 2 no hub or no such command.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cli import connection, models_change, models_profile, models_pull, models_quantize, weights_text
from cli.completion import completing, model_names
from cli.failure import OK
from cli.model_text import details, print_json, progress_text, reasons, row, state_of
from cli.models_profile import figures_table, numbers, proposal_text
from cli.plain_text import clean, columns
from cli.weights_text import known_weights, missing

if TYPE_CHECKING:
    from troupe.model.v1 import GetModelResponse
    from troupe_client import Hub


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `troupe models` understands."""
    _add_common(parser)
    actions = parser.add_subparsers(dest="action", metavar="action")
    _add(actions, "list", "what there is, and what is loaded")
    _add(actions, "show", "all that is known of one", model=True)
    _add(actions, "load", "load it now; a call does so by itself", model=True)
    _add(actions, "unload", "let running answers end, and give its memory back", model=True)
    pull = _add(actions, "pull", "bring one, as a job that goes on without you", aliases=["fetch"])
    pull.add_argument("source", help="a name that `troupe models` lists, or hf:owner/name[@revision][:file]")
    pull.add_argument("--name", default="", help="what it shall be called (hf: only)")
    pull.add_argument("--detach", action="store_true", help="print the job's id and leave")
    quantize = _add(actions, "quantize", "write it with fewer bits, as another model, and compare both", model=True)
    kind = quantize.add_argument("quantization", help="Q4_K_M, Q5_K_M, Q8_0 or F16")
    completing(kind, models_quantize.kinds)
    quantize.add_argument("--text", metavar="FILE", help="compare by this text instead of the hub's own; - is stdin")
    quantize.add_argument("--as", dest="new_name", default="", metavar="NAME", help="what it shall be called")
    quantize.add_argument("--detach", action="store_true", help="print the job's id and leave")
    alias = _add(actions, "alias", "give another name, move it, take it back; alone: list all")
    alias.add_argument("alias", nargs="?", help="the name")
    completing(alias.add_argument("model", nargs="?", help="what it shall mean"), model_names)
    how = alias.add_mutually_exclusive_group()
    how.add_argument("--remove", action="store_true", help="take the name away")
    how.add_argument("--rollback", nargs="?", const=0, type=int, metavar="VERSION", help="let it mean what it meant")
    remove = _add(actions, "remove", "remove its files for good", model=True)
    remove.add_argument("--force", action="store_true", help="also if it is loaded, pinned or has aliases")
    profile = _add(actions, "profile", "measure how fast it is and what it takes, as a job", model=True)
    profile.add_argument(
        "--contexts", type=numbers, default=(), metavar="N,N", help="tokens of one call, each to be tried"
    )
    profile.add_argument("--slots", type=numbers, default=(), metavar="N,N", help="calls at a time, each to be tried")
    others = profile.add_argument(
        "--quantizations", nargs="+", default=(), metavar="NAME", help="others of it, measured too"
    )
    completing(others, model_names)
    profile.add_argument("--detach", action="store_true", help="print the job's id and leave")
    _add(actions, "pin", "keep its memory from being given to others", model=True)
    _add(actions, "unpin", "take that back", model=True)


def _add(
    actions: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    summary: str,
    *,
    model: bool = False,
    aliases: Sequence[str] = (),
) -> argparse.ArgumentParser:
    command = actions.add_parser(name, help=summary, description=f"{summary.capitalize()}.", aliases=aliases)
    if model:
        completing(command.add_argument("name", help="a model or an alias"), model_names)
    before = len(command._actions)
    _add_common(command)
    for action in command._actions[before:]:  # what stands before the action's name is not undone by a default
        action.default = argparse.SUPPRESS
    return command


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    connection.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Do it; exit code 0. Raises CommandError, RpcError, SettingsError."""
    asyncio.run(_run(args))
    return OK


async def _run(args: argparse.Namespace) -> None:
    actions = {
        "list": _list,
        "show": _show,
        "load": _load,
        "unload": _unload,
        "pull": models_pull.pull,
        "fetch": models_pull.pull,
        "alias": models_change.alias,
        "quantize": models_quantize.quantize,
        "pin": models_change.pin,
        "profile": models_profile.profile,
        "remove": models_change.remove,
        "unpin": models_change.unpin,
    }
    async with connection.hub_of(args) as hub:
        await actions[args.action or "list"](hub, args)


async def _list(hub: "Hub", args: argparse.Namespace) -> None:
    from troupe.model.v1 import ListModelsRequest

    answer, weights = await asyncio.gather(hub.models.list_models(ListModelsRequest()), known_weights(hub))
    if args.json:
        for model in answer.models:
            print_json(model)
        return
    names = {model.name for model in answer.models}
    others = [each for each in missing(weights) if each.name not in names]
    rows = [("NAME", "STATE", "FORMAT", "SIZE", "CONTEXT", "OFFERS"), *map(row, answer.models)]
    aliases = sorted(f"{alias} is another name of {model.name}" for model in answer.models for alias in model.aliases)
    for line in [*columns([*rows, *map(weights_text.row, others)]), *aliases, *weights_text.notes(others)]:
        print(clean(line))
    for why in dict.fromkeys(reasons(answer.models)):
        print(clean(why))
    if any(model.default for model in answer.models):
        print("* answers who names no model")


async def _show(hub: "Hub", args: argparse.Namespace) -> None:
    weights = next((each for each in await known_weights(hub) if each.name == args.name), None)
    found = await _model(hub, args.name, needed=weights is None)
    model = found.model if found is not None else None
    if args.json:
        if (known := model or weights) is not None:
            print_json(known)
        return
    pairs = details(model) if model else [("name", args.name)]
    pairs += weights_text.details(weights) if weights else []
    for line in columns([pair for pair in pairs if pair[1]]):
        print(clean(line))
    if found is not None and found.HasField("profile"):
        for line in ["", *figures_table(found.profile), *proposal_text(found.profile)]:
            print(clean(line))


async def _model(hub: "Hub", name: str, *, needed: bool) -> "GetModelResponse | None":
    """What is told of the model of this name; None where there is none and it is not needed. Raises RpcError."""
    from bus import RpcError
    from troupe.model.v1 import GetModelRequest

    try:
        return await hub.models.get_model(GetModelRequest(name=name))
    except RpcError as error:
        if needed or error.reason != "MODEL_NOT_FOUND":
            raise
        return None


async def _load(hub: "Hub", args: argparse.Namespace) -> None:
    from troupe.model.v1 import LoadModelRequest

    async for response in hub.models.load_model(LoadModelRequest(name=args.name)):
        if args.json:
            print_json(response)
        elif response.HasField("progress"):
            print(f"{args.name}: {progress_text(response.progress)}", file=sys.stderr, flush=True)
        elif response.HasField("model"):
            print(f"{response.model.name}: {state_of(response.model)}")


async def _unload(hub: "Hub", args: argparse.Namespace) -> None:
    from troupe.model.v1 import UnloadModelRequest

    answer = await hub.models.unload_model(UnloadModelRequest(name=args.name))
    if args.json:
        print_json(answer)
    else:
        print(f"{args.name}: unloaded")
