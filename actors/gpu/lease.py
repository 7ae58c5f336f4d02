"""One lease, from its reservation until its memory is seen to be free."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

from actors.gpu.words import Work
from bus.priority import Priority


class State(Enum):
    """How far a lease is."""

    PLACED = "placed"
    """Reserved; no process has asked yet."""
    LOADING = "loading"
    READY = "ready"
    REVOKED = "revoked"
    RELEASED = "released"
    """Ended, its memory not yet seen to be free."""


ALIVE = (State.PLACED, State.LOADING, State.READY)
"""What may be used or will be."""


@dataclass(slots=True)
class Lease:
    """Memory that somebody has. Times are the clock's of the happenings.

    since: when its state began. placed_at: when it was given its place; None: before this scheduler. used_at: when it
    was last in use. waiting_since: since when calls have waited in it; None: none waits. slots: the most calls that ran
    while others waited, which is how many can. expected_until: until then a call that is on its way counts as use.
    deadline: the end of its time once it is revoked; killed_at: when that was last told. demands: those that were told
    its place and have not ended. replica: it was placed beside others of its name, for a process that shares their
    calls.
    """

    id: str
    holder: str
    work: Work
    priority: Priority
    principal: str
    shares: dict[str, int]
    state: State
    since: float
    placed_at: float | None
    loaded_at: float | None = None
    measured: dict[str, int] = field(default_factory=dict)
    running: int = 0
    waiting: int = 0
    waiting_since: float | None = None
    slots: int = 0
    begun: int = 0
    used_at: float = 0.0
    expected_until: float = 0.0
    revoked_busy: bool = False
    deadline: float = 0.0
    killed_at: float | None = None
    demands: set[str] = field(default_factory=set)
    replica: bool = False

    @property
    def name(self) -> str:
        """Of its work."""
        return self.work.name

    @property
    def alive(self) -> bool:
        """It may be used, or will be."""
        return self.state in ALIVE

    @property
    def leaving(self) -> bool:
        """Its memory is on its way back."""
        return not self.alive

    @property
    def size(self) -> int:
        """Bytes of all its shares."""
        return sum(self.shares.values())

    def busy(self, now: float) -> bool:
        """Somebody uses it, or is about to."""
        return bool(self.running or self.waiting) or (self.state is State.READY and now < self.expected_until)

    def idle_since(self) -> float:
        """Since when nobody has used it, where nobody does."""
        return max(self.used_at, self.expected_until)

    def use(self, running: int, waiting: int, begun: int, now: float) -> None:
        """How it is used now."""
        self.running, self.waiting, self.begun = running, waiting, max(begun, self.begun)
        self.used_at = now
        if not waiting:
            self.waiting_since = None
            return
        self.slots = max(self.slots, running)
        self.waiting_since = now if self.waiting_since is None else self.waiting_since

    def enter(self, state: State, now: float) -> None:
        """Its state changes."""
        self.state, self.since = state, now

    def revoke(self, seconds: float, now: float) -> None:
        """It is to end within this time."""
        self.revoked_busy = self.busy(now)
        self.deadline = now + seconds
        self.enter(State.REVOKED, now)


def charged(leases: Iterable[Lease]) -> dict[str, int]:
    """What leases take of each device."""
    total: dict[str, int] = {}
    for lease in leases:
        for device, count in lease.shares.items():
            total[device] = total.get(device, 0) + count
    return total
