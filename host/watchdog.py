"""Does a process hang? Decides only, from its beats, its engine's steps, and what the system says of it.

The rules, with their numbers at the branches:

1. Time that a process waited for a processor or for the disk is not counted: it lives and starves.
2. A process that has beaten and then is silent for SILENT_SECONDS hangs; where the system says nothing of it, only
   after UNSEEN_SECONDS.
3. One that has not served yet may be busy with its start for START_SECONDS, unless it was stopped by a signal.
4. One that beats hangs all the same if its engine has work and makes no step for longer than STUCK_SECONDS, than
   STEPS times the longest step that it has shown, and than the patience it asked for.
5. A watcher that was away itself accuses nobody: everyone's time begins anew.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

SILENT_SECONDS = 1.5

UNSEEN_SECONDS = 5.0

START_SECONDS = 60.0
"""Importing PyTorch was seen to take 18 s on two loaded cores; a slow disk takes longer."""

STUCK_SECONDS = 3.0

STEPS = 4

LOOK_SECONDS = 0.7
"""So long without a beat or a step, and the system is asked how the process is."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """What a beat says of an engine. steps: made so far. patience: seconds that the step in hand may take."""

    steps: int = 0
    working: bool = False
    patience: float = 0.0


IDLE = Pulse()


@dataclass(frozen=True, slots=True)
class Sight:
    """What the system says of a process.

    waited: seconds that each thread has waited for a processor so far, by its number. main: the number of the thread
    that beats. stopped: by a signal. reading: it waits for the disk.
    """

    main: int
    waited: Mapping[int, float] = field(default_factory=dict)
    stopped: bool = False
    reading: bool = False


class _Window:
    """How long something has not moved, less the time in which it could not."""

    def __init__(self, now: float) -> None:
        self.since = now
        self._excused = 0.0
        self._looked = now
        self._last: Sight | None = None
        self.seen = False
        """The system was asked since it moved last."""

    def move(self, now: float) -> None:
        """It has moved. What it had waited for at the last look stays: from there the next look counts on."""
        self.since = self._looked = now
        self._excused, self.seen = 0.0, False

    def look(self, sight: Sight, threads: Mapping[int, float], now: float) -> None:
        """Excuse what was spent on waiting since the look before, at most the time since it moved."""  # 1
        before = self._last.waited if self._last else threads
        waited = max((waited - before.get(thread, waited) for thread, waited in threads.items()), default=0.0)
        spent = now - self._looked if self._last else 0.0
        self._excused += spent if sight.reading else min(max(waited, 0.0), spent)
        self._last, self._looked, self.seen = sight, now, True

    def still(self, now: float) -> float:
        """Seconds that count."""
        return now - self.since - self._excused


class Watchdog:
    """Watches one process from its start on. Never awaits; time is any clock in seconds that only goes forward."""

    def __init__(self, now: float) -> None:
        self._beat = _Window(now)
        self._step = _Window(now)
        self._pulse = IDLE
        self._longest = 0.0
        self._beaten = False
        self._serves = False
        self._stopped: float | None = None

    def beat(self, pulse: Pulse, now: float, *, serves: bool = True) -> None:
        """A beat came. serves: its start is over."""
        self._beaten, self._serves, self._stopped = True, self._serves or serves, None
        self._beat.move(now)
        before, self._pulse = self._pulse, pulse
        if pulse.steps != before.steps and before.working and not before.patience:
            self._longest = max(self._longest, now - self._step.since)
        if pulse.steps != before.steps or not (pulse.working and before.working) or pulse.patience != before.patience:
            self._step.move(now)

    def pause(self, now: float) -> None:
        """The watcher was away, or could hear nobody."""  # 5
        self._beat.move(now)
        self._step.move(now)
        self._stopped = None

    def wants_look(self, now: float) -> bool:
        """Ask the system about it."""
        stuck = self._pulse.working and now - self._step.since >= LOOK_SECONDS
        return stuck or now - self._beat.since >= LOOK_SECONDS

    def look(self, sight: Sight, now: float) -> None:
        """The system was asked."""
        main = {thread: waited for thread, waited in sight.waited.items() if thread == sight.main}
        self._beat.look(sight, main, now)
        self._step.look(sight, sight.waited, now)
        if not sight.stopped:
            self._stopped = None
        elif self._stopped is None:
            self._stopped = now

    @property
    def stopped(self) -> bool:
        """It was last seen stopped by a signal."""
        return self._stopped is not None

    def verdict(self, now: float) -> str:
        """Why the process is to be ended, for people; empty: it may go on."""
        if self._stopped is not None and now - self._beat.since >= SILENT_SECONDS:  # 2, 3
            return f"it was stopped and told nothing for {now - self._beat.since:.1f} s"
        silent = self._beat.still(now)
        if silent >= self._silence():
            return f"it told nothing for {silent:.1f} s"
        still = self._step.still(now) if self._pulse.working else 0.0
        if still >= max(STUCK_SECONDS, STEPS * self._longest, self._pulse.patience):  # 4
            return f"its engine has work and has not moved for {still:.1f} s"
        return ""

    def _silence(self) -> float:
        """How long it may be silent."""
        if not (self._beaten and self._serves):  # 3
            return START_SECONDS
        return SILENT_SECONDS if self._beat.seen else UNSEEN_SECONDS  # 2
