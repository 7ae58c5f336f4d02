"""Jobs that an engine has accepted, and the line of those that wait, as the engine's thread sees them."""

import time
from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from actors.model.interface import Cost, Event, Job, Queued
from actors.model.stream import EventStream, Outbox

REPORT_SECONDS = 0.25
"""Callers hear of a new position at most this often."""
WEIGHT = 0.2
"""Of the newest job in the running average of durations."""


class Held(Protocol):
    """Something that is not freed by itself."""

    def close(self) -> None:
        """Free it."""


@dataclass(eq=False, slots=True)
class RunningJob:
    """A job that was accepted: its clock and its counters."""

    job: Job
    stream: EventStream[Event]
    adapter: str
    """Key of the adapter as it was loaded when the job was accepted."""
    submitted: float = field(default_factory=time.perf_counter)
    admitted: float = 0.0
    first_token: float = 0.0
    cached_tokens: int = 0
    completion_tokens: int = 0
    unfinished: int = 0
    """Choices that have not ended."""
    position: int = 0
    """In the line, as last told to the caller."""
    held: "Held | None" = None
    """What the engine holds for all of its choices together; it is freed when the job ends."""

    def cost(self, now: float) -> Cost:
        """What the job has cost when its last choice ends."""
        first_token = self.first_token or now
        admitted = self.admitted or first_token
        return Cost(
            prompt_tokens=len(self.job.prompt),
            cached_tokens=self.cached_tokens,
            completion_tokens=self.completion_tokens,
            queue_seconds=admitted - self.submitted,
            prefill_seconds=first_token - admitted,
            decode_seconds=now - first_token,
        )


class Waiting(Protocol):
    """What stands in the line: a choice of a job, or several."""

    @property
    def running(self) -> RunningJob:
        """Whose it is."""


W = TypeVar("W", bound=Waiting)


class WaitingLine(Generic[W]):
    """What waits for a slot, first come first served, and what callers are told meanwhile. On the engine's thread."""

    def __init__(self, slots: int, outbox: Outbox) -> None:
        self._slots = slots
        self._outbox = outbox
        self._waiting: deque[W] = deque()
        self._reported = 0.0
        self._changed = False
        self._average_seconds = 0.0
        """How long a job holds its slot; 0: not known yet."""

    @property
    def waiting(self) -> Collection[W]:
        """All that wait, in order."""
        return self._waiting

    @property
    def head(self) -> W | None:
        """The next one."""
        return self._waiting[0] if self._waiting else None

    def add(self, items: Iterable[W]) -> None:
        """Append; their caller hears the position at once if they cannot begin."""
        self._waiting.extend(items)
        self._changed = True
        self._reported = 0.0

    def pop(self) -> W:
        """The next one, which is placed."""
        self._changed = True
        return self._waiting.popleft()

    def put_back(self, item: W) -> None:
        """What was placed must wait again, as the next one."""
        self._waiting.appendleft(item)

    def jobs(self) -> set[RunningJob]:
        """Jobs of which something waits."""
        return {item.running for item in self._waiting}

    def remove(self, running: RunningJob) -> None:
        """Take out what belongs to a job."""
        kept = deque(item for item in self._waiting if item.running is not running)
        self._changed = self._changed or len(kept) < len(self._waiting)
        self._waiting = kept

    def note_duration(self, seconds: float) -> None:
        """A job held its slot for so long."""
        weight = WEIGHT if self._average_seconds else 1.0
        self._average_seconds += weight * (seconds - self._average_seconds)

    def eta(self, position: int) -> float | None:
        """Seconds until the job at a position is placed; None where nothing is known."""
        return position * self._average_seconds / self._slots if self._average_seconds else None

    def report(self) -> None:
        """Tell callers whose position has changed."""
        now = time.monotonic()
        if not self._changed or now - self._reported < REPORT_SECONDS:
            return
        self._changed, self._reported = False, now
        waiting = dict.fromkeys(item.running for item in self._waiting)
        for position, running in enumerate((each for each in waiting if not each.admitted), 1):
            if running.position != position:
                running.position = position
                self._tell(running, Queued(position, self.eta(position)))

    def _tell(self, running: RunningJob, event: Queued) -> None:
        self._outbox.add(lambda: running.stream.push(event))
