"""Which leases make room for a want, and from when on they may be asked to."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from actors.gpu.lease import Lease, State
from actors.gpu.ledger import Room, add, fits
from actors.gpu.urgency import (
    LOADING_SECONDS,
    PATIENCE_PER_SWITCH,
    RESIDENCY_PER_LOAD,
    RESIDENCY_SECONDS,
    URGENCY,
)
from actors.gpu.usage import Usage
from actors.gpu.wants import Entry
from actors.gpu.words import Shares
from bus.priority import Priority


class Tier(IntEnum):
    """How much it costs somebody to lose the lease; the lowest goes first."""

    SURPLUS = 0
    """Others serve the same work, and take over its calls."""
    IDLE = 1
    PREEMPTIBLE = 2
    BUSY = 3
    LATER = 4
    """Not before something has happened to it that no clock tells: a load, or its own grant."""


@dataclass(frozen=True, slots=True)
class Victim:
    """Memory that could come back. at: from then on it may be revoked; lease: None for what is only planned."""

    name: str
    shares: Shares
    tier: Tier
    at: float
    value: float
    lease: Lease | None = None

    def allowed(self, now: float) -> bool:
        """It may be revoked now."""
        return self.tier is not Tier.LATER and self.at <= now


def surplus_victim(lease: Lease, usage: Usage, now: float) -> Victim:
    """What a lease is to any want while others serve the same work."""
    return Victim(lease.name, lease.shares, Tier.SURPLUS, now, usage.value(lease, now), lease)


def victim(lease: Lease, entry: Entry, usage: Usage, load_seconds: float, now: float) -> Victim:
    """What a lease is to a want; load_seconds: of what is wanted. It is alive, not pinned, and the last of its name."""
    reload_seconds = usage.load_seconds(lease.work, lease.size)
    overdue = entry.overdue_at <= now
    patient_until = entry.patient_until(lease.priority, PATIENCE_PER_SWITCH * (load_seconds + reload_seconds))
    tier, at = Tier.BUSY, patient_until
    if lease.work.preemptible and lease.priority > entry.priority and lease.state is not State.PLACED:
        return Victim(lease.name, lease.shares, Tier.PREEMPTIBLE, now, usage.value(lease, now), lease)
    if lease.state is State.PLACED:
        tier = Tier.LATER
    elif lease.state is State.LOADING:
        late = lease.since + max(LOADING_SECONDS, 10 * reload_seconds)
        tier, at = (Tier.BUSY, max(at, late)) if now >= late else (Tier.LATER, max(at, lease.since + reload_seconds))
    elif not lease.work.preemptible and not lease.busy(now):
        keeps = URGENCY[entry.priority].keeps if lease.priority < entry.priority else 0.0
        tier, at = Tier.IDLE, min(lease.idle_since() + keeps, patient_until)
    # Whose callers have not come yet has been loaded for nothing if it goes now, whoever wants it to.
    if lease.state is State.READY and (lease.demands or not (overdue or entry.priority is Priority.VOICE)):
        began = lease.since if lease.loaded_at is None else lease.loaded_at
        at = max(at, began + min(RESIDENCY_SECONDS, RESIDENCY_PER_LOAD * reload_seconds))
    return Victim(lease.name, lease.shares, tier, at, usage.value(lease, now), lease)


def choose(shares: Shares, room: Room, candidates: Sequence[Victim], now: float) -> list[Victim] | None:
    """The cheapest victims found with which the shares fit into the room; None: not even with all of them.

    Taken in order of cost until it fits; then those are left alone, dearest first, without which it fits, too.
    """
    found: list[Victim] = []
    ahead = dict(room)
    for one in sorted(candidates, key=lambda one: _cost(one, now)):
        if fits(shares, ahead):
            break
        if any(ahead.get(name, 0) < count and one.shares.get(name) for name, count in shares.items()):
            found.append(one)
            add(ahead, one.shares)
    if not fits(shares, ahead):
        return None
    for one in reversed(found[:]):
        add(ahead, one.shares, -1)
        if fits(shares, ahead):
            found.remove(one)
        else:
            add(ahead, one.shares)
    return found


def price(found: Sequence[Victim], now: float) -> tuple[bool, float, int, float]:
    """By which sets of victims are compared: free now, how soon, how hard, how much they are worth."""
    return (
        any(not one.allowed(now) for one in found),
        max((one.at for one in found if not one.allowed(now)), default=now),
        max((one.tier for one in found), default=Tier.IDLE),
        sum(one.value for one in found),
    )


def _cost(one: Victim, now: float) -> tuple[bool, int, float, str]:
    return (not one.allowed(now), one.tier, one.value, one.name)
