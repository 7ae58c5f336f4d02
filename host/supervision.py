"""Which process is started, stopped or left alone, and when. Decides only; host/supervisor.py does it.

Things that happen go in with the time, what to do comes out. The rules, with their numbers at the branches:

1. One for one: what happens to a process concerns no other.
2. A process that ends is started again after a pause that doubles with each restart within the window, with jitter, so
   that processes that fell together do not come back together.
3. More restarts within the window than the budget allows, and it has failed: it is left alone, and that is told once.
   What has served for a while and is then ended from outside (a kill, a stop) spends another budget, a far larger one:
   that says nothing of whether it can serve. Its pauses grow all the same.
4. A process that hangs is killed; what then happens is rule 2. Who hangs is told by host/watchdog.py. So is one that
   serves and does not do what it should (`accuse`).
5. Stopping goes group by group: the doors first, so that nothing new comes in, then the actors. Whoever has not ended
   when its time is over is killed; what has not served yet has no calls to end, and none of that time. Nothing is
   started any more.
6. A watcher whose own clock stood still, or who does not hear itself, accuses nobody: all start anew.
7. Where a start may be in vain (`must_serve`), a process that ends before it has ever served has failed at once; so has
   one that says it cannot serve, and one that does not serve in its time (`start_within`). Time in which it says that
   it waits for others is not counted; from when it says that it begins, it has all of its time. Who was ended from
   outside (rule 3) is tried once more: that may have had nothing to do with it, but memory runs out again, too.
8. Whose part is not installed (`absent`) is not started, and nobody waits for it, until somebody asks for it by name.
"""

import math
import random
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType

from host.watchdog import IDLE, Pulse, Sight, Watchdog

FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 10.0
JITTER = 0.2
"""A pause is longer by up to this share of itself."""

GAP_SECONDS = 0.5
"""Between two ticks, which are to come a few times a second; more, and the own clock stood still."""

DEAF_SECONDS = 0.95
"""A watcher that has not heard itself for so long hears nobody: more than a beat, and with one so much less than the
time after which others would be accused."""

STEADY_SECONDS = 1.0
"""What has served for so long can serve."""

STRUCK_FACTOR = 20
"""So many times the restarts of one that fails by itself has one that is ended from outside."""

KILL_SECONDS = 3.0
"""Beyond the time to drain, until a process is killed."""


class State(Enum):
    """How a process is."""

    STARTING = "starting"
    SERVING = "serving"
    BACKING_OFF = "backing_off"
    FAILED = "failed"
    DRAINING = "draining"
    STOPPED = "stopped"
    NOT_INSTALLED = "not_installed"


RESTING = frozenset({State.FAILED, State.STOPPED, State.NOT_INSTALLED})
"""Nothing of it runs, and nothing will without somebody's asking."""


@dataclass(slots=True)
class Child:
    """One supervised process. since: when its state began, on the clock of the events."""

    name: str
    state: State = State.STOPPED
    process: str = ""
    pid: int = 0
    restarts: int = 0
    last_exit: str = ""
    since: float = 0.0
    start_at: float | None = None
    kill_at: float | None = None
    serve_by: float = math.inf
    served: bool = False
    """Once, in any of its lives."""
    spared: bool = False
    """It was ended from outside before it ever served, and was tried once more."""
    doomed: str = ""
    """Why another start would not help."""
    killed: str = ""
    """Why this life of it was ended from here."""
    halted: bool = False
    """It was ended from here because somebody had stopped it by a signal."""
    watchdog: Watchdog | None = None
    trouble: str = ""
    """What is not right with it though it serves, as it says."""
    part: str = ""
    """Which it lacked when that was last looked at; empty: none."""
    ended: deque[float] = field(default_factory=deque)
    """When it ended by itself or failed to start, within the window."""
    struck: deque[float] = field(default_factory=deque)
    """When it was ended from outside while it served, within the window."""


@dataclass(frozen=True, slots=True)
class Spawn:
    """Start this process."""

    name: str


@dataclass(frozen=True, slots=True)
class Terminate:
    """Ask this process to drain and end."""

    name: str


