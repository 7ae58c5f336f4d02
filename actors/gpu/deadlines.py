"""What time alone ends: places that nobody takes up, memory that is never seen to be free, holders that stay."""

from actors.gpu.effects import Effects
from actors.gpu.lease import Lease, State
from actors.gpu.leases import Leases
from actors.gpu.places import Places
from actors.gpu.urgency import OVERDUE_AGAIN_SECONDS, RESERVATION_SECONDS, VERIFY_SECONDS
from actors.gpu.words import Overdue


class Deadlines:
    """Rules 4, 8 and 9 of scheduler.py, where their time is over."""

    def __init__(self, leases: Leases, places: Places, effects: Effects) -> None:
        self._leases = leases
        self._places = places
        self._effects = effects

    def dues(self) -> list[float]:
        """When something ends next."""
        return [due for lease in self._leases.all.values() if (due := _due(lease)) is not None]

    def end(self, now: float) -> None:
        """What is due."""
        for lease in list(self._leases.all.values()):
            due = _due(lease)
            if due is None or now < due:
                continue
            if lease.state is State.PLACED:  # 4
                self._places.give_up(lease, f"no process took it up within {RESERVATION_SECONDS:g} s")
            elif lease.state is State.RELEASED:  # 9
                self._leases.remove(lease)
                late = f"Its memory was not seen to be free within {VERIFY_SECONDS:g} s"
                reason = f"{late}; it is taken for lost, and what the device shows decides."
                self._effects.decide("verified", lease.name, reason, lease.shares, "9")
            else:  # 8
                lease.killed_at = now
                self._effects.add(Overdue(lease.id, lease.holder))
                self._effects.decide("overdue", lease.name, "It did not end in its time and is to be killed.", rule="8")


def _due(lease: Lease) -> float | None:
    match lease.state:
        case State.PLACED:
            return lease.since + RESERVATION_SECONDS
        case State.RELEASED:
            return lease.since + VERIFY_SECONDS
        case State.REVOKED:
            return lease.deadline if lease.killed_at is None else lease.killed_at + OVERDUE_AGAIN_SECONDS
        case _:
            return None
