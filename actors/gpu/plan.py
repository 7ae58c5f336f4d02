"""One pass over the queue: who is placed now, who waits for what, whom it costs. Changes nothing."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

from actors.gpu.lease import Lease, State
from actors.gpu.ledger import Ledger, Need, Room, add, summed
from actors.gpu.urgency import DRAIN_SECONDS
from actors.gpu.usage import Usage
from actors.gpu.victims import Tier, Victim, choose, price, surplus_victim, victim
from actors.gpu.wants import Unit
from actors.gpu.words import Shares

VERIFYING_SECONDS = 1.0
"""Memory that was given back is expected to be seen free so soon."""

PLAN_AHEAD = 64
"""Places that are planned at a time; whoever is behind them waits without a plan."""


@dataclass(frozen=True, slots=True)
class Step:
    """What becomes of one place that is wanted.

    shares: where it is to lie; empty: nowhere as things are. placed: now. victims: whom that costs; revoke: now.
    leaving: names of those whose memory it waits for. own: another process of its name has the memory. at: when it
    will have its place; None: not known.
    """

    unit: Unit
    shares: Shares = field(default_factory=dict)
    placed: bool = False
    victims: Sequence[Victim] = ()
    revoke: bool = False
    leaving: Sequence[str] = ()
    own: bool = False
    at: float | None = None
    load_seconds: float = 0.0

    @property
    def ready_at(self) -> float | None:
        """When its work will be ready."""
        return None if self.at is None else self.at + self.load_seconds


class Planner:
    """One pass. room: what may be granted now; leases: all that have memory, also such as is on its way back.

    surplus: names of leases beside which another serves the same work. Those behind may only take what nobody ahead
    needs: `ahead` is the room as it will be when all that were planned so far have what they wait for, and what is
    placed has to fit there, too.
    """

    def __init__(
        self,
        ledger: Ledger,
        leases: Iterable[Lease],
        room: Room,
        usage: Usage,
        pinned: Callable[[Lease], bool],
        surplus: Collection[str],
        now: float,
    ) -> None:
        leases = list(leases)
        self._ledger = ledger
        self._usage = usage
        self._now = now
        self._free = dict(room)
        self._leaving = [lease for lease in leases if lease.leaving]
        self._ahead = summed(room, (lease.shares for lease in self._leaving))
        self._surplus = surplus
        self._movable = [lease for lease in leases if lease.alive and (lease.id in surplus or not pinned(lease))]
        self._planned: list[Victim] = []
        self.due: float | None = None
        """When the plan may change by time alone."""

    def step(self, unit: Unit, need: Need) -> Step:
        """Plan one place, after those that were planned before."""
        now = {name: min(free, self._ahead[name]) for name, free in self._free.items()}
        if (shares := self._ledger.place(need, now)) is not None:
            return self._take(unit, shares, placed=True, at=self._now)
        if (shares := self._ledger.place(need, self._ahead)) is not None:
            leaving = self._awaited(shares)
            at = max((self._back_at(lease) for lease in leaving), default=None)
            return self._take(unit, shares, leaving=[lease.name for lease in leaving], at=at)
        found = self._victims(unit, need)
        if found is None:
            return Step(unit, own=any(lease.name == unit.work.name for lease in self._movable))
        shares, victims = found
        revoke = all(one.allowed(self._now) for one in victims)
        self._movable = [lease for lease in self._movable if all(one.lease is not lease for one in victims)]
        self._planned = [one for one in self._planned if all(one is not other for other in victims)]
        for one in victims:
            add(self._ahead, one.shares)
        return self._take(unit, shares, victims=victims, revoke=revoke, at=self._made_at(victims))

    def _take(
        self,
        unit: Unit,
        shares: Shares,
        *,
        placed: bool = False,
        victims: Sequence[Victim] = (),
        revoke: bool = False,
        leaving: Sequence[str] = (),
        at: float | None = None,
    ) -> Step:
        if placed:
            add(self._free, shares, -1)
        add(self._ahead, shares, -1)
        # Whoever is planned behind may count on this place when its time comes.
        load_seconds = self._usage.load_seconds(unit.work, max(shares.values()))
        later = self._now if at is None else at + load_seconds
        self._planned.append(Victim(unit.work.name, shares, Tier.LATER, later, 0.0))
        return Step(unit, shares, placed, victims, revoke, leaving, at=at, load_seconds=load_seconds)

    def _victims(self, unit: Unit, need: Need) -> tuple[Shares, list[Victim]] | None:
        """The place that costs least, with its victims; never a lease of the same name."""
        load_seconds = self._usage.load_seconds(unit.work, max(need.sizes.values()))
        candidates = [
            surplus_victim(lease, self._usage, self._now)
            if lease.id in self._surplus
            else victim(lease, unit.entry, self._usage, load_seconds, self._now)
            for lease in self._movable
            if lease.name != unit.work.name
        ]
        candidates += [one for one in self._planned if one.name != unit.work.name]
        soon = min((one.at for one in candidates if one.at > self._now), default=None)
        self.due = soon if self.due is None else min(self.due, soon or self.due)
        most = summed(self._ahead, (one.shares for one in candidates))
        ways = [
            (shares, found)
            for shares in self._ledger.options(need, most)
            if (found := choose(shares, self._ahead, candidates, self._now)) is not None
        ]
        return min(ways, key=lambda way: price(way[1], self._now), default=None)

    def _awaited(self, shares: Shares) -> list[Lease]:
        """Those on their way out whose memory these shares wait for."""
        short = {name for name, count in shares.items() if count > self._free.get(name, 0)}
        return [lease for lease in self._leaving if short & lease.shares.keys()]

    def _back_at(self, lease: Lease) -> float:
        """When memory that is on its way will be back."""
        if lease.state is State.RELEASED:
            return max(self._now, lease.since + VERIFYING_SECONDS)
        if not lease.revoked_busy:
            return max(self._now, min(lease.deadline, lease.since + self._usage.giving_seconds()))
        usual = lease.since + self._usage.drain_seconds(DRAIN_SECONDS)
        return usual if usual > self._now else max(self._now, lease.deadline)

    def _made_at(self, victims: Sequence[Victim]) -> float:
        """When victims that are revoked as soon as they may will have made room."""
        if not victims:
            return self._now
        busy = any(one.lease is None or one.lease.busy(self._now) for one in victims)
        usual = self._usage.drain_seconds(DRAIN_SECONDS) if busy else self._usage.giving_seconds()
        return max(self._now, *(one.at for one in victims)) + min(usual, DRAIN_SECONDS)
