"""Who is alive: heartbeats of every process, and word of those that have lost their connection.

A process that dies is told of by the server, or by its supervisor, within milliseconds; one that hangs is missed by its
heartbeats, and ended by whoever watches over it (host/watchdog.py).
"""

import asyncio
import json
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import structlog
from google.protobuf.message import DecodeError

from bus import subjects
from bus.errors import RpcError
from bus.transports import Message, Subscription, Transport
from host.settings import INSTANCE
from host.watchdog import IDLE, Pulse
from troupe.rpc.v1 import Absence, Heartbeat

BEAT_SECONDS = 0.5

LOST_SECONDS = 2.5
"""A process that is silent for so long is taken for lost."""

GAP_SECONDS = 1.0
"""Between two looks at the clock; more, and whoever looks stood still itself."""

RETURN_SECONDS = 0.5
"""A client that closed its connection and is not back after this has ended: nats-py is back after 0.06 s."""

INTERRUPTED_SECONDS = 3.0
"""The same where the server closed it; the client may first have to notice."""

MAX_PATIENCE_MS = 2**32 - 1

MAX_TROUBLE = 500

REMEMBERED = 1024
"""Ended processes that are not reported again."""

State = Literal["starting", "serving", "draining"]

log = structlog.get_logger(__name__)


class Heart:
    """Tells twice a second that this process lives, and how its engine does.

    services: asked at each beat for what is served; routed services with "[route]" appended. calls: for how many calls
    are open. What is set as `state` is told at once. calls, pulse, trouble, awaits, absent: set them where calls are
    counted otherwise, where there is an engine, something that may not be well, or actors that are being started or
    are not installed.
    """

    def __init__(
        self,
        transport: Transport,
        actor: str,
        services: Callable[[], Iterable[str]] = tuple,
        calls: Callable[[], int] = lambda: 0,
    ) -> None:
        self.actor = actor
        self.pulse: Callable[[], Pulse] = lambda: IDLE
        self.trouble: Callable[[], str] = str
        self.awaits: Callable[[], Iterable[str]] = tuple
        self.absent: Callable[[], Iterable[Absence]] = tuple
        self.calls = calls
        self._transport = transport
        self._services = services
        self._state: State = "starting"
        self._beats = 0
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def state(self) -> State:
        """How the process is."""
        return self._state

    @state.setter
    def state(self, state: State) -> None:
        self._state = state
        self._changed.set()

    def tell(self) -> None:
        """What is served has changed: tell it now."""
        self._changed.set()

    def start(self) -> None:
        """Begin to beat; needs a running loop."""
        if self._task is None:
            self._task = asyncio.create_task(self._beat())

    async def _beat(self) -> None:
        while True:
            self._changed.clear()
            self._publish(self._next())
            try:
                async with asyncio.timeout(BEAT_SECONDS):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _next(self) -> Heartbeat:
        self._beats += 1
        pulse = self.pulse()
        return Heartbeat(
            process=self._transport.process,
            epoch=self._transport.epoch,
            beat=self._beats,
            actor=self.actor,
            services=list(self._services()),
            state=self._state,
            steps=pulse.steps,
            working=pulse.working,
            patience_ms=min(int(pulse.patience * 1000), MAX_PATIENCE_MS),
            calls=self.calls(),
            trouble=self._told_trouble()[:MAX_TROUBLE],
            awaits=list(self.awaits()),
            absent=self.absent(),
        )

    def _told_trouble(self) -> str:
        """What is not right. An actor that cannot tell lives all the same."""
        try:
            return self.trouble()
        except Exception as error:
            log.exception("heartbeat.trouble", actor=self.actor)
            return f"It cannot tell how it is ({type(error).__name__}); the log of {self.actor} has why."

    def _publish(self, beat: Heartbeat) -> None:
        try:
            self._transport.publish(subjects.heartbeat(self._transport.process), beat.SerializeToString())
        except RpcError as error:  # the bus is away: the next beat may get through
            log.warning("heartbeat.dropped", error=repr(error))

    async def stop(self) -> None:
        """Fall silent. Say so first, so that nobody has to miss it."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            self._transport.publish(subjects.gone(self._transport.process), b"")


@dataclass(frozen=True, slots=True)
class Seen:
    """A process as its last heartbeat told."""

    process: str
    actor: str
    state: str
    services: tuple[str, ...]
    epoch: int
    trouble: str = ""
    awaits: tuple[str, ...] = ()
    absent: tuple[tuple[str, str], ...] = ()
    """What is not served for want of a part, as in `services`, and the part."""

    def serves(self, service: str, route: str = "") -> bool:
        """It takes calls of this service, under this route if it is given."""
        return self.state == "serving" and (f"{service}[{route}]" if route else service) in self.services


@dataclass(frozen=True, slots=True)
class Appeared:
    """A process was heard for the first time."""

    seen: Seen


@dataclass(frozen=True, slots=True)
class Changed:
    """What a process tells about itself has changed."""

    seen: Seen


@dataclass(frozen=True, slots=True)
class Lost:
    """A process has ended or is silent."""

    seen: Seen


Change = Appeared | Changed | Lost


class Roll:
    """The processes that are alive. Never awaits; time is any clock in seconds."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[Seen, float]] = {}
        self._ticked: float | None = None

    @property
    def processes(self) -> dict[str, Seen]:
        """By the process's name."""
        return {name: seen for name, (seen, _) in self._seen.items()}

    def heard(self, beat: Heartbeat, now: float) -> Change | None:
        """A heartbeat came; what it changes."""
        absent = tuple((service, each.part) for each in beat.absent for service in each.services)
        told = tuple(beat.services), beat.epoch, beat.trouble, tuple(beat.awaits), absent
        seen = Seen(beat.process, beat.actor, beat.state, *told)
        before = self._seen.get(beat.process)
        self._seen[beat.process] = (seen, now)
        if before is None:
            return Appeared(seen)
        return None if before[0] == seen else Changed(seen)

    def gone(self, process: str) -> Lost | None:
        """A process is told to have ended."""
        found = self._seen.pop(process, None)
        return Lost(found[0]) if found else None

    def tick(self, now: float) -> list[Lost]:
        """Time passes; who was silent for too long. Looked at too seldom, nobody is accused: it counts anew."""
        if self._ticked is not None and now - self._ticked > GAP_SECONDS:
            self.pause(now)
        self._ticked = now
        silent = [name for name, (_, heard) in self._seen.items() if now - heard > LOST_SECONDS]
        return [Lost(self._seen.pop(name)[0]) for name in silent]

    def pause(self, now: float) -> None:
        """The own connection was interrupted: nobody can be blamed for the silence."""
        self._seen = {name: (seen, now) for name, (seen, _) in self._seen.items()}


