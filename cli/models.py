"""List, load and unload models, and fetch those that the hub knows where to find."""

import argparse
import asyncio
import sys
from typing import TYPE_CHECKING, Any

from cli import connection, weights_text
from cli.completion import completing, model_names
from cli.failure import OK, CommandError
from cli.plain_text import clean, columns, size_text, time_text
from cli.weights_text import known_weights, missing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from troupe.model.v1 import Model
    from troupe.rpc.v1 import Progress
    from troupe_client import Hub


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `troupe models` understands."""
    parser.add_argument("action", nargs="?", choices=("list", "show", "load", "unload", "fetch"), default="list")
    name = parser.add_argument("name", nargs="?", help="a model or an alias; all but list need one")
    completing(name, model_names)
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    connection.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Do it; exit code 0. Raises CommandError, RpcError, SettingsError."""
    if args.action != "list" and not args.name:
        raise CommandError(f"`troupe models {args.action}` needs a name.", "`troupe models` lists them.")
    asyncio.run(_run(args))
    return OK


async def _run(args: argparse.Namespace) -> None:
    actions = {"list": _list, "show": _show, "load": _load, "unload": _unload, "fetch": _fetch}
    async with connection.hub_of(args) as hub:
        await actions[args.action](hub, args)


async def _list(hub: "Hub", args: argparse.Namespace) -> None:
    from troupe.model.v1 import ListModelsRequest

    answer, weights = await asyncio.gather(hub.models.list_models(ListModelsRequest()), known_weights(hub))
    if args.json:
        for model in answer.models:
            _print_json(model)
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
    model = await _model(hub, args.name, needed=weights is None)
    if args.json:
        _print_json(weights if model is None else model)
        return
    pairs = details(model) if model else [("name", args.name)]
    pairs += weights_text.details(weights) if weights else []
    for line in columns([pair for pair in pairs if pair[1]]):
        print(clean(line))


async def _model(hub: "Hub", name: str, *, needed: bool) -> "Model | None":
    """The model of this name; None where there is none and it is not needed. Raises RpcError."""
    from bus import RpcError
    from troupe.model.v1 import GetModelRequest

    try:
        return (await hub.models.get_model(GetModelRequest(name=name))).model
    except RpcError as error:
        if needed or error.reason != "MODEL_NOT_FOUND":
            raise
        return None


async def _fetch(hub: "Hub", args: argparse.Namespace) -> None:
    from troupe.weights.v1 import FetchWeightsRequest

    async for response in hub.weights.fetch_weights(FetchWeightsRequest(name=args.name)):
        if args.json:
            _print_json(response)
        elif response.HasField("progress"):
            print(f"{args.name}: {response.progress.fraction:.0%}", file=sys.stderr, flush=True)
        elif response.HasField("weights"):
            print(f"{response.weights.name}: {weights_text.state_text(response.weights)}")


async def _load(hub: "Hub", args: argparse.Namespace) -> None:
    from troupe.model.v1 import LoadModelRequest

    async for response in hub.models.load_model(LoadModelRequest(name=args.name)):
        if args.json:
            _print_json(response)
        elif response.HasField("progress"):
            print(f"{args.name}: {progress_text(response.progress)}", file=sys.stderr, flush=True)
        elif response.HasField("model"):
            print(f"{response.model.name}: {state_of(response.model)}")


async def _unload(hub: "Hub", args: argparse.Namespace) -> None:
    from troupe.model.v1 import UnloadModelRequest

    answer = await hub.models.unload_model(UnloadModelRequest(name=args.name))
    if args.json:
        _print_json(answer)
    else:
        print(f"{args.name}: unloaded")


# ---- as text


def reasons(models: "Iterable[Model]") -> list[str]:
    """Why models do not serve; one sentence for all of a family that is away."""
    from troupe.model.v1 import ModelState

    away = ModelState.MODEL_STATE_UNAVAILABLE
    return [each.error if each.state == away else f"{each.name}: {each.error}" for each in models if each.error]


def row(model: "Model") -> tuple[str, ...]:
    """One line of the list."""
    offers = ", ".join(map(offer, model.services))
    return (
        model.name,
        f"{state_of(model)} *" if model.default else state_of(model),
        " ".join(filter(None, (model.architecture, model.quantization))),
        size_text(model.size_bytes),
        str(model.context_tokens or ""),
        offers,
    )


def offer(service: str) -> str:
    """A service in one word; where only one method of it is offered, that one."""
    name, _, method = service.rpartition(".")[2].partition("/")
    return (method or name.removesuffix("Service")).lower()


def details(model: "Model") -> list[tuple[str, str]]:
    """What is known of a model, one line each; what is not known is left out."""
    pairs = [
        ("name", model.name),
        ("state", f"{state_of(model)}, the default" if model.default else state_of(model)),
        ("error", model.error),
        ("description", model.description),
        ("note", model.note),
        ("full name", model.qualified_name),
        ("aliases", ", ".join(model.aliases)),
        ("owner", model.owner),
        ("family", model.family),
        ("architecture", model.architecture),
        ("quantization", model.quantization),
        ("parameters", f"{model.parameters:,}" if model.parameters else ""),
        ("size", size_text(model.size_bytes)),
        ("context", f"{model.context_tokens:,} tokens" if model.context_tokens else ""),
        ("embedding", f"{model.embedding_dimensions} dimensions" if model.embedding_dimensions else ""),
        ("adapters", ", ".join(model.adapters)),
        ("services", ", ".join(model.services)),
        ("modified", time_text(model.modified.ToNanoseconds() / 1e9) if model.HasField("modified") else ""),
    ]
    return [(name, value) for name, value in pairs if value]


def state_of(model: "Model") -> str:
    """A model's state as one word; one that served and is loaded again, because it ended or hung, is "restarting"."""
    from troupe.model.v1 import ModelState

    if model.state == ModelState.MODEL_STATE_LOADING and model.error:
        return "restarting"
    return ModelState.Name(model.state).removeprefix("MODEL_STATE_").lower()


def progress_text(progress: "Progress") -> str:
    """What a call waits for, in a few words."""
    words = [type(progress).State.Name(progress.state).removeprefix("STATE_").lower()]
    if progress.position:
        words.append(f"position {progress.position}")
    if progress.fraction:
        words.append(f"{progress.fraction:.0%}")
    return " ".join([*words, progress.note]).rstrip()


def _print_json(message: Any) -> None:
    from google.protobuf import json_format

    print(json_format.MessageToJson(message, indent=None, ensure_ascii=False), flush=True)
