"""Runs a whole hub on this machine: bus, gateway and each actor in a process of its own, started again if it ends.

What is decided is in host/supervision.py; here it is done. SIGTERM and SIGINT stop the hub, a second one stops it at
once, SIGUSR1 starts what has failed once more. What the processes print lies in `<home>/logs`, of bounded size.
"""

import asyncio
import os
import random
import secrets
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from bus import RpcError
from host import process, registry
from host.embedded import AlreadyRunning, EmbeddedServer, ServerError
from host.health import HealthActor, described
from host.liveness import Change, DisconnectRelay, Lost, Presence
from host.log import RotatingFile, configure
from host.member import Member
from host.output import Output
from host.settings import INSTANCE, Settings, hand_down
from host.supervision import Budget, Effect, Finished, GiveUp, Kill, Spawn, State, Supervision, Tell, Terminate
from troupe.health.v1 import Actor, HealthService

__all__ = ["Addresses", "AlreadyRunning", "Door", "HubFailed", "Supervisor", "run"]

GATEWAY = "gateway"

TICK_SECONDS = 0.1

READY_SECONDS = 20.0
"""Once the gateway serves, actors have so long until the hub is called ready without them."""

LEAVE_SECONDS = 0.5
"""For calls to the supervisor itself, when all others have ended."""

PROBE_SECONDS = 1.0
"""Between two looks whether the NATS server answers, and how long it may take."""

SILENT_PROBES = 3
"""So many looks without an answer, one after another, and the server hangs."""

TRIM_SECONDS = 5.0
"""Between two looks at the length of the logs."""

log = structlog.get_logger(__name__)


class HubFailed(Exception):
    """The hub cannot start or go on; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a hub is reached, and how its processes are.

    doors: host and port of each, by name: "127.0.0.1:8080". bus: without credentials. states: of each process, by name:
    "serving" as a rule, else "starting", "backing_off" or "failed".
    """

    doors: Mapping[str, str]
    bus: str
    home: Path
    states: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Door:
    """Where the gateway listens. name: of its section in the settings. port: 0 for a free one."""

    name: str
    host: str
    port: int


async def run(
    settings: Settings, actors: registry.Registry, *, doors: Sequence[Door], ready: Callable[[Addresses], None]
) -> int:
    """Run a hub until it is told to stop; 0 if it ended in order.

    actors: the company, of which the settings may choose. doors: the gateway's, as the settings have them. ready:
    called once, when the gateway and the actors serve or have failed. Prints nothing; logs into the home. Raises
    AlreadyRunning, ServerError, HubFailed, UnknownActor, SettingsError, RpcError (an external bus cannot be reached).
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
        server = None if settings.bus.url else await stack.enter_async_context(EmbeddedServer(settings.home))
        doors = [_with_port(door) for door in doors]
        for door in doors:
            settings = settings.changed(door.name, port=door.port)
        supervisor = Supervisor(settings, commands, doors=doors, server=server, ready=ready)
        return await supervisor.run(process.stop_requested(again=supervisor.stop_now))


def _with_port(door: Door) -> Door:
    """The door with a port that is free; 0 becomes one. Raises HubFailed naming one that is not."""
    with socket.socket(socket.AF_INET6 if ":" in door.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((door.host, door.port))
        except OSError as error:
            raise HubFailed(
                f"{door.host}:{door.port} cannot be used for {door.name} ({error.strerror or error}). "
                f"Free it, or choose another port with TROUPE_{door.name.upper()}_PORT."
            ) from error
        return replace(door, port=int(probe.getsockname()[1]))


@dataclass(frozen=True, slots=True)
class _Running:
    """A child's process, and the part of its name on the bus that is its own."""

    instance: str
    process: asyncio.subprocess.Process
    output: Output


