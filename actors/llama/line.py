"""Sequences that wait for a slot, first come first served, and what their callers are told meanwhile."""

import time
from collections import deque
from collections.abc import Collection

from actors.llama.sequence import RunningJob, Sequence
from actors.model.interface import Queued
from actors.model.stream import Outbox

REPORT_SECONDS = 0.25
"""Callers hear of a new position at most this often."""
WEIGHT = 0.2
"""Of the newest job in the running average of durations."""


class WaitingLine:
    """On the engine's thread."""

    def __init__(self, slots: int, outbox: Outbox) -> None:
        self._slots = slots
        self._outbox = outbox
        self._waiting: deque[Sequence] = deque()
        self._reported = 0.0
        self._changed = False
        self.average_seconds = 0.0
        """How long a job holds its slot, as a running average; 0: not known yet."""

    @property
    def sequences(self) -> Collection[Sequence]:
        """All that wait, in order."""
        return self._waiting

    def add(self, running: RunningJob, sequences: list[Sequence]) -> None:
        """Append a job; its caller hears its position at once if it cannot begin."""
        self._waiting.extend(sequences)
        self._changed = True
        self._reported = 0.0

    def head(self) -> Sequence | None:
        """The next one, if it is ready to be placed."""
        return self._waiting[0] if self._waiting and self._waiting[0].ready else None

    def pop(self) -> None:
        """The head was placed."""
        self._waiting.popleft()
        self._changed = True

    def put_back(self, sequence: Sequence) -> None:
        """A placed sequence must wait again, as the next one."""
        self._waiting.appendleft(sequence)

    def cancelled(self) -> set[RunningJob]:
        """Jobs in the line whose callers gave up."""
        return {sequence.running for sequence in self._waiting if sequence.running.stream.cancelled}

    def remove(self, running: RunningJob) -> list[Sequence]:
        """Take a job's sequences out."""
        removed = [sequence for sequence in self._waiting if sequence.running is running]
        if removed:
            self._waiting = deque(sequence for sequence in self._waiting if sequence.running is not running)
            self._changed = True
        return removed

    def note_duration(self, seconds: float) -> None:
        """A job held its slot for so long."""
        weight = WEIGHT if self.average_seconds else 1.0
        self.average_seconds += weight * (seconds - self.average_seconds)

    def eta(self, position: int) -> float | None:
        """Seconds until the job at a position is placed; None where nothing is known."""
        return position * self.average_seconds / self._slots if self.average_seconds else None

    def report(self) -> None:
        """Tell callers whose position has changed."""
        now = time.monotonic()
        if not self._changed or now - self._reported < REPORT_SECONDS:
            return
        self._changed, self._reported = False, now
        waiting = dict.fromkeys(sequence.running for sequence in self._waiting)
        for position, running in enumerate((each for each in waiting if not each.admitted), 1):
            if running.position != position:
                running.position = position
                self._tell(running, Queued(position, self.eta(position)))

    def _tell(self, running: RunningJob, event: Queued) -> None:
        self._outbox.add(lambda: running.stream.push(event))
