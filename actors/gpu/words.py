"""What the scheduler hears and what it answers. Times are seconds on any one clock, sizes are bytes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from bus.priority import Priority


class Kind(Enum):
    """What a device is. FIXED is a budget of whoever set it, for tests and simulated cards, and takes whatever asks."""

    NVIDIA = "nvidia"
    SYSTEM = "system"
    FIXED = "fixed"


@dataclass(frozen=True, slots=True)
class Variant:
    """One way in which something can run.

    sizes: what it takes of a device of each kind, for example {NVIDIA: 5_000_000_000, SYSTEM: 400_000_000} for a model
    on a card whose process also needs main memory, or {SYSTEM: …} for one on the CPU. It is placed where every kind
    that it names can give its share; a FIXED device gives the largest of them, alone. spread: the largest share may lie
    on several devices of its kind in equal parts. note: how it differs from the first choice, for people, for example
    "with 2,048 tokens of context"; empty for the first choice.
    """

    sizes: Mapping[Kind, int]
    spread: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class Work:
    """What wants memory.

    name: for people and as the key by which wants are joined, for example "llama/smollm2-135m". variants: the first is
    what is placed; the others are only told where it can never fit. devices: names of the only devices that it may be
    placed on, in this order; empty: any. key: by which what was measured is remembered; empty: it is not. load_seconds:
    expected, 0: not known. pinned: never revoked for others. preemptible: gives way within its deadline to any higher
    priority, at any time, for example a training. replicates: its holders can have another process of it started that
    shares the calls.
    """

    name: str
    variants: Sequence[Variant]
    devices: Sequence[str] = ()
    key: str = ""
    load_seconds: float = 0.0
    pinned: bool = False
    preemptible: bool = False
    replicates: bool = False


Shares = Mapping[str, int]
"""Bytes by the device's name."""

# ---- what happens


@dataclass(frozen=True, slots=True)
class DeviceSeen:
    """A device as it was measured: all its memory, what others than our holders use of it now, and what ours use.

    ours: as measured; None: it cannot be told apart or is not measured (FIXED). The first one of a name adds the
    device; cap: the share of `total` that may ever be used, by others and by us.
    """

    device: str
    kind: Kind
    total: int
    others: int = 0
    ours: int | None = None
    cap: float = 0.8


@dataclass(frozen=True, slots=True)
class DeviceLost:
    """A device answers no more: nothing is placed on it."""

    device: str


@dataclass(frozen=True, slots=True)
class Demanded:
    """A call waits for this work to run. Ends with `DemandEnded`, also where it was told `Placed`."""

    demand: str
    work: Work
    priority: Priority = Priority.INTERACTIVE
    principal: str = ""


@dataclass(frozen=True, slots=True)
class DemandEnded:
    """The call has gone to its model, or was cancelled. Ending what is unknown does nothing."""

    demand: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A process wants the lease under which it will load. What was placed for its work before is taken up by it.

    replica: others serve this work already, and it would share their calls: it is granted what was placed for it, or is
    refused.
    """

    lease: str
    holder: str
    work: Work
    priority: Priority = Priority.INTERACTIVE
    principal: str = ""
    replica: bool = False


@dataclass(frozen=True, slots=True)
class Claimed:
    """A holder that was granted these shares before this scheduler began. They are its own at once."""

    lease: str
    holder: str
    work: Work
    shares: Shares
    loaded: bool = True


@dataclass(frozen=True, slots=True)
class Loaded:
    """The lease's work is ready. measured: what it really takes, by device; empty: nobody could tell."""

    lease: str
    measured: Shares = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Used:
    """How the work is used now: calls that run and wait in it, and how many have begun since it was loaded."""

    lease: str
    running: int
    waiting: int = 0
    begun: int = 0


@dataclass(frozen=True, slots=True)
class GrowAsked:
    """A holder wants this much more of its devices; answered by `Grown`."""

    lease: str
    more: Shares


@dataclass(frozen=True, slots=True)
class OutOfMemory:
    """The holder's load or work failed for want of memory: what it was granted was too little, or not really free."""

    lease: str


@dataclass(frozen=True, slots=True)
class Released:
    """The lease has ended: given back, or its holder is gone. verified: its memory was seen to be free already."""

    lease: str
    verified: bool = False


@dataclass(frozen=True, slots=True)
class Verified:
    """The memory that a released lease had was seen to be free."""

    lease: str


@dataclass(frozen=True, slots=True)
class Pinned:
    """From now on work of this name is pinned, or is not."""

    name: str
    pinned: bool


@dataclass(frozen=True, slots=True)
class Ticked:
    """Time has passed; comes a few times a second."""


Happening = (
    DeviceSeen | DeviceLost | Demanded | DemandEnded | Asked | Claimed | Loaded | Used | GrowAsked | OutOfMemory
    | Released | Verified | Pinned | Ticked
)  # fmt: skip

# ---- what to do


@dataclass(frozen=True, slots=True)
class Placed:
    """There is room: these demands' work may be started, with these shares. Comes once for each demand."""

    demand: str
    shares: Shares


@dataclass(frozen=True, slots=True)
class Granted:
    """The lease's holder may load with these shares."""

    lease: str
    shares: Shares


@dataclass(frozen=True, slots=True)
class Grown:
    """The answer to `GrowAsked`: all of it, or nothing."""

    lease: str
    allowed: bool


@dataclass(frozen=True, slots=True)
class Told:
    """How a demand or an ask that waits stands. Comes when that changes. eta: seconds; None: not known."""

    waiting: str
    position: int
    eta: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A demand or an ask that can never be placed, or not now. It has ended with this.

    reason: INSUFFICIENT_MEMORY, QUARANTINED, TOO_MANY_WAITING, or REPLICA_NOT_WANTED. fits: notes of the
    variants that would fit. retry_after: seconds, where it may be otherwise later.
    """

    waiting: str
    reason: str
    message: str
    needed: int = 0
    available: int = 0
    fits: Sequence[str] = ()
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Revoke:
    """The holder is to end within these seconds: to take no new calls, finish those that run, and give back."""

    lease: str
    seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class Welcome:
    """Another process of this lease's work may be started, whose place is kept for so long."""

    lease: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Overdue:
    """A revoked holder has not ended in its time: it is to be killed."""

    lease: str
    holder: str


@dataclass(frozen=True, slots=True)
class Measured:
    """Work of this key takes so many bytes of devices of this kind; to be remembered beyond this scheduler."""

    key: str
    kind: Kind
    size: int


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided and why, for people and for the record.

    what: placed, granted, waits, refused, revoked, released, verified, grown, quarantined, claimed, overdue. reason: a
    sentence.
    """

    what: str
    name: str
    reason: str
    shares: Shares = field(default_factory=dict)
    rule: str = ""


Effect = Placed | Granted | Grown | Told | Refused | Revoke | Welcome | Overdue | Measured | Decision
