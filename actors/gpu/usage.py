"""How often work is used, and how long its loads and drains take: what it costs to evict it."""

import math
from dataclasses import dataclass

from actors.gpu.lease import Lease
from actors.gpu.words import Work

HALF_LIFE_SECONDS = 600.0
"""A use counts half after so long."""

FIRST_RATE_BYTES_PER_SECOND = 2_000_000_000
"""A load is expected to go so fast until one was measured, where the work says nothing: a disk of the plainer kind."""

FIRST_GIVING_SECONDS = 1.0
"""An idle lease is expected to end so soon after it was revoked, until one was seen to."""

WEIGHT = 0.3
"""Of the newest measurement in a running mean."""

MAX_NAMES = 1000
"""Remembered; over that, the one that was used longest ago is forgotten."""


@dataclass(slots=True)
class _Habit:
    uses: float = 0.0
    at: float = 0.0
    load_seconds: float | None = None


class Usage:
    """What was seen of each name, also of those that are not loaded now."""

    def __init__(self) -> None:
        self._habits: dict[str, _Habit] = {}
        self._extra: float | None = None
        self._drain: float | None = None
        self._giving: float | None = None

    def used(self, name: str, count: int, now: float) -> None:
        """So many calls have begun."""
        habit = self._habit(name)
        habit.uses = habit.uses * _decay(now - habit.at) + count
        habit.at = now

    def loaded(self, work: Work, size: int, seconds: float) -> None:
        """It took so long from its place to its being ready."""
        habit = self._habit(work.name)
        habit.load_seconds = _mean(habit.load_seconds, seconds)
        self._extra = _mean(self._extra, max(0.0, seconds - _expected(work, size)))

    def gave_back(self, seconds: float, *, busy: bool) -> None:
        """A lease that was revoked has ended after so long."""
        if busy:
            self._drain = _mean(self._drain, seconds)
        else:
            self._giving = _mean(self._giving, seconds)

    def drain_seconds(self, otherwise: float) -> float:
        """How long a busy lease needs to end, as it has been lately."""
        return otherwise if self._drain is None else min(self._drain, otherwise)

    def giving_seconds(self) -> float:
        """How long an idle lease needs to end, as it has been lately."""
        return FIRST_GIVING_SECONDS if self._giving is None else self._giving

    def load_seconds(self, work: Work, size: int) -> float:
        """How long it will take from a place to being ready.

        What was not loaded before is expected to take what others took beyond the time that their sizes explain: the
        start of a process, for the most part.
        """
        habit = self._habits.get(work.name)
        if habit is not None and habit.load_seconds is not None:
            return habit.load_seconds
        return _expected(work, size) + (self._extra or 0.0)

    def rate(self, name: str, now: float) -> float:
        """Calls per second, lately."""
        habit = self._habits.get(name)
        return 0.0 if habit is None else habit.uses * _decay(now - habit.at) * math.log(2) / HALF_LIFE_SECONDS

    def value(self, lease: Lease, now: float) -> float:
        """What it is worth to keep it: seconds of loading that a byte saves per second.

        Rate of use times cost over size, as in GreedyDual-Size-Frequency (Cherkasova 1998); a rate that fades does what
        its inflation does there.
        """
        return self.rate(lease.name, now) * self.load_seconds(lease.work, lease.size) / max(1, lease.size)

    def _habit(self, name: str) -> _Habit:
        habit = self._habits.pop(name, None) or _Habit()
        self._habits[name] = habit
        if len(self._habits) > MAX_NAMES:
            del self._habits[next(iter(self._habits))]
        return habit


def _decay(seconds: float) -> float:
    return math.exp2(-seconds / HALF_LIFE_SECONDS)


def _expected(work: Work, size: int) -> float:
    return work.load_seconds or size / FIRST_RATE_BYTES_PER_SECOND


def _mean(before: float | None, newest: float) -> float:
    return newest if before is None else before + WEIGHT * (newest - before)
