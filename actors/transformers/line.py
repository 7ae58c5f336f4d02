"""Groups that wait for a slot, first come first served, and what their callers are told meanwhile."""

import time
from collections import deque
from collections.abc import Collection

from actors.model.interface import Queued
from actors.model.stream import Outbox
from actors.transformers.sequence import Group, RunningJob

REPORT_SECONDS = 0.25
"""Callers hear of a new position at most this often."""
WEIGHT = 0.2
"""Of the newest job in the running average of durations."""


class WaitingLine:
    """On the engine's thread."""

    def __init__(self, slots: int, outbox: Outbox) -> None:
        self._slots = slots
        self._outbox = outbox
        self._waiting: deque[Group] = deque()
        self._reported = 0.0
        self._average_seconds = 0.0

    @property
    def groups(self) -> Collection[Group]:
        """All that wait, in order."""
        return self._waiting

    def add(self, group: Group) -> None:
        """Append; its caller hears its position at once if it cannot begin."""
        self._waiting.append(group)
        self._reported = 0.0

    def put_back(self, group: Group) -> None:
        """What was placed must wait again, as the next one."""
        self._waiting.appendleft(group)

    def pop(self) -> Group:
        """The next one, which is placed."""
        return self._waiting.popleft()

    def remove(self, running: RunningJob) -> None:
        """Take a job's groups out."""
        self._waiting = deque(group for group in self._waiting if group.running is not running)

    def note_duration(self, seconds: float) -> None:
        """A job held its slots for so long."""
        weight = WEIGHT if self._average_seconds else 1.0
        self._average_seconds += weight * (seconds - self._average_seconds)

    def eta(self, position: int) -> float | None:
        """Seconds until the job at a position is placed; None where nothing is known."""
        return position * self._average_seconds / self._slots if self._average_seconds else None

    def report(self) -> None:
        """Tell callers whose position has changed."""
        now = time.monotonic()
        if not self._waiting or now - self._reported < REPORT_SECONDS:
            return
        self._reported = now
        waiting = dict.fromkeys(group.running for group in self._waiting if not group.running.admitted)
        for position, running in enumerate(waiting, 1):
            if running.position != position:
                running.position = position
                self._tell(running, Queued(position, self.eta(position)))

    def _tell(self, running: RunningJob, event: Queued) -> None:
        self._outbox.add(lambda: running.stream.push(event))
