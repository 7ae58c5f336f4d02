"""Rule 15 of scheduler.py: when another process of work is welcome, and when there is one too many."""

from collections.abc import Iterator, Mapping

from actors.gpu.lease import Lease, State
from actors.gpu.leases import Leases
from actors.gpu.ledger import Ledger, Need, summed
from actors.gpu.places import Places
from actors.gpu.sizes import Sizes
from actors.gpu.urgency import (
    REPLICA_AFTER_SECONDS,
    REPLICA_AGAIN_SECONDS,
    REPLICA_LEAVES_SECONDS,
    REPLICA_SPARE_SECONDS,
    REPLICA_SPARE_SHARE,
)
from actors.gpu.usage import Usage
from actors.gpu.victims import Tier, Victim, choose, price
from actors.gpu.words import Kind, Shares

MOST: Mapping[Kind, int] = {Kind.NVIDIA: 4, Kind.FIXED: 4, Kind.SYSTEM: 1}
"""Processes of one work, by where most of it lies. In main memory they would share the same cores."""


class Replicas:
    """most: see MOST."""

    def __init__(
        self, ledger: Ledger, leases: Leases, sizes: Sizes, usage: Usage, places: Places, most: Mapping[Kind, int]
    ) -> None:
        self._ledger = ledger
        self._leases = leases
        self._sizes = sizes
        self._usage = usage
        self._places = places
        self._most = most
        self._again: dict[str, float] = {}
        self._spare: dict[str, float] = {}
        self._due: float | None = None

    def due(self) -> float | None:
        """When time alone changes something."""
        return self._due

    def make_way(self) -> None:
        """Somebody waits for memory: places that are kept for processes that have not come are given up."""
        for lease in list(self._leases.all.values()):
            if lease.replica and lease.state is State.PLACED and len(self._leases.alive(lease.name)) > 1:
                self._places.give_up(lease, "others wait for memory")

    def follow(self, now: float, *, waited_for: bool) -> None:
        """See to each work that replicates. waited_for: somebody waits for memory, so that nobody is welcome."""
        self._again = {name: at for name, at in self._again.items() if at > now}
        groups = self._groups()
        self._spare = {name: since for name, since in self._spare.items() if name in groups}
        dues: list[float] = []
        for group in groups.values():
            dues += self._give_back(group, now)
            if not waited_for:
                dues += self._welcome(group, now)
        self._due = min((due for due in dues if due > now), default=None)

    def _groups(self) -> dict[str, list[Lease]]:
        """Leases by name, of work whose processes all serve."""
        names = {lease.name for lease in self._leases.all.values() if lease.work.replicates and lease.alive}
        groups = {name: self._leases.alive(name) for name in names}
        return {name: group for name, group in groups.items() if all(one.state is State.READY for one in group)}

    # ---- one too many

    def _give_back(self, group: list[Lease], now: float) -> Iterator[float]:
        name = group[0].name
        slots = max(lease.slots for lease in group)
        could = REPLICA_SPARE_SHARE * slots * (len(group) - 1)
        waits = any(lease.waiting for lease in group)
        if len(group) == 1 or waits or sum(lease.running for lease in group) > could:
            self._spare.pop(name, None)
            return
        at = self._spare.setdefault(name, now) + REPLICA_SPARE_SECONDS
        if now < at:
            yield at
            return
        del self._spare[name]
        surplus = self._leases.surplus()
        least = min((one for one in group if one.id in surplus), key=lambda one: (one.running, one.id))
        why = f"the other {len(group) - 1} of {name} could do its work for {REPLICA_SPARE_SECONDS:g} s"
        self._places.revoke(least, Tier.SURPLUS, why, "15", now)

    # ---- one more

    def _welcome(self, group: list[Lease], now: float) -> Iterator[float]:
        first = min(group, key=lambda lease: (lease.loaded_at or 0.0, lease.id))
        since = [lease.waiting_since for lease in group]
        if len(group) >= self._limit(first) or any(each is None for each in since):
            return
        load_seconds = self._usage.load_seconds(first.work, first.size)
        at = max(each for each in since if each is not None) + max(REPLICA_AFTER_SECONDS, load_seconds)
        at = max(at, self._again.get(first.name, at))
        if now < at:
            yield at
            return
        need = self._sizes.need(first.work, now)
        if (shares := self._ledger.place(need, self._leases.room())) is not None:
            self._places.keep(first, shares, now)
        elif (found := self._long_idle(first, need, now)) is not None:
            for one in found:
                assert one.lease is not None
                why = f"nobody has used it for {REPLICA_LEAVES_SECONDS:g} s, and calls wait in {first.name}"
                self._places.revoke(one.lease, one.tier, why, "15", now)
            yield now + REPLICA_AFTER_SECONDS
            return
        else:
            yield now + REPLICA_AGAIN_SECONDS
            return
        self._again[first.name] = now + REPLICA_AGAIN_SECONDS

    def _limit(self, lease: Lease) -> int:
        most = max(lease.shares, key=lambda name: lease.shares[name], default="")
        device = self._ledger.devices.get(most)
        return 1 if device is None else self._most.get(device.kind, 1)

    def _long_idle(self, first: Lease, need: Need, now: float) -> list[Victim] | None:
        """Whom a place costs that costs nobody anything; None: there is no such place, or its memory is on its way."""
        candidates = [
            Victim(lease.name, lease.shares, Tier.IDLE, now, self._usage.value(lease, now), lease)
            for lease in self._leases.all.values()
            if lease.state is State.READY and lease.name != first.name and self._long(lease, now)
        ]
        leaving = summed(self._leases.room(), (one.shares for one in self._leases.all.values() if one.leaving))
        most = summed(leaving, (one.shares for one in candidates))
        ways: list[tuple[Shares, list[Victim]]] = [
            (shares, found)
            for shares in self._ledger.options(need, most)
            if (found := choose(shares, leaving, candidates, now)) is not None
        ]
        return min((found for _, found in ways), key=lambda found: price(found, now), default=None) or None

    def _long(self, lease: Lease, now: float) -> bool:
        idle = not lease.busy(now) and now >= lease.idle_since() + REPLICA_LEAVES_SECONDS
        return idle and not self._leases.pinned(lease) and not lease.work.preemptible
