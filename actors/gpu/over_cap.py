"""Rule 2 of scheduler.py where a device is above its cap: who gives up until it fits."""

from collections.abc import Sequence

from actors.gpu.lease import Lease, State, charged
from actors.gpu.leases import Leases
from actors.gpu.ledger import Ledger, summed
from actors.gpu.places import Places
from actors.gpu.sentences import joined
from actors.gpu.urgency import OVER_SECONDS
from actors.gpu.usage import Usage
from actors.gpu.victims import Tier


class OverCap:
    """Watches for devices that stay above their caps."""

    def __init__(self, ledger: Ledger, leases: Leases, usage: Usage, places: Places) -> None:
        self._ledger = ledger
        self._leases = leases
        self._usage = usage
        self._places = places
        self._since: dict[str, float] = {}

    def dues(self) -> list[float]:
        """When time alone changes something."""
        return [since + OVER_SECONDS for since in self._since.values()]

    def give_up(self, now: float) -> None:
        """What is not yet seen to be free counts once: others are seen to use it, or we are."""
        held = [lease for lease in self._leases.all.values() if lease.state is not State.RELEASED]
        room = self._ledger.room(charged(held))
        self._since = {name: self._since.get(name, now) for name, left in room.items() if left < 0}
        lasting = [name for name, since in self._since.items() if now >= since + OVER_SECONDS]
        if not lasting:
            return
        coming = summed(room, (lease.shares for lease in held if lease.state is State.REVOKED))
        for tier, lease in self._by_tier([lease for lease in held if lease.alive], now):
            over = [name for name in lasting if coming[name] < 0 and lease.shares.get(name)]
            if not over or tier > Tier.PREEMPTIBLE:
                continue
            coming = summed(coming, [lease.shares])
            why = f"{joined(over)} is above its cap"
            if lease.state is State.PLACED:
                self._places.give_up(lease, why)
            else:
                self._places.revoke(lease, tier, why, "2", now)

    def _by_tier(self, leases: Sequence[Lease], now: float) -> list[tuple[Tier, Lease]]:
        """Leases with how hard it is on them to go, the lightest first."""
        surplus = self._leases.surplus()
        found = [(Tier.SURPLUS if one.id in surplus else self._tier(one, now), one) for one in leases]
        placed_first = (
            (tier, lease.state is not State.PLACED, self._usage.value(lease, now), lease.id) for tier, lease in found
        )
        return [one for _, one in sorted(zip(placed_first, found, strict=True), key=lambda pair: pair[0])]

    def _tier(self, lease: Lease, now: float) -> Tier:
        if lease.state is State.PLACED:
            return Tier.IDLE
        if self._leases.pinned(lease):
            return Tier.LATER
        if lease.work.preemptible:
            return Tier.PREEMPTIBLE
        return Tier.BUSY if lease.state is State.LOADING or lease.busy(now) else Tier.IDLE