class Presence:
    """Hears heartbeats and keeps the roll of a hub's processes."""

    def __init__(self, transport: Transport, clock: Callable[[], float] = time.monotonic) -> None:
        self._transport = transport
        self._clock = clock
        self._roll = Roll()
        self._listeners: list[Callable[[Change], None]] = []
        self._beats: list[Callable[[Heartbeat], None]] = []
        self._subscriptions: list[Subscription] = []
        self._task: asyncio.Task[None] | None = None

    @property
    def processes(self) -> dict[str, Seen]:
        """Those that are alive, by name."""
        return self._roll.processes

    def actors(self) -> dict[str, list[Seen]]:
        """Those that are alive, by their actor; "gateway" is one."""
        found: dict[str, list[Seen]] = {}
        for seen in self._roll.processes.values():
            found.setdefault(seen.actor, []).append(seen)
        return found

    def serving(self, service: str, route: str = "") -> list[Seen]:
        """Those that take calls of a service, under a route if it is given."""
        return [seen for seen in self._roll.processes.values() if seen.serves(service, route)]

    def routes(self, service: str) -> list[str]:
        """The routes under which a service is served now."""
        start = f"{service}["
        told = (name for seen in self._roll.processes.values() if seen.state == "serving" for name in seen.services)
        return sorted({name[len(start) : -1] for name in told if name.startswith(start)})

    def subscribe(self, listener: Callable[[Change], None]) -> Callable[[], None]:
        """Hear of each change; must not block. What is returned ends it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def listen(self, listener: Callable[[Heartbeat], None]) -> Callable[[], None]:
        """Hear every beat, also one that changes nothing; must not block. What is returned ends it."""
        self._beats.append(listener)
        return lambda: self._beats.remove(listener)

    async def start(self) -> None:
        """Begin to listen. After a little over half a second everyone alive was heard."""
        self._subscriptions = [
            await self._transport.subscribe(subjects.HEARTBEATS, self._heard),
            await self._transport.subscribe(subjects.GONE, self._gone),
        ]
        self._transport.on_reconnect(lambda: self._roll.pause(self._clock()))
        self._task = asyncio.create_task(self._keep_time())

    async def stop(self) -> None:
        """Listen no longer."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for subscription in self._subscriptions:
            await subscription.unsubscribe()
        self._subscriptions = []

    def _heard(self, message: Message) -> None:
        try:
            beat = Heartbeat.FromString(message.payload)
        except DecodeError:
            log.warning("heartbeat.malformed", subject=message.subject)
            return
        if message.subject == subjects.heartbeat(beat.process):
            for listener in list(self._beats):
                listener(beat)
            self._tell(self._roll.heard(beat, self._clock()))

    def _gone(self, message: Message) -> None:
        self._tell(self._roll.gone(message.subject.rpartition(".")[2]))

    def _tell(self, change: Change | None) -> None:
        for listener in list(self._listeners) if change else ():
            assert change is not None
            listener(change)

    async def _keep_time(self) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            for lost in self._roll.tick(self._clock()):
                self._tell(lost)