class Supervisor:
    """Does what Supervision decides.

    commands: what to run, by name; "gateway", if there is one, is stopped first. doors: where it listens. server: the
    bus if it is looked after here, started by the caller. ready: see `run`.
    """

    def __init__(
        self,
        settings: Settings,
        commands: Mapping[str, Sequence[str]],
        *,
        doors: Sequence[Door] = (),
        server: EmbeddedServer | None = None,
        ready: Callable[[Addresses], None],
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
        )
        self._commands = commands
        self._doors = doors
        self._ready: Callable[[Addresses], None] | None = ready
        self._ready_at: float | None = None
        self._running: dict[str, _Running] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._finished: asyncio.Future[int]
        self._environment: dict[str, str]
        self._health: HealthActor
        self._relay: DisconnectRelay
        self._member: Member

    async def run(self, stop: asyncio.Event) -> int:
        """Run everything until `stop` is set and all has ended, or the gateway or the bus has failed (HubFailed)."""
        self._finished = asyncio.get_running_loop().create_future()
        async with AsyncExitStack() as stack:
            self._member = await stack.enter_async_context(Member(self.settings, "supervisor"))
            await self._look_after(stack)
            watching = [asyncio.create_task(self._keep_time()), asyncio.create_task(self._await_stop(stop))]
            if self.server is not None:
                watching.append(asyncio.create_task(self._keep_server(self.server)))
                watching.append(asyncio.create_task(self._watch_server(self.server)))
            for task in watching:
                task.add_done_callback(self._watched)
            stack.push_async_callback(self._end_tasks, watching)
            self._do(self.supervision.start(time.monotonic()))
            return await self._finished

    async def _look_after(self, stack: AsyncExitStack) -> None:
        """Be told of everything that happens to the processes."""
        handed_down = hand_down(self.settings, self.settings.home / "settings.json")
        # Unbuffered, so that what a process says lies in its log in order, and at once.
        self._environment = {**os.environ, "PYTHONUNBUFFERED": "1", **handed_down}
        self._relay = DisconnectRelay(self._member.transport)
        await self._relay.start()
        stack.push_async_callback(self._relay.stop)
        presence = Presence(self._member.transport)
        presence.subscribe(self._heard)
        await presence.start()
        stack.push_async_callback(presence.stop)
        self._health = HealthActor(self.supervision.children)
        await self._member.serve(self._health, HealthService.INFO)
        await self._member.ready()
        stack.push_async_callback(self._member.drain, LEAVE_SECONDS)
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, self._revive)

    async def _end_tasks(self, watching: list["asyncio.Task[None]"]) -> None:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGUSR1)
        for running in self._running.values():
            with suppress(ProcessLookupError):
                running.process.kill()
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, *self._tasks, return_exceptions=True)

    # ---- what happens

    def _heard(self, change: Change) -> None:
        seen = change.seen
        running = self._running.get(seen.actor)
        if running is None or not seen.process.startswith(f"{seen.actor}-{running.instance}-"):
            return
        if isinstance(change, Lost):
            self.supervision.silent(seen.actor, seen.process, time.monotonic())
        else:
            self._do(self.supervision.heard(seen.actor, seen.process, seen.state, time.monotonic()))

    def stop_now(self) -> None:
        """Wait for nothing any more: after `stop`, kill what still runs."""
        self._do(self.supervision.stop(time.monotonic()))

    def _revive(self) -> None:
        self._do(self.supervision.revive(time.monotonic()))

    async def _keep_time(self) -> None:
        trimmed = 0.0
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = time.monotonic()
            self._do(self.supervision.tick(now))
            self._check_ready()
            if now - trimmed > TRIM_SECONDS:
                trimmed = now
                for running in self._running.values():
                    running.output.trim()

    async def _await_stop(self, stop: asyncio.Event) -> None:
        await stop.wait()
        log.info("hub.stopping")
        self._do(self.supervision.stop(time.monotonic()))

    async def _keep_server(self, server: EmbeddedServer) -> None:
        """The bus is looked after like any process; without it nothing else can go on."""
        own = self.settings.supervisor
        budget, ended = Budget(own.max_restarts, own.restart_window_seconds, random.Random()), deque[float]()
        while True:
            status = await server.wait()
            pause = budget.pause(ended, time.monotonic())
            log.error("bus.ended", status=status, pause=pause)
            if pause is None:
                self._fail(HubFailed(f"The NATS server ends again and again; see {self.settings.home / 'nats'}."))
                return
            await asyncio.sleep(pause)
            try:
                await server.restart()
            except (ServerError, OSError) as error:
                self._fail(HubFailed(f"The NATS server ended ({status}) and could not be started again: {error}"))
                return

    async def _watch_server(self, server: EmbeddedServer) -> None:
        """A server that hangs is ended, sooner than calls and processes are given up because of it."""
        silent = 0
        while True:
            await asyncio.sleep(PROBE_SECONDS)
            silent = 0 if not server.pid or await server.answers(PROBE_SECONDS) else silent + 1
            if silent == SILENT_PROBES:
                log.error("bus.silent", pid=server.pid)
                server.kill()

    def _watched(self, task: "asyncio.Task[None]") -> None:
        """A hub whose supervisor has stopped looking is none."""
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("supervisor.failed", exc_info=error)
            self._fail(HubFailed(f"The supervisor failed ({error!r}); see {self._log_of('supervisor')}."))

    def _fail(self, error: HubFailed) -> None:
        if not self._finished.done():
            self._finished.set_exception(error)

    def _check_ready(self) -> None:
        children = self.supervision.children
        gateway = children.get(GATEWAY)
        if self._ready is None or (gateway is not None and gateway.state is not State.SERVING):
            return
        self._ready_at = self._ready_at or time.monotonic() + READY_SECONDS
        settled = all(child.state in (State.SERVING, State.FAILED) for child in children.values())
        if settled or time.monotonic() >= self._ready_at:
            ready, self._ready = self._ready, None
            ready(self.addresses())

    def addresses(self) -> Addresses:
        """Where the hub is reached now."""
        bus = self.server.url if self.server else self.settings.bus.url.rpartition("@")[2]
        states = {name: child.state.value for name, child in self.supervision.children.items()}
        return Addresses(
            {door.name: f"{_reachable(door.host)}:{door.port}" for door in self._doors},
            bus,
            self.settings.home,
            states,
        )

    # ---- what is done

    def _do(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Spawn(name):
                    self._begin(self._live(name))
                case Terminate(name):
                    self._signal(name, signal.SIGTERM)
                case Kill(name):
                    log.warning("process.killed", actor=name)
                    self._signal(name, signal.SIGKILL)
                case Tell(name):
                    self._tell(name)
                case GiveUp(name):
                    self._give_up(name)
                case Finished():
                    if not self._finished.done():
                        self._finished.set_result(0)

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _signal(self, name: str, number: signal.Signals) -> None:
        running = self._running.get(name)
        if running is not None:
            with suppress(ProcessLookupError):
                running.process.send_signal(number)

    def _tell(self, name: str) -> None:
        child = self.supervision.children[name]
        log.info("process.state", actor=name, state=child.state.value, pid=child.pid, last_exit=child.last_exit)
        self._health.changed()
        self._check_ready()

    def _give_up(self, name: str) -> None:
        child = self.supervision.children[name]
        log.error("actor.failed", actor=name, restarts=child.restarts, last_exit=child.last_exit)
        self._begin(self._record("actor.failed", described(child, time.monotonic())))
        if name == GATEWAY:
            self._fail(HubFailed(f"The gateway ends again and again ({child.last_exit}); see {self._log_of(name)}."))

    async def _record(self, kind: str, event: Actor) -> None:
        """Write an event into the hub's log, whose subject others may hear."""
        try:
            events = await self._member.store.events({kind: Actor})
            await events.append(kind, event)
        except RpcError as error:
            log.warning("event.not_recorded", kind=kind, error=str(error))

    # ---- one process's life

    async def _live(self, name: str) -> None:
        try:
            why = await self._run_to_end(name)
        except OSError as error:
            why = f"could not be started: {error}"
        was = self.supervision.children[name].process
        effects = self.supervision.exited(name, why, time.monotonic())
        self._do(effects)
        if was:
            await self._report(was)

    async def _report(self, was: str) -> None:
        try:
            await self._relay.report(was)
        except RpcError as error:
            log.warning("end.not_reported", ended=was, error=repr(error))

    async def _run_to_end(self, name: str) -> str:
        with Output(self._log_of(name)) as output:
            instance = secrets.token_hex(3)
            child = await asyncio.create_subprocess_exec(
                *process.dying_with_parent("KILL"),
                *self._commands[name],
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output.fileno(),
                stderr=output.fileno(),
                env={**self._environment, INSTANCE: instance},
                start_new_session=True,
            )
            self._running[name] = _Running(instance, child, output)
            self._do(self.supervision.spawned(name, child.pid))
            try:
                return _ending(await child.wait(), output.last_line())
            finally:
                del self._running[name]

    def _log_of(self, name: str) -> Path:
        return self.settings.home / "logs" / f"{name}.log"


def _ending(status: int, last_line: str) -> str:
    """How a process ended, for people."""
    if status < 0:
        return f"ended by {signal.Signals(-status).name}"
    return f"ended with status {status}: {last_line[:300]}" if status and last_line else f"ended with status {status}"


def _reachable(host: str) -> str:
    """The address that a program on this machine uses for a door."""
    if host in ("0.0.0.0", "::", ""):  # noqa: S104  # compared, not bound
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
