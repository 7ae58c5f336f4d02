"""`troupe add` before it installs; tests/e2e/test_add_a_part.py goes on from there."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from actors.registry import PARTS
from bus import Code, Context, RpcError
from bus.channel import Channel
from bus.server import Server
from bus.transports.memory import MemoryBroker, MemoryTransport
from cli import connection
from cli.__main__ import main
from cli.add import named, part_names
from cli.failure import CommandError
from host.parts import Library, Part
from troupe.health.v1 import (
    Actor,
    ActorState,
    HealthService,
    HealthServiceClient,
    StartActorRequest,
    StartActorResponse,
    WatchRequest,
    WatchResponse,
)


def test_without_a_name_the_parts_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["add"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["PART", "STATE", "FOR"]
    assert [line.split()[0] for line in lines] == list(PARTS)
    assert main(["add", "--json"]) == 0
    listed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert listed[0] == {"name": "llama", "installed": True, "about": PARTS["llama"].about}


def test_a_misspelt_part_is_told_with_the_nearest() -> None:
    with pytest.raises(CommandError, match="Did you mean voice"):
        named("vocie", PARTS)
    with pytest.raises(CommandError, match="There are: llama, transformers"):
        named("xyzzy", PARTS)


def test_the_parts_are_completed() -> None:
    assert part_names("v") == list(PARTS)


class ReadyHealth(HealthService):
    """Starts what it is asked to start: "loud" serves then, "broken" ends, "secret" is not for everybody."""

    def __init__(self) -> None:
        self.started: list[str] = []

    async def start_actor(self, request: StartActorRequest, ctx: Context) -> StartActorResponse:
        if request.name == "secret":
            raise RpcError(Code.PERMISSION_DENIED, "This key may not.", reason="MISSING_SCOPE")
        self.started.append(request.name)
        return StartActorResponse()

    async def watch(self, request: WatchRequest, ctx: Context) -> AsyncIterator[WatchResponse]:
        states = {"loud": ActorState.ACTOR_STATE_SERVING, "broken": ActorState.ACTOR_STATE_FAILED}
        yield WatchResponse(actors=[Actor(name=name, state=ActorState.ACTOR_STATE_STARTING) for name in self.started])
        yield WatchResponse(actors=[Actor(name=name, state=states[name]) for name in self.started])


@dataclass(frozen=True)
class OnlyHealth:
    """What `troupe add` needs of a hub."""

    health: HealthServiceClient


@asynccontextmanager
async def hub_at(*_: object) -> AsyncIterator[OnlyHealth]:
    """A hub whose actors can be started."""
    broker = MemoryBroker()
    serving, calling = MemoryTransport(broker), MemoryTransport(broker)
    server, channel = Server(serving), Channel(calling)
    await server.add(ReadyHealth(), HealthService.INFO)
    await channel.start()
    yield OnlyHealth(HealthServiceClient(channel))
    await channel.close()
    await server.drain(grace=0.0)
    await serving.close()
    await calling.close()


def add(monkeypatch: pytest.MonkeyPatch, *actors: str) -> int:
    """`troupe add sound`, which is installed and brings these actors."""
    monkeypatch.setattr(connection, "hub_at", hub_at)
    monkeypatch.setitem(PARTS, "sound", Part("sounds", (Library("python", "json", 1),), dict.fromkeys(actors, ())))
    return main(["add", "sound", "--target", "here"])


@pytest.mark.parametrize(
    ("actors", "code", "said"),
    [
        (("loud",), 0, "loud serves."),
        (("loud", "broken"), 1, "broken is failed: its log says why"),
        ((), 0, "No actor of this version stands on it yet."),
    ],
)
def test_the_actors_of_a_part_are_started_in_the_running_hub(
    actors: tuple[str, ...], code: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert add(monkeypatch, *actors) == code
    out = capsys.readouterr().out
    assert said in out and "sound is there already; --again installs it anew." in out


def test_whoever_may_not_start_actors_is_told_that_the_part_is_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert add(monkeypatch, "secret") != 0
    assert "It is installed, and secret is not started: This key may not." in capsys.readouterr().err