def within(instance: str) -> str:
    """The instance of a process that is to end with this one, so that its name tells whose it is."""
    own = os.environ.get(INSTANCE, "")
    return f"{instance}-in_{own}" if own else instance


def ends_with(process: str, processes: Iterable[str]) -> list[str]:
    """Of these processes' names, those of the ones that end with `process`, which the kernel sees to."""
    instance = process.split("-")[-2:-1]
    return [each for each in processes if instance and f"-in_{instance[0]}-" in each]


class DisconnectRelay:
    """Turns the server's word of closed connections into word of ended processes.

    A connection's name is its process's. A client that lost its connection comes back under the same name, for example
    after a restart of the server; only one that does not is reported as gone.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._missing: dict[str, asyncio.TimerHandle] = {}
        self._reported: OrderedDict[str, None] = OrderedDict()
        self._telling: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin to listen."""
        await self._transport.subscribe(subjects.CONNECTED, self._connected)
        await self._transport.subscribe(subjects.DISCONNECTED, self._disconnected)
        self._transport.on_reconnect(self._forgive)

    async def report(self, process: str) -> None:
        """Tell that a process has ended, from whoever knows it for certain. Twice tells once."""
        self._forget(process)
        if process in self._reported:
            return
        self._reported[process] = None
        if len(self._reported) > REMEMBERED:
            self._reported.popitem(last=False)
        self._transport.publish(subjects.gone(process), b"")

    async def stop(self) -> None:
        """Report nobody any more."""
        self._forgive()
        await asyncio.gather(*self._telling, return_exceptions=True)

    def _connected(self, message: Message) -> None:
        process = _client(message)[0]
        self._forget(process)
        self._reported.pop(process, None)

    def _disconnected(self, message: Message) -> None:
        process, reason = _client(message)
        if not process or process == self._transport.process:
            return
        self._forget(process)
        patience = RETURN_SECONDS if reason == "Client Closed" else INTERRUPTED_SECONDS
        self._missing[process] = asyncio.get_running_loop().call_later(patience, self._not_back, process)

    def _not_back(self, process: str) -> None:
        task = asyncio.get_running_loop().create_task(self.report(process))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    def _forget(self, process: str) -> None:
        timer = self._missing.pop(process, None)
        if timer is not None:
            timer.cancel()

    def _forgive(self) -> None:
        """The server itself was away: who came back meanwhile was not heard."""
        for process in list(self._missing):
            self._forget(process)


def _client(message: Message) -> tuple[str, str]:
    """Name of the connection in an advisory, and why it was closed."""
    try:
        advisory = json.loads(message.payload)
        return str(advisory["client"].get("name", "")), str(advisory.get("reason", ""))
    except (ValueError, KeyError, AttributeError, TypeError):
        log.warning("advisory.malformed", subject=message.subject)
        return "", ""
