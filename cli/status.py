"""Say how the hub is: its processes and models, where it is reached, since when it runs.

Exit codes: 0 everything serves, 1 something does not (yet), 2 no hub answers.
"""

import argparse
import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cli import connection
from cli.failure import FAILED, OK
from cli.plain_text import clean, columns, span_text
from cli.weights_text import coming, known_weights, state_text

if TYPE_CHECKING:
    from host.running import Running
    from host.settings import Settings
    from troupe.health.v1 import Actor, CheckResponse
    from troupe.model.v1 import Model
    from troupe.weights.v1 import Weights
    from troupe_client import Hub

ASK_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Status:
    """What a hub says of itself. health, models: None where nobody tells; trouble: why.

    coming: models that are being fetched. unsupervised: nobody of this hub tells of its processes. modelless: it runs
    without the actor that knows its models.
    """

    target: str
    health: "CheckResponse | None"
    models: "Sequence[Model] | None"
    trouble: Sequence[str] = ()
    coming: "Sequence[Weights]" = ()
    unsupervised: bool = False
    modelless: bool = False

    @property
    def serves(self) -> bool:
        """Every process that is installed serves, without trouble, and the models' families answer.

        Where no supervisor tells of processes, as in containers, the models alone count; not where it does not answer.
        """
        from troupe.health.v1 import ActorState
        from troupe.model.v1 import ModelState

        away = ModelState.MODEL_STATE_UNAVAILABLE
        if self.models is None and not self.modelless:
            return False
        if any(model.state == away for model in self.models or ()):
            return False
        if self.health is None:
            return self.unsupervised
        here = [each for each in self.health.actors if each.state != ActorState.ACTOR_STATE_NOT_INSTALLED]
        return all(each.state == ActorState.ACTOR_STATE_SERVING and not each.trouble for each in here)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `troupe status` understands."""
    parser.add_argument("--json", action="store_true", help="as one JSON object")
    connection.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print it; exit code 0 if everything serves. Raises SettingsError, RpcError."""
    from host.running import find
    from troupe_client import HubUnreachable

    settings = connection.settings_of(args)
    own = find(settings.home)
    try:
        status = asyncio.run(_asked(args, settings))
    except HubUnreachable as error:
        if own is None or error.metadata["target"] != own.doors.get("grpc"):
            raise
        print(_silent(settings, own))
        return FAILED
    local = own if own and own.doors.get("grpc") == status.target else None
    if args.json:
        _print_json(status)
    else:
        print("\n".join(clean(line) for line in told(status, local, settings, time.time())))
    return OK if status.serves else FAILED


def _silent(settings: "Settings", own: "Running") -> str:
    since = span_text(time.time() - own.started)
    return (
        f"A hub runs in {settings.home} for {since} (process {own.process}), and its door {own.doors['grpc']} does not "
        "answer yet. `troupe logs -f` shows what it does."
    )


async def _asked(args: argparse.Namespace, settings: "Settings") -> Status:
    from troupe.health.v1 import CheckRequest
    from troupe.model.v1 import ListModelsRequest

    async with connection.hub_at(args, settings) as hub:
        health, models, weights = await asyncio.gather(
            _answer(hub.health.check(CheckRequest(), timeout=ASK_SECONDS)),
            _answer(hub.models.list_models(ListModelsRequest(), timeout=ASK_SECONDS)),
            known_weights(hub),
        )
        return _status(hub, health, models, weights)


async def _answer(call: Any) -> Any:
    """What was answered, or why the hub does not tell this. Raises RpcError if hub or key is missing."""
    from bus import Code, RpcError
    from troupe_client import ConnectionLost

    try:
        return await call
    except RpcError as error:
        if isinstance(error, ConnectionLost) or error.code is Code.UNAUTHENTICATED:
            raise
        return error


