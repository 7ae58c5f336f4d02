"""When a loaded model is tried, and what follows from how that went. Decides only; actors/model/health.py does it.

The rules, with their numbers at the branches:

1. A model is tried FIRST_SECONDS after it began to serve, which leaves the machine to who has waited for it, and then
   once in each period.
2. One that failed its last trial is tried again at once: when it has been started again because of it, nobody should
   have to find out by a call of their own.
3. One that others use is not tried: its answers show how it is. It is asked again after a part of the period, and what
   was found before stays.
4. A model has one trial at a time.
5. One that fails FAILURES trials in a row, with no other between them, is left alone as failed.
6. What serves no longer is forgotten, except for how often it has failed in a row; what was unloaded, wholly.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum

FIRST_SECONDS = 5.0
FAILURES = 3
BUSY_PART = 10
"""A busy model is asked again after this part of the period, at least LEAST_SECONDS."""
LEAST_SECONDS = 1.0


class Verdict(Enum):
    """What follows from a trial."""

    NOTHING = "nothing"
    HEALTHY = "healthy"
    RESTART = "restart"
    FAILED = "failed"


@dataclass(slots=True)
class _Known:
    at: float
    """When it is to be tried."""
    trying: bool = False
    serves: bool = True
    failures: int = 0


class Checks:
    """All loaded models of a family. period: seconds between two trials of one; times are on one clock."""

    def __init__(self, period: float) -> None:
        self._period = period
        self._known: dict[str, _Known] = {}

    def serving(self, names: Collection[str], loading: Collection[str], now: float) -> None:
        """These serve now, and these are loaded (again)."""
        for name in names:
            known = self._known.get(name)
            if known is None:
                self._known[name] = _Known(now + FIRST_SECONDS)  # 1
            elif not known.serves:
                known.serves, known.at = True, now if known.failures else now + FIRST_SECONDS  # 2, 1
        for name in [name for name in self._known if name not in names]:
            if name in loading:
                self._known[name].serves = False  # 6
            elif not self._known[name].trying:
                del self._known[name]
            else:
                self._known[name].serves = False

    def due(self, now: float) -> list[str]:
        """Those that are to be tried now; they count as being tried until `done`."""
        found = [name for name, each in self._known.items() if each.serves and not each.trying and each.at <= now]  # 4
        for name in found:
            self._known[name].trying = True
        return found

    @property
    def next(self) -> float:
        """When the next one is due, as things are; infinite: there is none."""
        times = (each.at for each in self._known.values() if each.serves and not each.trying)
        return min(times, default=math.inf)

    def done(self, name: str, *, busy: bool, failed: bool, now: float) -> Verdict:
        """A trial is over."""
        known = self._known.get(name)
        if known is None:
            return Verdict.NOTHING
        known.trying = False
        if not known.serves:  # 6: it tells of a process that is no more
            return Verdict.NOTHING
        if busy:
            known.at = now + max(LEAST_SECONDS, self._period / BUSY_PART)  # 3
            return Verdict.NOTHING
        if not failed:
            known.failures, known.at = 0, now + self._period  # 1
            return Verdict.HEALTHY
        known.failures += 1
        known.at = now + LEAST_SECONDS  # 2
        if known.failures < FAILURES:
            return Verdict.RESTART
        known.failures, known.at = 0, now + self._period
        return Verdict.FAILED  # 5
