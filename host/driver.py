"""Does what a Supervision decides, with processes of any kind: the hub's own, a model's, the NATS server.

What kind is told by `Launch`. A process is known on the bus by its instance, which it is given in TROUPE_INSTANCE and
which becomes a part of its name there.
"""

import asyncio
import secrets
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context
from dataclasses import dataclass
from typing import Protocol

import structlog

from bus import RpcError
from host import sight
from host.supervision import Child, Effect, Finished, GiveUp, Kill, Look, Spawn, Supervision, Tell, Terminate
from host.watchdog import Pulse, Sight
from troupe.rpc.v1 import Heartbeat

TICK_SECONDS = 0.2

log = structlog.get_logger(__name__)


FAULTS = frozenset({"SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSEGV", "SIGSYS", "SIGTRAP"})
"""Signals by which a process ends because of what it did itself."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a process ended. why: for people. struck: by a signal that others send."""

    why: str
    struck: bool = False


def ended_by(number: int, words: str = "ended by") -> Ending:
    """The end by a signal of this number."""
    name = signal.Signals(number).name if number in _SIGNALS else f"signal {number}"
    return Ending(f"{words} {name}", name not in FAULTS)


_SIGNALS = frozenset(signal.Signals)


class Process(Protocol):
    """A process that was started."""

    @property
    def pid(self) -> int:
        """The operating system's number of it."""

    async def ended(self) -> Ending:
        """Wait for its end; how it ended."""

    def terminate(self) -> None:
        """Ask it to finish its calls and end; harmless when it has ended."""

    def kill(self) -> None:
        """End it at once; harmless when it has ended."""


Launch = Callable[[str, str], Awaitable[Process]]
"""Starts the process of a name, under an instance. Raises OSError."""


class Driver:
    """Starts, watches and ends the processes of one Supervision.

    Needs a running loop. changed: called with each child whose state has changed. failed: with one that is given up.
    gone: with the name on the bus of each process that has ended; may raise RpcError. look: what the system says of a
    process, by its number. What runs here belongs to no call, whoever began it.
    """

    def __init__(
        self,
        supervision: Supervision,
        launch: Launch,
        *,
        changed: Callable[[Child], None] = lambda _: None,
        failed: Callable[[Child], None] = lambda _: None,
        gone: Callable[[str], Awaitable[None]] | None = None,
        kind: str = "actor",
        look: Callable[[int], Sight | None] | None = None,
    ) -> None:
        self.supervision = supervision
        self.finished = asyncio.Event()
        """Set when, after a stop, all have ended."""
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Has an exception when this itself has failed."""
        self._launch = launch
        self._changed = changed
        self._failed = failed
        self._gone = gone
        self._kind = kind
        self._sight = look
        self._running: dict[str, tuple[str, Process]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._ticking = False

    def start(self) -> None:
        """Begin with everything, and watch it until `end`."""
        self.do(self.supervision.start(time.monotonic()))

    def stop(self, drain: float | None = None) -> None:
        """End everything in order; asked a second time, at once. `finished` tells when.

        drain: seconds for it, instead of what the supervision was given.
        """
        if drain is not None and not self.supervision.stopping:
            self.supervision.drain = drain
        self.do(self.supervision.stop(time.monotonic()))

    async def end(self, *, leave: bool = False) -> None:
        """Watch no longer; what still runs is killed, or left."""
        for _, running in [] if leave else self._running.values():
            running.kill()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if not self.failure.done():
            self.failure.cancel()

    def heard(self, beat: Heartbeat) -> None:
        """A beat of some process of the hub, which need not be one of these."""
        pulse = Pulse(beat.steps, beat.working, beat.patience_ms / 1000)
        for name, (instance, _) in self._running.items():
            if f"-{instance}-" in beat.process:
                self.do(self.supervision.heard(name, beat.process, beat.state, time.monotonic(), pulse, beat.trouble))
                return

    # ---- what is done

    def do(self, effects: list[Effect]) -> None:
        """Carry out what was decided."""
        for effect in effects:
            match effect:
                case Spawn(name):
                    self._begin(self._live(name))
                case Terminate(name):
                    self._running[name][1].terminate() if name in self._running else None
                case Kill(name, why):
                    self._kill(name, why)
                case Look(name):
                    self._look(name)
                case Tell(name):
                    self._tell(self.supervision.children[name])
                case GiveUp(name):
                    self._failed(self.supervision.children[name])
                case Finished():
                    self.finished.set()
        if not self._ticking and not self.supervision.settled:
            self._ticking = True
            self._begin(self._keep_time())

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        """One who has stopped looking is no watcher: whoever owns it must hear."""
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not self.failure.done():
            self.failure.set_exception(error)
            for _, running in self._running.values():
                running.kill()

    async def _keep_time(self) -> None:
        """Tick as long as there is anything that may happen with time."""
        while not self.supervision.settled:
            await asyncio.sleep(TICK_SECONDS)
            self.do(self.supervision.tick(time.monotonic()))
        self._ticking = False

    def _kill(self, name: str, why: str) -> None:
        if name in self._running:
            _, running = self._running[name]
            log.warning("process.killed", **{self._kind: name}, pid=running.pid, why=why)
            running.kill()

    def _look(self, name: str) -> None:
        look = self._sight or sight.sight
        if name in self._running and (found := look(self._running[name][1].pid)) is not None:
            self.supervision.looked(name, found, time.monotonic())

    def _tell(self, child: Child) -> None:
        known = {self._kind: child.name, "state": child.state.value, "pid": child.pid}
        log.info("process.state", **known, last_exit=child.last_exit, trouble=child.trouble)
        self._changed(child)

    async def _live(self, name: str) -> None:
        """One process's life."""
        try:
            ending = await self._run_to_end(name)
        except OSError as error:
            ending = Ending(f"could not be started: {error.strerror or error}")
        was = self.supervision.children[name].process
        self.do(self.supervision.exited(name, ending.why, time.monotonic(), struck=ending.struck))
        if was and self._gone is not None:
            try:
                await self._gone(was)
            except RpcError as error:
                log.warning("end.not_reported", ended=was, error=repr(error))

    async def _run_to_end(self, name: str) -> Ending:
        instance = secrets.token_hex(3)
        running = await self._launch(name, instance)
        self._running[name] = (instance, running)
        try:
            self.do(self.supervision.spawned(name, running.pid, time.monotonic()))
            self._look(name)  # what it waits for from now on is counted from here
            return await running.ended()
        finally:
            del self._running[name]