def _status(hub: "Hub", health: Any, models: Any, weights: "Sequence[Weights]") -> Status:
    from bus import RpcError

    trouble = [
        f"{what} cannot be told: {answer.message}"
        for what, answer in (("The processes", health), ("The models", models))
        if isinstance(answer, RpcError)
    ]
    return Status(
        hub.channel.target,
        None if isinstance(health, RpcError) else health,
        None if isinstance(models, RpcError) else list(models.models),
        trouble,
        coming(weights),
        unsupervised=_absent(health),
        modelless=_absent(models) and not isinstance(health, RpcError) and "models" not in _names(health),
    )


def _absent(answer: Any) -> bool:
    """Nobody of this hub gives such answers."""
    from bus import RpcError

    return isinstance(answer, RpcError) and answer.reason == "NO_RESPONDERS"


def _names(health: "CheckResponse") -> set[str]:
    return {each.name for each in health.actors}


# ---- as text


def told(status: Status, local: "Running | None", settings: "Settings", now: float) -> list[str]:
    """The status for people. local: the record of this home's hub, if that is the one; now: seconds since 1970."""
    sections = [_head(status, local, settings, now)]
    if status.health:
        sections.append(_processes(status.health.actors, now))
    if status.models is not None:
        sections.append(_models(status.models) + [f"{each.name}: {state_text(each)}" for each in status.coming])
    sections.append(list(status.trouble))
    return [line for section in sections if section for line in ("", *section)][1:]


def _head(status: Status, local: "Running | None", settings: "Settings", now: float) -> list[str]:
    health = status.health
    version = f"Troupe {health.version}".rstrip() if health else "Troupe"
    up = f", up for {span_text(now - health.started.ToNanoseconds() / 1e9)}" if health else ""
    process = f" (process {local.process})" if local else ""
    places = [("gRPC", status.target)]
    if local:
        places = [("Page", f"http://{local.doors['http']}/"), *places, ("Bus", local.bus)]
        places.append(("Home", f"{settings.home}; logs in {settings.home / 'logs'}"))
    return [f"{version}{up}{process}", *(f"  {name:<5} {place}" for name, place in places)]


def _processes(actors: "Sequence[Actor]", now: float) -> list[str]:
    rows = [("PROCESS", "STATE", "FOR", "RESTARTS", "LAST END"), *(_process(actor, now) for actor in actors)]
    return columns(rows)


def _process(actor: "Actor", now: float) -> tuple[str, ...]:
    from troupe.health.v1 import ActorState

    state = ActorState.Name(actor.state).removeprefix("ACTOR_STATE_").lower().replace("_", " ")
    since = span_text(now - actor.since.ToNanoseconds() / 1e9)
    lacks = f"`troupe add {actor.part}` installs it" if actor.part else ""
    return actor.name, state, since, str(actor.restarts or ""), lacks or actor.trouble or actor.last_exit


def _models(models: "Sequence[Model]") -> list[str]:
    """Those that take memory or have trouble; the rest is counted."""
    from cli.model_text import row
    from troupe.model.v1 import ModelState

    shown = [model for model in models if model.state != ModelState.MODEL_STATE_AVAILABLE]
    rest = len(models) - len(shown)
    lines = columns([("MODEL", "STATE", "FORMAT", "SIZE", "CONTEXT", "OFFERS"), *map(row, shown)]) if shown else []
    lines += [f"{model.name}: {model.error}" for model in shown if model.error]
    if rest:
        lines.append(f"{rest} more can be loaded; `troupe models` lists them." if shown else _none_loaded(rest))
    return lines or ["There is no model; put GGUF files into the home's folder models."]


def _none_loaded(rest: int) -> str:
    return f"No model is loaded; {rest} can be, and `troupe models` lists them."


def _print_json(status: Status) -> None:
    import json

    from google.protobuf import json_format

    health = json_format.MessageToDict(status.health) if status.health else None
    models = None if status.models is None else [json_format.MessageToDict(model) for model in status.models]
    whole = {"target": status.target, "serves": status.serves, "health": health, "models": models}
    print(json.dumps(whole | {"trouble": list(status.trouble)}, ensure_ascii=False))
