import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from bus import Code, Context, RpcError
from bus.testing import NatsServer
from bus.transports.memory import MemoryTransport
from bus.transports.nats import NatsTransport
from gateway.health import Probe
from gateway.hub import Hub
from host.liveness import Heart, Presence
from troupe.health.v1 import (
    Actor,
    ActorState,
    CheckRequest,
    CheckResponse,
    HealthService,
    WatchRequest,
    WatchResponse,
)


class Supervisor(HealthService):
    def __init__(self, **states: ActorState) -> None:
        self.actors = [Actor(name=name, state=state, restarts=2) for name, state in states.items()]

    async def check(self, request: CheckRequest, ctx: Context) -> CheckResponse:
        return CheckResponse(actors=self.actors)

    async def watch(self, request: WatchRequest, ctx: Context) -> AsyncIterator[WatchResponse]:
        yield WatchResponse(actors=self.actors)


class CutTransport(MemoryTransport):
    def publish(self, subject: str, payload: bytes, reply: str = "") -> None:
        raise RpcError(Code.UNAVAILABLE, "The bus cannot be reached.")


class HungTransport(MemoryTransport):
    def publish(self, subject: str, payload: bytes, reply: str = "") -> None:
        """As nats-py without a connection: it keeps the message for later."""


@pytest.fixture
def hub(gateway: Any) -> Hub:
    found: Hub = gateway.hub
    return found


async def supervised(hall: Any, **states: ActorState) -> None:
    await hall.server.add(Supervisor(**states), HealthService.INFO)


async def test_the_hub_is_ready_when_every_actor_serves(hall: Any, hub: Hub) -> None:
    serving = ActorState.ACTOR_STATE_SERVING
    await supervised(hall, llama=serving, echo=serving, gateway=ActorState.ACTOR_STATE_STARTING)
    found = await Probe(hub, Presence(hub.transport)).readiness()
    assert found.ready
    assert set(found.actors) == {"llama", "echo"}
    assert found.actors["llama"].state == "serving"
    assert found.actors["llama"].restarts == 2
    assert found.dependencies["bus"].ready


@pytest.mark.parametrize("state", ["STARTING", "BACKING_OFF", "FAILED", "DRAINING", "STOPPED"])
async def test_one_actor_that_does_not_serve_is_named(hall: Any, hub: Hub, state: str) -> None:
    await supervised(hall, llama=getattr(ActorState, f"ACTOR_STATE_{state}"), echo=ActorState.ACTOR_STATE_SERVING)
    found = await Probe(hub, Presence(hub.transport)).readiness()
    assert not found.ready
    assert (found.actors["llama"].ready, found.actors["llama"].state) == (False, state.lower())
    assert found.actors["echo"].ready


async def test_without_a_supervisor_those_that_are_heard_count(hall: Any, hub: Hub) -> None:
    presence = Presence(hub.transport)
    await presence.start()
    heard = asyncio.Event()
    presence.subscribe(lambda change: heard.set() if change.seen.actor == "llama" else None)
    transport = MemoryTransport(hall.broker)
    heart = Heart(transport, "llama")
    heart.state = "serving"
    heart.start()
    await heard.wait()
    found = await Probe(hub, presence).readiness()
    await heart.stop()
    await presence.stop()
    assert found.ready
    assert (found.actors["llama"].state, found.actors["llama"].processes) == ("serving", 1)


async def test_a_supervisor_that_does_not_answer_is_no_actor(hall: Any, hub: Hub) -> None:
    presence = Presence(hub.transport)
    await presence.start()
    heard: asyncio.Queue[str] = asyncio.Queue()
    presence.subscribe(lambda change: heard.put_nowait(change.seen.actor))
    hearts = [Heart(MemoryTransport(hall.broker), actor) for actor in ("supervisor", "echo")]
    for heart in hearts:
        heart.state = "serving"
        heart.start()
        await heard.get()
    found = await Probe(hub, presence).readiness()
    assert (found.ready, list(found.actors)) == (True, ["echo"])
    for heart in hearts:
        await heart.stop()
    await presence.stop()


async def test_an_actor_that_serves_and_has_trouble_is_not_ready_and_says_why(hall: Any, hub: Hub) -> None:
    supervisor = Supervisor(llama=ActorState.ACTOR_STATE_SERVING)
    await hall.server.add(supervisor, HealthService.INFO)
    probe = Probe(hub, Presence(hub.transport))
    assert (await probe.readiness()).ready
    supervisor.actors[0].trouble = "tiny is started again."
    found = await probe.readiness()
    assert (found.ready, found.actors["llama"].ready, found.actors["llama"].state) == (False, False, "serving")
    assert found.actors["llama"].trouble == "tiny is started again."


async def test_an_empty_hub_is_not_ready(hub: Hub) -> None:
    found = await Probe(hub, Presence(hub.transport)).readiness()
    assert not found.ready
    assert found.actors == {}


@pytest.mark.parametrize(("kind", "error"), [(CutTransport, "cannot be reached"), (HungTransport, "no answer in time")])
async def test_a_bus_that_is_away_is_named_and_actors_are_not_asked(
    hub: Hub, hall: Any, kind: type[MemoryTransport], error: str
) -> None:
    cut = replace(hub, transport=kind(hall.broker))
    found = await Probe(cut, Presence(cut.transport)).readiness()
    assert not found.ready
    assert error in found.dependencies["bus"].error
    assert found.actors == {}


async def test_a_killed_server_is_noticed_at_once_and_so_is_its_return(hub: Hub, nats_server: NatsServer) -> None:
    transport = await NatsTransport.connect(nats_server.url, "gateway")
    reconnected = asyncio.Event()
    transport.on_reconnect(reconnected.set)
    probe = Probe(replace(hub, transport=transport), Presence(transport))
    assert (await probe.readiness()).dependencies["bus"].ready
    nats_server.kill()
    assert not (await probe.readiness()).dependencies["bus"].ready
    nats_server.start()
    await reconnected.wait()
    assert (await probe.readiness()).dependencies["bus"].ready
    await transport.close()


async def test_an_actor_that_is_not_installed_is_told_with_its_remedy_and_keeps_nobody_from_being_ready(
    hall: Any, hub: Hub
) -> None:
    supervisor = Supervisor(llama=ActorState.ACTOR_STATE_SERVING, voice=ActorState.ACTOR_STATE_NOT_INSTALLED)
    supervisor.actors[1].part = "sound"
    await hall.server.add(supervisor, HealthService.INFO)
    found = await Probe(hub, Presence(hub.transport)).readiness()
    voice = found.actors["voice"]
    assert (found.ready, voice.ready, voice.state, voice.remedy) == (True, False, "not_installed", "troupe add sound")
    assert found.actors["llama"].remedy == ""
