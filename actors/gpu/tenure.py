"""Leases as their holders are known: which process, with which memory, until it is seen to be free."""

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from actors.gpu import processes
from actors.gpu.accounts import Holding
from actors.gpu.spelling import share_messages, shares_of, timestamp, work_message, work_of
from actors.gpu.words import Shares, Work
from troupe.gpu import v1

MAX_TENURES = 10_000
"""Leases that are asked for or held at a time."""


@dataclass(slots=True)
class Tenure:
    """One lease.

    process: on the bus. holder: as the system knows it. started: when that process began; 0: not known. shares: what
    was granted, and measured once it is loaded; empty: nothing yet. left: when it ended, on the clock of
    `time.monotonic`; orderly: it said itself that it has given all back. kept: it is in the table, or about to be.
    revoked: its holder was told to end.
    """

    lease: str
    process: str
    work: Work
    holder: v1.Holder
    started: int = 0
    shares: dict[str, int] = field(default_factory=dict)
    loaded: bool = False
    left: float | None = None
    orderly: bool = False
    kept: bool = False
    revoked: bool = False

    @property
    def granted(self) -> bool:
        """It has, or had, memory."""
        return bool(self.shares)

    @property
    def pid(self) -> int:
        """Of the holder, where it can be looked at from here and is still that process; else 0."""
        return self.holder.pid if self.started else 0

    def gone(self) -> bool:
        """Its process is known to have ended."""
        return bool(self.started) and processes.began(self.holder.pid) != self.started

    def ended(self) -> bool:
        """Its process is known to have ended, or is none that could be looked at from here."""
        return not self.started or self.gone()

    def record(self, shares: Shares) -> v1.LeaseRecord:
        """As it is kept, with these shares."""
        return v1.LeaseRecord(
            work=work_message(self.work),
            shares=share_messages(shares),
            process=self.process,
            holder=self.holder,
            started=self.started,
            loaded=self.loaded,
            granted=timestamp(time.time()),
        )


def known(lease: str, process: str, work: v1.Work, holder: v1.Holder) -> Tenure:
    """A lease whose holder has just called. Raises INVALID_ARGUMENT."""
    near = bool(holder.pid) and holder.pid_namespace == processes.namespace() != ""
    started = processes.began(holder.pid) if near else 0
    return Tenure(lease, process, work_of(work), holder, started)


def kept(lease: str, record: v1.LeaseRecord) -> Tenure:
    """A lease as an earlier service has kept it. Raises INVALID_ARGUMENT for what cannot be read."""
    return Tenure(
        lease,
        record.process,
        work_of(record.work),
        record.holder,
        record.started if record.holder.pid_namespace == processes.namespace() else 0,
        shares_of(record.shares),
        loaded=record.loaded,
    )


class Tenures:
    """All of them, by lease; those that have ended stay until their memory is seen to be free."""

    def __init__(self) -> None:
        self._all: dict[str, Tenure] = {}

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Tenure]:
        return iter(list(self._all.values()))

    def get(self, lease: str) -> Tenure | None:
        """The one of this name."""
        return self._all.get(lease)

    def add(self, tenure: Tenure) -> None:
        """From now on it is known."""
        self._all[tenure.lease] = tenure

    def drop(self, lease: str) -> None:
        """It is over."""
        self._all.pop(lease, None)

    def leaving(self) -> list[Tenure]:
        """Those that have ended and whose memory was not yet seen to be free."""
        return [each for each in self._all.values() if each.left is not None]

    def pids(self) -> set[int]:
        """Processes that hold memory and can be looked at from here."""
        return {each.pid for each in self._all.values() if each.granted and each.pid}

    def alone(self, tenure: Tenure) -> bool:
        """No other lease is held by the same process."""
        return not any(each is not tenure and each.pid == tenure.pid and each.granted for each in self._all.values())

    def holdings(self, without: Collection[Tenure] = ()) -> list[Holding]:
        """What each has of each device."""
        return [
            Holding(device, tenure.pid, size, tenure.loaded)
            for tenure in self._all.values()
            if not any(tenure is each for each in without)
            for device, size in tenure.shares.items()
        ]
