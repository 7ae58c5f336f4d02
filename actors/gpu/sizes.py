"""What work takes: as it was measured, else as it is estimated, and more after it has failed for want of memory."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from actors.gpu.ledger import Device, Need
from actors.gpu.urgency import (
    FAILED_SECONDS,
    LONGEST_QUARANTINE_SECONDS,
    OUT_OF_MEMORY_GROWTH,
    OUT_OF_MEMORY_LIMIT,
    QUARANTINE_SECONDS,
)
from actors.gpu.words import Kind, Measured, Shares, Variant, Work

MAX_REMEMBERED = 10_000
MAX_FAILED = 1000
"""Entries; over that, the oldest is forgotten."""


@dataclass(slots=True)
class _Failure:
    count: int = 0
    at: float = 0.0
    until: float = 0.0
    floor: dict[Kind, int] = field(default_factory=dict)


class Sizes:
    """What is remembered of the sizes of work. remembered: bytes by key and kind, from before."""

    def __init__(self, remembered: Mapping[str, Mapping[Kind, int]]) -> None:
        self._remembered = {key: dict(sizes) for key, sizes in remembered.items()}
        self._failures: dict[str, _Failure] = {}

    def need(self, work: Work, now: float) -> Need:
        """What its first variant takes."""
        return self._need(work, work.variants[0], self._floor(work.name, now), self._remembered.get(work.key, {}))

    def variant(self, work: Work, variant: Variant) -> Need:
        """What another variant takes; nothing was measured of that."""
        return self._need(work, variant, {}, {})

    def measured(self, work: Work, measured: Shares, devices: Mapping[str, Device]) -> list[Measured]:
        """It was loaded and measured, and has not failed: what is new about it."""
        self._failures.pop(work.name, None)
        sums: dict[Kind, int] = {}
        for name, count in measured.items():
            if name in devices:
                sums[devices[name].kind] = sums.get(devices[name].kind, 0) + count
        known = self._remembered.get(work.key, {})
        news = {kind: count for kind, count in sums.items() if known.get(kind) != count}
        if not work.key or not news:
            return []
        self._remembered.pop(work.key, None)
        self._remembered[work.key] = {**known, **news}
        if len(self._remembered) > MAX_REMEMBERED:
            del self._remembered[next(iter(self._remembered))]
        return [Measured(work.key, kind, count) for kind, count in news.items()]

    def failed(self, work: Work, shares: Shares, devices: Mapping[str, Device], now: float) -> int:
        """It has failed with these shares for want of memory: how many times now, one after the other."""
        failure = self._failures.setdefault(work.name, _Failure())
        failure.floor = dict(self._floor(work.name, now))
        failure.count += 1
        failure.at = now
        sums: dict[Kind, int] = {}
        for name, count in shares.items():
            if name in devices:
                sums[devices[name].kind] = sums.get(devices[name].kind, 0) + count
        for kind, count in sums.items():
            failure.floor[kind] = max(failure.floor.get(kind, 0), int(count * OUT_OF_MEMORY_GROWTH))
        over = failure.count - OUT_OF_MEMORY_LIMIT
        if over >= 0:
            failure.until = now + min(LONGEST_QUARANTINE_SECONDS, QUARANTINE_SECONDS * 2.0 ** min(over, 10))
        if len(self._failures) > MAX_FAILED:
            del self._failures[next(iter(self._failures))]
        return failure.count

    def quarantined(self, name: str, now: float) -> float | None:
        """Seconds for which work of this name is still refused; None: it is not."""
        failure = self._failures.get(name)
        return failure.until - now if failure is not None and now < failure.until else None

    def _floor(self, name: str, now: float) -> Mapping[Kind, int]:
        """What it takes at least, since it has failed.

        After a quarantine and a time its sizes are believed again: the memory may have been somebody else's.
        """
        failure = self._failures.get(name)
        if failure is None or now >= max(failure.until, failure.at + FAILED_SECONDS):
            return {}
        return failure.floor

    def _need(self, work: Work, variant: Variant, floor: Mapping[Kind, int], known: Mapping[Kind, int]) -> Need:
        sizes = {kind: max(known.get(kind, count), floor.get(kind, 0)) for kind, count in variant.sizes.items()}
        fixed = known.get(Kind.FIXED, max(variant.sizes.values()))
        return Need(sizes, max(fixed, floor.get(Kind.FIXED, 0)), work.devices, variant.spread)
