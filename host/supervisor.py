"""Runs a whole hub on this machine: bus, gateway and each actor in a process of its own, started again if it ends.

What is decided is in host/supervision.py; here it is done. SIGTERM and SIGINT stop the hub, a second one stops it at
once, SIGUSR1 starts what has failed, or lacked its part, once more. What the processes print lies in `<home>/logs`, of
bounded size.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import MappingProxyType

import structlog

from bus import RpcError
from host import process, registry
from host.addresses import Addresses, Door, HubFailed, reachable, with_port
from host.bus_watch import BusWatch
from host.driver import Driver
from host.embedded import EmbeddedServer
from host.health import HealthActor, described
from host.liveness import DisconnectRelay, Presence, ends_with
from host.log import RotatingFile, configure
from host.logged_process import LoggedProcess, start
from host.member import Member
from host.output import Output
from host.parts import Parts, absences, lacking
from host.running import AlreadyRunning, held, record
from host.settings import INSTANCE, Settings, hand_down
from host.supervision import RESTING, Child, State, Supervision
from troupe.health.v1 import Actor, HealthService
from troupe.rpc.v1 import Heartbeat

__all__ = ["Addresses", "AlreadyRunning", "Door", "HubFailed", "Supervisor", "run"]

GATEWAY = "gateway"

READY_SECONDS = 20.0
"""Once the gateway serves, actors have so long until the hub is called ready without them."""

LEAVE_SECONDS = 0.5
"""For calls to the supervisor itself, when all others have ended."""

TRIM_SECONDS = 5.0
"""Between two looks at the length of the logs."""

log = structlog.get_logger(__name__)


async def run(
    settings: Settings,
    actors: registry.Registry,
    *,
    parts: Parts = MappingProxyType({}),
    doors: Sequence[Door],
    ready: Callable[[Addresses], None],
    changed: Callable[[Child], None] = lambda _: None,
    stopping: Callable[[int], None] = lambda _: None,
) -> int:
    """Run a hub until it is told to stop; 0 if it ended in order.

    actors: the company, of which the settings may choose. parts: what some of them need; those whose part is not
    installed are not started, and say so. doors: the gateway's, as the settings have them. ready:
    called once, when the gateway and the actors serve or have failed. changed: called with each process whose state has
    changed, the NATS server ("nats") among them. stopping: called when the hub begins to stop, with how many calls run.
    Prints nothing; logs into the home. Raises AlreadyRunning, ServerError, HubFailed, UnknownActor, SettingsError,
    RpcError (an external bus cannot be reached).
    """
    names = settings.supervisor.actors or list(actors)
    commands = {GATEWAY: [sys.executable, "-m", "gateway"]}
    for name in names:
        registry.location(name, actors)
        commands[name] = [sys.executable, "-m", "actors", name]
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    output = RotatingFile(settings.home / "logs" / "supervisor.log")
    configure(settings.log, "supervisor", output)
    async with AsyncExitStack() as stack:
        stack.callback(output.close)
        # First, so that a second hub in this home hears of the first and not of its ports.
        stack.enter_context(held(settings.home))
        server = None if settings.bus.url else await stack.enter_async_context(EmbeddedServer(settings.home))
        doors = [with_port(door) for door in doors]
        for door in doors:
            settings = settings.changed(door.name, port=door.port)
        supervisor = Supervisor(
            settings, commands, parts=parts, doors=doors, server=server, ready=ready, changed=changed, stopping=stopping
        )
        record(settings.home, supervisor.addresses().record())
        return await supervisor.run(process.stop_requested(again=supervisor.stop_now))


class Supervisor:
    """Does what Supervision decides.

    commands: what to run, by name; "gateway", if there is one, is stopped first. doors: where it listens. server: the
    bus if it is looked after here, started by the caller. parts, ready, changed, stopping: see `run`.
    """

    def __init__(
        self,
        settings: Settings,
        commands: Mapping[str, Sequence[str]],
        *,
        parts: Parts = MappingProxyType({}),
        doors: Sequence[Door] = (),
        server: EmbeddedServer | None = None,
        ready: Callable[[Addresses], None],
        changed: Callable[[Child], None] = lambda _: None,
        stopping: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.settings = settings
        self.server = server
        own = settings.supervisor
        first, others = [name for name in commands if name == GATEWAY], [name for name in commands if name != GATEWAY]
        self.supervision = Supervision(
            [first, others],
            max_restarts=own.max_restarts,
            window=own.restart_window_seconds,
            drain=own.drain_seconds,
            absent={name: part for name in commands if (part := lacking(name, parts))},
        )
        self._parts = parts
        self._commands = commands
        self._doors = doors
        self._ready: Callable[[Addresses], None] | None = ready
        self._ready_at: float | None = None
        self._changed = changed
        self._stopping = stopping
        self._calls: dict[str, int] = {}
        self._outputs: dict[str, Output] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._finished: asyncio.Future[int]
        self._environment: dict[str, str]
        self._bus: BusWatch | None = None
        self._driver: Driver
        self._health: HealthActor
        self._relay: DisconnectRelay
        self._presence: Presence
        self._member: Member

    async def run(self, stop: asyncio.Event) -> int:
        """Run everything until `stop` is set and all has ended, or the gateway or the bus has failed (HubFailed)."""
        self._finished = asyncio.get_running_loop().create_future()
        async with AsyncExitStack() as stack:
            self._member = await stack.enter_async_context(Member(self.settings, "supervisor"))
            await self._look_after(stack)
            if self.server is not None:
                self._bus = BusWatch(
                    self.server, self.settings.supervisor, changed=self._changed, failed=self._bus_failed
                )
                self._begin(self._bus.run())
                self._bus.driver.failure.add_done_callback(self._watched)
            for work in (self._await_stop(stop), self._await_end(), self._trim()):
                self._begin(work)
            self._driver.start()
            return await self._finished

    async def _look_after(self, stack: AsyncExitStack) -> None:
        """Be told of everything that happens to the processes."""
        handed_down = hand_down(self.settings, self.settings.home / "settings.json")
        # Unbuffered, so that what a process says lies in its log in order, and at once.
        self._environment = {**os.environ, "PYTHONUNBUFFERED": "1", **handed_down}
        self._relay = DisconnectRelay(self._member.transport)
        await self._relay.start()
        stack.push_async_callback(self._relay.stop)
        self._driver = Driver(self.supervision, self._launch, changed=self._tell, failed=self._give_up, gone=self._gone)
        self._driver.failure.add_done_callback(self._watched)
        self._presence = self._member.presence
        stack.callback(self._presence.listen(self._heard))
        self._health = HealthActor(self.supervision.children, self._add)
        self._member.heart.awaits = self.supervision.awaits
        self._member.heart.absent = lambda: absences(self.supervision.absent(), self._parts)
        await self._member.serve(self._health, HealthService.INFO)
        await self._member.ready()
        stack.push_async_callback(self._member.drain, LEAVE_SECONDS)
        stack.push_async_callback(self._end)
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, self._revive)

    async def _end(self) -> None:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGUSR1)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._driver.end()

    # ---- what happens

    def _heard(self, beat: Heartbeat) -> None:
        if beat.process == self._member.transport.process:
            self.supervision.heard_itself(time.monotonic())
            if self._bus is not None:
                self._bus.heard_itself()
        else:
            self._calls[beat.actor] = beat.calls
            self._driver.heard(beat)

    async def _gone(self, ended: str) -> None:
        """Tell of an end, and of those that the kernel ended with it: what a family has loaded."""
        await self._relay.report(ended)
        for each in ends_with(ended, self._presence.processes) if process.dying_with_parent() else ():
            await self._relay.report(each)

    def stop_now(self) -> None:
        """Wait for nothing any more: after `stop`, kill what still runs."""
        self._driver.stop()

    def _revive(self) -> None:
        self._driver.do(self.supervision.revive(time.monotonic()))
        for name in self.supervision.absent():
            self._add(name)

    def _add(self, name: str) -> str | None:
        """Start an actor that rests; the part that it still lacks, empty where it lacks none. None: too late."""
        if self.supervision.stopping:
            return None
        part = lacking(name, self._parts)
        if not part:
            self._driver.do(self.supervision.add(name, time.monotonic()))
        return part

    async def _trim(self) -> None:
        """Keep the logs bounded."""
        while True:
            await asyncio.sleep(TRIM_SECONDS)
            for output in self._outputs.values():
                output.trim()

    async def _await_stop(self, stop: asyncio.Event) -> None:
        await stop.wait()
        answers = self._calls.get(GATEWAY, 0) if GATEWAY in self._commands else sum(self._calls.values())
        log.info("hub.stopping", answers=answers)
        self._stopping(answers)
        self._driver.stop()

    async def _await_end(self) -> None:
        await self._driver.finished.wait()
        if not self._finished.done():
            self._finished.set_result(0)

    def _watched(self, done: "asyncio.Future[None]") -> None:
        """A hub whose supervisor has stopped looking is none."""
        if not done.cancelled() and (error := done.exception()) is not None:
            log.error("supervisor.failed", exc_info=error)
            self._fail(f"The supervisor failed ({error!r}); see {self._log_of('supervisor')}.")

    def _bus_failed(self, why: str) -> None:
        self._fail(why if why.endswith(".") else f"{why}.")

    def _fail(self, why: str) -> None:
        if not self._finished.done():
            self._finished.set_exception(HubFailed(why))

    def _check_ready(self) -> None:
        children = self.supervision.children
        gateway = children.get(GATEWAY)
        if self._ready is None or (gateway is not None and gateway.state is not State.SERVING):
            return
        if self._ready_at is None:
            self._ready_at = time.monotonic() + READY_SECONDS
            self._begin(self._ready_without())
        settled = all(child.state is State.SERVING or child.state in RESTING for child in children.values())
        if settled or time.monotonic() >= self._ready_at:
            ready, self._ready = self._ready, None
            ready(self.addresses())

    async def _ready_without(self) -> None:
        """Whoever does not serve in its time does not keep the hub from being ready."""
        await asyncio.sleep(READY_SECONDS)
        self._check_ready()

    def addresses(self) -> Addresses:
        """Where the hub is reached now."""
        bus = self.server.url if self.server else self.settings.bus.url.rpartition("@")[2]
        states = {name: child.state.value for name, child in self.supervision.children.items()}
        return Addresses(
            {door.name: f"{reachable(door.host)}:{door.port}" for door in self._doors},
            bus,
            self.settings.home,
            states,
            self.supervision.absent(),
        )

    # ---- what is done

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(self._watched)

    def _tell(self, child: Child) -> None:
        if not child.pid:
            self._calls.pop(child.name, None)
        self._health.changed()
        self._member.heart.tell()
        self._changed(child)
        self._check_ready()

    def _give_up(self, child: Child) -> None:
        log.error("actor.failed", actor=child.name, restarts=child.restarts, last_exit=child.last_exit)
        self._begin(self._record("actor.failed", described(child, time.monotonic())))
        if child.name == GATEWAY:
            self._fail(f"The gateway ends again and again ({child.last_exit}); see {self._log_of(child.name)}.")

    async def _record(self, kind: str, event: Actor) -> None:
        """Write an event into the hub's log, whose subject others may hear."""
        try:
            events = await self._member.store.events({kind: Actor})
            await events.append(kind, event)
        except RpcError as error:
            log.warning("event.not_recorded", kind=kind, error=str(error))

    async def _launch(self, name: str, instance: str) -> LoggedProcess:
        output = Output(self._log_of(name))
        started = await start(self._commands[name], output, {**self._environment, INSTANCE: instance})
        self._outputs[name] = output
        return started

    def _log_of(self, name: str) -> Path:
        return self.settings.home / "logs" / f"{name}.log"
