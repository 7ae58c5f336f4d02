"""Is the hub alive, and can it answer: for people, load balancers and container health checks."""

import asyncio
import secrets
import time

from msgspec import Struct

from bus import RpcError, subjects
from bus.transports import Message, Subscription, Transport
from gateway.hub import Hub
from host.liveness import Presence
from troupe.health.v1 import ActorState, CheckRequest, HealthServiceClient

CHECK_SECONDS = 1.0
"""How long each dependency may take; a readiness probe must not hang."""

SELF = "gateway"
"""This process's name among the actors. That it answers tells enough about it."""


SUPERVISOR = "supervisor"
"""It does not answer here, but is heard; no call needs it."""


class Health(Struct, frozen=True):
    """The process runs."""

    status: str = "ok"


class DependencyHealth(Struct, frozen=True, kw_only=True):
    """One thing that the gateway needs. seconds: what a round trip took."""

    ready: bool
    seconds: float
    error: str = ""


class ActorHealth(Struct, frozen=True, kw_only=True):
    """One actor. processes: how many of them serve. trouble: what is not right with it though it serves.

    remedy: what brings one that is not installed, and that the hub is ready without.
    """

    ready: bool
    state: str
    processes: int
    restarts: int = 0
    trouble: str = ""
    remedy: str = ""

    @property
    def fit(self) -> bool:
        """It does not keep the hub from being ready."""
        return self.ready or bool(self.remedy)


class Readiness(Struct, frozen=True, kw_only=True):
    """Whether calls can be answered, and what is missing if not."""

    ready: bool
    dependencies: dict[str, DependencyHealth]
    actors: dict[str, ActorHealth]


class RoundTrip:
    """A message to oneself through the bus. A flush will not do: without a connection nats-py has nothing to flush."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._subject = subjects.reply(transport.process, f"probe-{secrets.token_hex(8)}")
        self._subscription: Subscription | None = None
        self._waiting: dict[bytes, asyncio.Future[None]] = {}

    async def take(self) -> float:
        """Seconds that it took. Waits while the bus is away; raises UNAVAILABLE if it cannot be asked."""
        if self._subscription is None:
            self._subscription = await self._transport.subscribe(self._subject, self._heard)
        nonce = secrets.token_bytes(8)
        arrived = self._waiting[nonce] = asyncio.get_running_loop().create_future()
        began = time.perf_counter()
        try:
            self._transport.publish(self._subject, nonce)
            await arrived
        finally:
            del self._waiting[nonce]
        return time.perf_counter() - began

    def _heard(self, message: Message) -> None:
        arrived = self._waiting.get(message.payload)
        if arrived is not None and not arrived.done():
            arrived.set_result(None)


class Probe:
    """Asks the bus, the supervisor and the roll of processes."""

    def __init__(self, hub: Hub, presence: Presence) -> None:
        self.hub = hub
        self.presence = presence
        self._round_trip = RoundTrip(hub.transport)

    async def readiness(self) -> Readiness:
        """How everything is. Takes at most a few seconds and raises nothing."""
        bus = await self._bus()
        actors = await self._actors() if bus.ready else {}
        ready = bus.ready and bool(actors) and all(actor.fit for actor in actors.values())
        return Readiness(ready=ready, dependencies={"bus": bus}, actors=actors)

    async def _bus(self) -> DependencyHealth:
        began = time.perf_counter()
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                return DependencyHealth(ready=True, seconds=await self._round_trip.take())
        except (RpcError, TimeoutError) as error:
            seconds = time.perf_counter() - began
            return DependencyHealth(ready=False, seconds=seconds, error=str(error) or "no answer in time")

    async def _actors(self) -> dict[str, ActorHealth]:
        """As the supervisor tells; without one, as in a container of its own, those that are heard."""
        heard = self._heard()
        try:
            told = await HealthServiceClient(self.hub.channel).check(CheckRequest(), timeout=CHECK_SECONDS)
        except RpcError:
            return heard
        return {
            actor.name: ActorHealth(
                ready=actor.state == ActorState.ACTOR_STATE_SERVING and not actor.trouble,
                state=ActorState.Name(actor.state).removeprefix("ACTOR_STATE_").lower(),
                processes=heard[actor.name].processes if actor.name in heard else 0,
                restarts=actor.restarts,
                trouble=actor.trouble,
                remedy=f"troupe add {actor.part}" if actor.part else "",
            )
            for actor in told.actors
            if actor.name != SELF
        }

    def _heard(self) -> dict[str, ActorHealth]:
        found: dict[str, ActorHealth] = {}
        for name, processes in self.presence.actors().items():
            if name in (SELF, SUPERVISOR):
                continue
            serving = [seen for seen in processes if seen.state == "serving"]
            state = "serving" if serving else processes[0].state
            trouble = next((seen.trouble for seen in serving if seen.trouble), "")
            well = bool(serving) and not trouble
            found[name] = ActorHealth(ready=well, state=state, processes=len(serving), trouble=trouble)
        return found
