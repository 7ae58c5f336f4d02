"""Tells how every supervised process is; served by the supervisor itself."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from functools import cache
from importlib import metadata

from bus import Code, Context, RpcError, nearest
from bus.errors import part_not_installed
from host.supervision import Child, State
from troupe.health.v1 import (
    Actor,
    ActorState,
    CheckRequest,
    CheckResponse,
    HealthService,
    StartActorRequest,
    StartActorResponse,
    WatchRequest,
    WatchResponse,
)

STATES = {
    State.STARTING: ActorState.ACTOR_STATE_STARTING,
    State.SERVING: ActorState.ACTOR_STATE_SERVING,
    State.BACKING_OFF: ActorState.ACTOR_STATE_BACKING_OFF,
    State.FAILED: ActorState.ACTOR_STATE_FAILED,
    State.DRAINING: ActorState.ACTOR_STATE_DRAINING,
    State.STOPPED: ActorState.ACTOR_STATE_STOPPED,
    State.NOT_INSTALLED: ActorState.ACTOR_STATE_NOT_INSTALLED,
}


class HealthActor(HealthService):
    """Reads the supervisor's children when asked. Whoever changes them calls `changed`.

    add: starts a child that rests, and gives the part that it lacks, or nothing; None while the hub stops. clock: the
    one of the children's `since`. The hub counts as started when this is made.
    """

    def __init__(
        self, children: dict[str, Child], add: Callable[[str], str | None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._children = children
        self._add = add
        self._clock = clock
        self._started = time.time_ns()
        self._changed = asyncio.Event()

    def changed(self) -> None:
        """Let those who watch look again."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def check(self, request: CheckRequest, ctx: Context) -> CheckResponse:
        """See the contract."""
        answer = CheckResponse(actors=self.actors(), version=_version())
        answer.started.FromNanoseconds(self._started)
        return answer

    async def watch(self, request: WatchRequest, ctx: Context) -> AsyncIterator[WatchResponse]:
        """See the contract. Changes that come faster than they are taken are told as one."""
        while True:
            changed = self._changed
            yield WatchResponse(actors=self.actors())
            await changed.wait()

    async def start_actor(self, request: StartActorRequest, ctx: Context) -> StartActorResponse:
        """See the contract."""
        child = self._children.get(request.name)
        if child is None:
            raise self._no_such(request.name)
        lacks = self._add(child.name)
        if lacks is None:
            raise RpcError(Code.UNAVAILABLE, "The hub is stopping; it starts nothing.", reason="HUB_STOPPING")
        if lacks:
            raise part_not_installed(f"The actor {child.name}", lacks)
        return StartActorResponse(actor=described(child, self._clock()))

    def _no_such(self, name: str) -> RpcError:
        close = nearest(name, self._children)
        hint = f"Did you mean {' or '.join(close)}?" if close else f"There are: {', '.join(self._children)}."
        message = f"No actor {name[:100]!r} is run by this hub ([supervisor] actors says which are). {hint}"
        return RpcError(Code.NOT_FOUND, message, reason="ACTOR_NOT_FOUND", field="name")

    def actors(self) -> list[Actor]:
        """Every process as the contract has it."""
        return [described(child, self._clock()) for child in self._children.values()]


@cache
def _version() -> str:
    try:
        return metadata.version("troupe-hub")
    except metadata.PackageNotFoundError:
        return ""


def described(child: Child, now: float) -> Actor:
    """A process as the contract has it; `now` on the clock of its `since`."""
    actor = Actor(
        name=child.name,
        state=STATES[child.state],
        process=child.process,
        pid=child.pid,
        restarts=child.restarts,
        last_exit=child.last_exit,
        trouble=child.trouble,
        part=child.part if child.state is State.NOT_INSTALLED else "",
    )
    actor.since.FromNanoseconds(time.time_ns() - int((now - child.since) * 1e9))
    return actor