@dataclass(frozen=True, slots=True)
class Kill:
    """End this process at once. why: for people."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Look:
    """Ask the system how this process is, and tell it by `looked`."""

    name: str


@dataclass(frozen=True, slots=True)
class Tell:
    """The state of this process has changed."""

    name: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """This process has failed and is left alone; tell whoever looks after the hub."""

    name: str


@dataclass(frozen=True, slots=True)
class Finished:
    """After a stop, every process has ended."""


Effect = Spawn | Terminate | Kill | Look | Tell | GiveUp | Finished


class Budget:
    """How often and after which pause something is started again."""

    def __init__(self, max_restarts: int, window: float, jitter: random.Random) -> None:
        self._max_restarts = max_restarts
        self._window = window
        self._jitter = jitter

    def pause(self, ended: deque[float], now: float, factor: int = 1) -> float | None:
        """Seconds until the next start after an end at `now`; None: the budget, `factor` times as large, is used up."""
        while ended and now - ended[0] > self._window:
            ended.popleft()
        ended.append(now)
        if len(ended) > self._max_restarts * factor:
            return None
        pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** (len(ended) - 1))
        return pause * (1 + JITTER * self._jitter.random())


class Supervision:
    """The processes and what to do about them. Never awaits.

    groups: names in the order of stopping. drain: seconds for an ordered end. start_within, must_serve: rule 7. absent:
    those of them whose part is not installed, and which it is. Time is any clock in seconds that only goes forward.
    """

    def __init__(
        self,
        groups: Sequence[Sequence[str]],
        *,
        max_restarts: int,
        window: float,
        drain: float,
        start_within: float = math.inf,
        must_serve: bool = False,
        absent: Mapping[str, str] = MappingProxyType({}),
        jitter: random.Random | None = None,
    ) -> None:
        self.children = {name: Child(name, part=absent.get(name, "")) for group in groups for name in group}
        self._groups = [list(group) for group in groups]
        self._budget = Budget(max_restarts, window, jitter or random.Random())
        self.drain = drain
        self._start_within = start_within
        self._must_serve = must_serve
        self._ticked: float | None = None
        self._own_beat: float | None = None
        self._stopping: int | None = None
        self._finished = False

    @property
    def stopping(self) -> bool:
        """It was asked to stop, and may have."""
        return self._stopping is not None

    @property
    def settled(self) -> bool:
        """Nothing runs and nothing will be started, unless somebody asks."""
        return all(child.state in RESTING for child in self.children.values())

    def awaits(self) -> list[str]:
        """Those that are started, or started again, and do not serve yet."""
        return [name for name, child in self.children.items() if child.state in (State.STARTING, State.BACKING_OFF)]

    def absent(self) -> dict[str, str]:
        """Those that are not started for want of a part, and which it is."""
        return {name: child.part for name, child in self.children.items() if child.state is State.NOT_INSTALLED}

    # ---- what happens

    def start(self, now: float) -> list[Effect]:
        """Begin, with everything that is installed."""
        self._ticked = now
        effects: list[Effect] = []
        for child in self.children.values():
            effects += self._enter(child, State.NOT_INSTALLED, now) if child.part else self._spawn(child, now)  # 8
        return effects

    def spawned(self, name: str, pid: int, now: float) -> list[Effect]:
        """A process was started; asked to stop meanwhile, it is told now."""
        child = self.children[name]
        child.pid, child.watchdog, child.serve_by = pid, Watchdog(now), now + self._start_within
        return [Tell(name), *([Terminate(name)] if child.state is State.DRAINING else [])]

    def heard(
        self, name: str, process: str, state: str, now: float, pulse: Pulse = IDLE, trouble: str = ""
    ) -> list[Effect]:
        """A process told how it is, under its name on the bus."""
        child = self.children[name]
        if child.watchdog is None or child.state not in (State.STARTING, State.SERVING):
            return []
        child.watchdog.beat(pulse, now, serves=state != State.STARTING.value)
        found = State.SERVING if state == State.SERVING.value else child.state
        troubled, child.trouble = child.trouble != trouble, trouble
        if (child.process, child.state) == (process, found):
            return [Tell(name)] if troubled else []
        child.process = process
        child.served = child.served or found is State.SERVING
        return self._enter(child, found, now)

    def heard_itself(self, now: float) -> None:
        """The watcher's own word has come back to it; from the first time on it is expected."""
        if self._own_beat is not None and now - self._own_beat > DEAF_SECONDS:
            self._pause(now)
        self._own_beat = now

    def looked(self, name: str, sight: Sight, now: float) -> None:
        """The system told how a process is."""
        watchdog = self.children[name].watchdog
        if watchdog is not None:
            watchdog.look(sight, now)

    def waits(self, name: str) -> None:
        """A process that starts says that it waits for others, for example for memory."""
        self.children[name].serve_by = math.inf  # 7

    def begins(self, name: str, now: float) -> None:
        """A process that starts says that it makes progress, which ends a wait; said again it changes nothing."""
        child = self.children[name]
        if child.serve_by == math.inf:
            child.serve_by = now + self._start_within  # 7

    def cannot(self, name: str, why: str) -> None:
        """A process says that it cannot serve, and why; it is about to end."""
        self.children[name].doomed = why

    def accuse(self, name: str, why: str) -> list[Effect]:
        """Somebody has seen that a process which serves does not do what it should: as bad as one that hangs."""
        child = self.children[name]
        return self._kill(child, why) if child.state is State.SERVING else []  # 4

    def exited(self, name: str, why: str, now: float, *, struck: bool = False) -> list[Effect]:
        """A process has ended. struck: by a signal that others send, and not by a fault of its own."""
        child = self.children[name]
        outside = child.halted or (struck and not child.killed)
        struck = outside and _steady(child, now)
        child.last_exit = f"killed: {child.killed}" if child.killed else why
        child.pid, child.process, child.killed, child.halted, child.trouble = 0, "", "", False, ""
        child.kill_at = child.watchdog = None
        if self._stopping is not None:
            return [*self._enter(child, State.STOPPED, now), *self._stop_next(now)]
        spent, factor = (child.struck, STRUCK_FACTOR) if struck else (child.ended, 1)
        pause = self._budget.pause(spent, now, factor)
        in_vain = self._must_serve and not child.served and (child.spared or not outside)
        if pause is None or child.doomed or in_vain:  # 3, 7
            return [*self._enter(child, State.FAILED, now), GiveUp(name)]
        child.spared = not child.served
        child.start_at = now + pause  # 2
        return self._enter(child, State.BACKING_OFF, now)

    def tick(self, now: float) -> list[Effect]:
        """Time passes; call it a few times a second."""
        if self._away(now):  # 6
            self._pause(now)
        self._ticked = now
        effects: list[Effect] = []
        for child in self.children.values():
            if child.start_at is not None and now >= child.start_at:
                child.restarts += 1
                effects += self._spawn(child, now)
            if child.kill_at is not None and now >= child.kill_at:  # 5
                child.kill_at = None
                effects += self._kill(child, "it did not end in its time")
            elif child.watchdog is not None and not child.killed:
                effects += self._watch(child, child.watchdog, now)
        return effects

    def revive(self, now: float) -> list[Effect]:
        """Somebody has mended what was broken: start what has failed, with a new budget."""
        failed = [child.name for child in self.children.values() if child.state is State.FAILED]
        return [effect for name in failed for effect in self.add(name, now)]

    def add(self, name: str, now: float) -> list[Effect]:
        """Start one whose part is there now, or whose fault is mended, with a new budget; any other is left alone."""
        child = self.children[name]
        if child.state not in (State.FAILED, State.NOT_INSTALLED) or self._stopping is not None:
            return []
        child.ended.clear()
        child.struck.clear()
        child.doomed, child.part, child.spared = "", "", False
        return self._spawn(child, now)

    def stop(self, now: float) -> list[Effect]:
        """End everything; asked a second time, at once."""
        if self._stopping is not None:
            running = [child for child in self.children.values() if child.pid]
            return [effect for child in running for effect in self._kill(child, "nobody waits for it any more")]
        self._stopping = -1
        effects: list[Effect] = []
        for child in self.children.values():
            child.start_at = None
            if not child.pid and child.state is not State.STARTING:
                effects += self._enter(child, State.STOPPED, now)
        return [*effects, *self._stop_next(now)]

    # ---- what follows

    def _away(self, now: float) -> bool:
        """The watcher stood still, or hears nobody."""
        stood = self._ticked is not None and now - self._ticked > GAP_SECONDS
        return stood or (self._own_beat is not None and now - self._own_beat > DEAF_SECONDS)

    def _pause(self, now: float) -> None:
        for child in self.children.values():
            if child.watchdog is not None:
                child.watchdog.pause(now)

    def _watch(self, child: Child, watchdog: Watchdog, now: float) -> list[Effect]:
        if child.state is State.STARTING and now >= child.serve_by:  # 7
            child.doomed = f"it did not serve within {self._start_within:g} s"
            return self._kill(child, child.doomed)
        if child.state in (State.STARTING, State.SERVING) and (why := watchdog.verdict(now)):  # 4
            child.halted = watchdog.stopped
            return self._kill(child, why)
        return [Look(child.name)] if watchdog.wants_look(now) else []

    def _kill(self, child: Child, why: str) -> list[Effect]:
        child.killed = child.killed or why
        return [Kill(child.name, why)]

    def _spawn(self, child: Child, now: float) -> list[Effect]:
        child.start_at = None
        return [*self._enter(child, State.STARTING, now), Spawn(child.name)]

    def _enter(self, child: Child, state: State, now: float) -> list[Effect]:
        child.state, child.since = state, now
        return [Tell(child.name)]

    def _stop_next(self, now: float) -> list[Effect]:
        """Go on to the next group once the one before has ended."""
        assert self._stopping is not None
        effects: list[Effect] = []
        while not self._running(self._stopping):
            self._stopping += 1
            if self._stopping == len(self._groups):
                self._stopping -= 1
                return [*effects, *self._finish()]
            effects += self._stop_group(self._stopping, now)
        return effects

    def _running(self, group: int) -> bool:
        return group >= 0 and any(self.children[name].state is not State.STOPPED for name in self._groups[group])

    def _stop_group(self, group: int, now: float) -> list[Effect]:
        effects: list[Effect] = []
        for child in (self.children[name] for name in self._groups[group]):
            if child.state is not State.STOPPED:
                drain = 0.0 if child.state is State.STARTING else self.drain
                child.kill_at = now + drain + KILL_SECONDS
                effects += [*self._enter(child, State.DRAINING, now), Terminate(child.name)]
        return effects

    def _finish(self) -> list[Effect]:
        if self._finished:
            return []
        self._finished = True
        return [Finished()]


def _steady(child: Child, now: float) -> bool:
    """It has served for a while in this life."""
    return child.state is State.SERVING and now - child.since >= STEADY_SECONDS
