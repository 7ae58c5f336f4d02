"""What becomes of places: taken by wants, loaded into, revoked, given back."""

from actors.gpu.effects import Effects
from actors.gpu.lease import Lease, State
from actors.gpu.leases import Leases
from actors.gpu.urgency import (
    DRAIN_SECONDS,
    HANDOVER_SECONDS,
    IDLE_SECONDS,
    PREEMPT_SECONDS,
    RESERVATION_SECONDS,
)
from actors.gpu.victims import Tier
from actors.gpu.wants import Unit, Want, Wants
from actors.gpu.words import Granted, Placed, Revoke, Shares, Told, Welcome, Work
from bus.priority import Priority


class Places:
    """Changes leases and wants together, and says so; what it does was decided elsewhere. Rules: scheduler.py."""

    def __init__(self, leases: Leases, wants: Wants, effects: Effects) -> None:
        self._leases = leases
        self._wants = wants
        self._effects = effects
        self._reservations = 0

    def place(self, unit: Unit, shares: Shares, now: float) -> None:
        """A place that is wanted has room: its process may load, or may be started."""
        first, ask = unit.entry.first, unit.ask
        self._wants.served(first.principal, now)
        lease = self._placed(unit.work, first.priority, first.principal, shares, now)
        if ask is not None:
            self._wants.remove(ask.id)
            lease.id, lease.holder, lease.principal = ask.id, ask.holder or "", ask.principal
        self._leases.add(lease)
        self.attach_all(lease, now)
        if ask is not None:
            self.load(lease, "there is room, and it is its turn", "5", now)
        else:
            self._effects.decide("placed", lease.name, "There is room, and it is its turn.", lease.shares, "5")

    def attach_all(self, lease: Lease, now: float) -> None:
        """All demands for its name are for this lease."""
        entry = self._wants.entries.get(lease.name)
        for want in [] if entry is None else list(entry.members.values()):
            if want.holder is None:
                self._wants.remove(want.id)
                self.attach(lease, want, now)

    def attach(self, lease: Lease, want: Want, now: float) -> None:
        """A demand is told its place."""
        if not want.placed:
            self._effects.add(Placed(want.id, dict(lease.shares)))
        want.placed = True
        self._leases.attach(lease, want)
        if lease.state is State.READY:
            lease.expected_until = now + HANDOVER_SECONDS

    def load(self, lease: Lease, why: str, rule: str, now: float) -> None:
        """Its holder may load."""
        lease.enter(State.LOADING, now)
        self._effects.add(Granted(lease.id, dict(lease.shares)))
        self._effects.decide("granted", lease.name, f"{lease.holder} may load: {why}.", lease.shares, rule)

    def revoke(self, lease: Lease, tier: Tier, why: str, rule: str, now: float) -> None:
        """Its holder has to give it back."""
        idle = tier is Tier.IDLE or (tier is Tier.SURPLUS and not lease.busy(now))
        seconds = IDLE_SECONDS if idle else PREEMPT_SECONDS if tier is Tier.PREEMPTIBLE else DRAIN_SECONDS
        how = "in use" if lease.busy(now) else "loading" if lease.state is State.LOADING else "idle"
        reason = f"{why}; {lease.name} was {how} and has {seconds:g} s."
        lease.revoke(seconds, now)
        self._effects.add(Revoke(lease.id, seconds, reason))
        self._effects.decide("revoked", lease.name, reason, lease.shares, rule)

    def end(self, lease: Lease, now: float) -> None:
        """Its holder is gone. Demands that were told its place are for another process of its work."""
        lease.enter(State.RELEASED, now)
        another = self._leases.there(lease.name)
        for want in self._leases.detach(lease):
            if another is not None:
                self.attach(another, want, now)
            else:
                self._wants.add(want)  # it keeps its age

    def keep(self, beside: Lease, shares: Shares, now: float) -> None:
        """A place for another process of a lease's work is kept, and its holder hears that one is welcome."""
        lease = self._placed(beside.work, beside.priority, beside.principal, shares, now)
        lease.replica = True
        self._leases.add(lease)
        self._effects.add(Welcome(beside.id, RESERVATION_SECONDS))
        reason = f"Calls wait in {lease.name}, and there is room for another process of it."
        self._effects.decide("placed", lease.name, reason, lease.shares, "15")

    def give_up(self, lease: Lease, why: str) -> None:
        """Free a place that no process has."""
        self._leases.remove(lease)
        self._effects.decide("released", lease.name, f"Its place is given up: {why}.", lease.shares, "4")
        for want in self._leases.detach(lease):
            self._wants.add(want)
            self._effects.add(Told(want.id, 0, None, f"The place was given up: {why}."))

    def _placed(self, work: Work, priority: Priority, principal: str, shares: Shares, now: float) -> Lease:
        """A lease that no process has yet; holders' names have no blanks."""
        self._reservations += 1
        name = f"placed {self._reservations}"
        lease = Lease(name, "", work, priority, principal, dict(shares), State.PLACED, now, now)
        lease.used_at = now
        return lease
