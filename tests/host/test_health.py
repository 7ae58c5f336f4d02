import asyncio
import time
from collections.abc import AsyncIterator
from importlib import metadata

import pytest

from bus import Code, RpcError
from bus.channel import Channel
from bus.server import Server
from bus.transports.memory import MemoryBroker, MemoryTransport
from host.health import HealthActor
from host.supervision import Child, State
from troupe.health.v1 import (
    ActorState,
    CheckRequest,
    HealthService,
    HealthServiceClient,
    StartActorRequest,
    WatchRequest,
)

NOW = 1000.0


class Hall:
    def __init__(self) -> None:
        self.children = {"gateway": Child("gateway", State.SERVING), "echo": Child("echo", State.STARTING)}
        self.lacks: str | None = ""
        self.added: list[str] = []
        self.actor = HealthActor(self.children, self._add, clock=lambda: NOW)

    def _add(self, name: str) -> str | None:
        self.added.append(name)
        return self.lacks


@pytest.fixture
def hall() -> Hall:
    return Hall()


@pytest.fixture
async def client(hall: Hall) -> AsyncIterator[HealthServiceClient]:
    broker = MemoryBroker()
    server = Server(MemoryTransport(broker, "supervisor-1"))
    await server.add(hall.actor, HealthService.INFO)
    channel = Channel(MemoryTransport(broker, "gateway-1"))
    async with asyncio.timeout(10):
        yield HealthServiceClient(channel)
        await channel.close()
        await server.drain(0)


async def test_check_tells_every_process_in_order(hall: Hall, client: HealthServiceClient) -> None:
    hall.children["echo"] = Child(
        "echo", State.FAILED, restarts=5, last_exit="ended by SIGABRT", since=NOW - 60, process="", pid=0
    )
    gateway, echo = (await client.check(CheckRequest())).actors
    assert (gateway.name, gateway.state) == ("gateway", ActorState.ACTOR_STATE_SERVING)
    assert (echo.state, echo.restarts, echo.last_exit) == (ActorState.ACTOR_STATE_FAILED, 5, "ended by SIGABRT")
    assert abs(time.time() - echo.since.ToNanoseconds() / 1e9 - 60) < 5


async def test_check_tells_since_when_the_hub_runs_and_what_it_is(client: HealthServiceClient) -> None:
    told = await client.check(CheckRequest())
    assert abs(time.time() - told.started.ToNanoseconds() / 1e9) < 60
    assert told.version == metadata.version("troupe-hub")


@pytest.mark.parametrize("state", State)
async def test_every_state_has_a_name_in_the_contract(hall: Hall, client: HealthServiceClient, state: State) -> None:
    hall.children["echo"].state = state
    told = (await client.check(CheckRequest())).actors[1].state
    assert ActorState.Name(told) == f"ACTOR_STATE_{state.name}"


async def test_watch_tells_at_once_and_again_after_each_change(hall: Hall, client: HealthServiceClient) -> None:
    watching = aiter(client.watch(WatchRequest()))
    assert (await anext(watching)).actors[1].state == ActorState.ACTOR_STATE_STARTING
    for state in (State.SERVING, State.BACKING_OFF, State.STARTING):
        hall.children["echo"].state = state
        hall.actor.changed()
        assert ActorState.Name((await anext(watching)).actors[1].state).endswith(state.name)


async def test_an_actor_is_started_by_its_name_and_told_as_it_is(hall: Hall, client: HealthServiceClient) -> None:
    told = (await client.start_actor(StartActorRequest(name="echo"))).actor
    assert (hall.added, told.name, told.state) == (["echo"], "echo", ActorState.ACTOR_STATE_STARTING)


@pytest.mark.parametrize(
    ("name", "lacks", "code", "reason"),
    [
        ("echo", "sound", Code.FAILED_PRECONDITION, "PART_NOT_INSTALLED"),
        ("echo", None, Code.UNAVAILABLE, "HUB_STOPPING"),
        ("choir", "", Code.NOT_FOUND, "ACTOR_NOT_FOUND"),
    ],
)
async def test_what_cannot_be_started_says_why(
    hall: Hall, client: HealthServiceClient, name: str, lacks: str | None, code: Code, reason: str
) -> None:
    hall.lacks = lacks
    with pytest.raises(RpcError) as caught:
        await client.start_actor(StartActorRequest(name=name))
    assert (caught.value.code, caught.value.reason) == (code, reason)


async def test_the_part_is_told_only_while_it_is_missing(hall: Hall, client: HealthServiceClient) -> None:
    for state, part in ((State.NOT_INSTALLED, "sound"), (State.STOPPED, "")):
        hall.children["echo"] = Child("echo", state, part="sound")
        assert (await client.check(CheckRequest())).actors[1].part == part
