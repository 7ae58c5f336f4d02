"""All leases, the demands that were told their places, and pins."""

from actors.gpu.lease import ALIVE, Lease, State, charged
from actors.gpu.ledger import Ledger, Room
from actors.gpu.snapshot import DeviceView, LeaseView
from actors.gpu.wants import Want

MAX_PINS = 10_000
"""Names whose pin was set by word; a further one is not heard."""


class Leases:
    """Who has what."""

    def __init__(self, ledger: Ledger) -> None:
        self.all: dict[str, Lease] = {}
        self._ledger = ledger
        self._attached: dict[str, tuple[Lease, Want]] = {}
        self._pins: dict[str, bool] = {}

    def add(self, lease: Lease) -> None:
        """A new one."""
        self.all[lease.id] = lease

    def remove(self, lease: Lease) -> None:
        """It is over, its memory included."""
        del self.all[lease.id]

    def take_up(self, lease: Lease, name: str, holder: str) -> None:
        """A process has come for a place: from now on the lease has its name."""
        del self.all[lease.id]
        lease.id, lease.holder = name, holder
        self.all[name] = lease

    def held(self, lease: str) -> Lease | None:
        """One that a process has, by its name."""
        found = self.all.get(lease)
        return None if found is None or found.state in (State.PLACED, State.RELEASED) else found

    def there(self, name: str) -> Lease | None:
        """One of work of that name that may be used, or will be: of several the one that is furthest."""
        return min(self.alive(name), key=_furthest, default=None)

    def alive(self, name: str) -> list[Lease]:
        """All of work of that name that may be used, or will be."""
        return [lease for lease in self.all.values() if lease.name == name and lease.alive]

    def surplus(self) -> set[str]:
        """Leases that processes have and beside which another process serves the same work.

        Of each name all but the one that has served longest; none where it only loads, for that may fail.
        """
        names = {lease.name for lease in self.all.values() if lease.work.replicates}
        groups = [sorted(self.alive(name), key=_furthest) for name in names]
        serving = [group for group in groups if group and group[0].state is State.READY]
        return {one.id for group in serving for one in group[1:] if one.state is not State.PLACED}

    def reserved(self, name: str) -> Lease | None:
        """A place for work of that name that no process has taken up."""
        found = (one for one in self.all.values() if one.name == name and one.state is State.PLACED)
        return next(found, None)

    # ---- demands that were told their place

    @property
    def attached(self) -> int:
        """How many."""
        return len(self._attached)

    def has(self, demand: str) -> bool:
        """It was told its place, and has not ended."""
        return demand in self._attached

    def attach(self, lease: Lease, want: Want) -> None:
        """A demand is told its place."""
        lease.demands.add(want.id)
        lease.priority = min(lease.priority, want.priority)
        self._attached[want.id] = (lease, want)

    def end_demand(self, demand: str) -> Lease | None:
        """It has ended: its lease, where it had one."""
        lease, _ = self._attached.pop(demand, (None, None))
        if lease is not None:
            lease.demands.discard(demand)
        return lease

    def detach(self, lease: Lease) -> list[Want]:
        """The lease is no more: the demands that are left without one."""
        wants = [self._attached.pop(demand)[1] for demand in sorted(lease.demands)]
        lease.demands.clear()
        return wants

    # ---- pins

    def pin(self, name: str, *, pinned: bool) -> None:
        """By word, whatever the work itself says."""
        if name in self._pins or len(self._pins) < MAX_PINS:
            self._pins[name] = pinned

    def pinned(self, lease: Lease) -> bool:
        """It is not revoked for others."""
        return self._pins.get(lease.name, lease.work.pinned)

    def all_pinned(self) -> list[Lease]:
        """All that is pinned and has memory."""
        return [lease for lease in self.all.values() if self.pinned(lease)]

    # ---- memory

    def room(self) -> Room:
        """What may be granted now."""
        return self._ledger.room(charged(self.all.values()))

    def device_views(self) -> list[DeviceView]:
        """Each device."""
        leased = charged(lease for lease in self.all.values() if lease.state is not State.RELEASED)
        unverified = charged(lease for lease in self.all.values() if lease.state is State.RELEASED)
        return [
            DeviceView(
                device.name,
                device.kind,
                device.total,
                device.limit,
                leased.get(device.name, 0),
                device.others,
                device.ours,
                unverified.get(device.name, 0),
                device.lost,
            )
            for device in self._ledger.devices.values()
        ]

    def views(self, now: float) -> list[LeaseView]:
        """Each lease that has not ended, by name."""
        found = [self._view(lease, now) for lease in self.all.values() if lease.state is not State.RELEASED]
        return sorted(found, key=lambda view: (view.name, view.lease))

    def _view(self, lease: Lease, now: float) -> LeaseView:
        state, since = lease.state.value, lease.since
        if lease.state is State.READY:
            state = "busy" if lease.busy(now) else "idle"
            since = since if lease.busy(now) else max(since, lease.idle_since())
        return LeaseView(
            "" if lease.state is State.PLACED else lease.id,
            lease.name,
            lease.holder,
            state,
            since,
            dict(lease.shares),
            dict(lease.measured),
            lease.running,
            self.pinned(lease),
            lease.priority,
            lease.deadline if lease.state is State.REVOKED else None,
        )


def _furthest(lease: Lease) -> tuple[int, float, str]:
    """Sorts those first that serve, and of those the oldest."""
    return ALIVE[::-1].index(lease.state), lease.since if lease.loaded_at is None else lease.loaded_at, lease.id
