"""What there is, for those who watch. Times are the scheduler's clock, sizes bytes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from actors.gpu.words import Kind, Shares
from bus.priority import Priority


@dataclass(frozen=True, slots=True)
class DeviceView:
    """One device. cap: what may be used; leased: by leases, without what is unverified; lost: it answers no more."""

    name: str
    kind: Kind
    total: int
    cap: int
    leased: int
    others: int
    ours: int | None
    unverified: int
    lost: bool


@dataclass(frozen=True, slots=True)
class LeaseView:
    """One lease. lease: its id, empty while it is only placed. state: placed, loading, busy, idle or revoked.

    deadline: of a revoked one, until when.
    """

    lease: str
    name: str
    holder: str
    state: str
    since: float
    shares: Shares
    measured: Shares
    running: int
    pinned: bool
    priority: Priority
    deadline: float | None


@dataclass(frozen=True, slots=True)
class WishView:
    """All who wait for one name.

    position: 1 is next. eta: seconds from now until it is ready; None: not known. others: no lease could make room.
    """

    name: str
    priority: Priority
    position: int
    eta: float | None
    since: float
    waiting: int
    reason: str
    others: bool = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything, at one time."""

    devices: Sequence[DeviceView]
    leases: Sequence[LeaseView]
    wishes: Sequence[WishView]

    def waiting(self) -> Mapping[Priority, int]:
        """How many wait, by class; each class is there."""
        return {one: sum(wish.waiting for wish in self.wishes if wish.priority is one) for one in Priority}
