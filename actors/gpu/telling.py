"""What those who wait are told, and when that is news."""

from collections.abc import Iterator, Sequence

from actors.gpu.lease import Lease
from actors.gpu.plan import Step
from actors.gpu.sentences import joined
from actors.gpu.snapshot import WishView
from actors.gpu.wants import Entry
from actors.gpu.words import Decision, Effect, Told

NOTICEABLE_SECONDS = 1.0
"""An ETA that changes by less is no news."""

OTHERS = "Others use the memory."

Standing = tuple[int, float | None, str]
"""Position, when its work will be ready, and the reason."""


class Telling:
    """How each name stands after the last pass over the queue."""

    def __init__(self) -> None:
        self._standings: dict[str, Standing] = {}
        self._stuck: set[str] = set()

    def stand(self, order: Sequence[Entry], steps: dict[str, Step | None], pinned: Sequence[Lease]) -> None:
        """A pass has ended with these steps; None: it is too far behind to be planned. pinned: what stays."""
        self._standings = {
            entry.name: (number, None if step is None else step.ready_at, _why(step) or _stuck(pinned))
            for number, entry in enumerate(order, 1)
            for step in [steps.get(entry.name)]
        }
        self._stuck = {name for name, step in steps.items() if not _why(step)}

    def news(self, order: Sequence[Entry], now: float) -> Iterator[Effect]:
        """What is new for those who wait; for the record once for each name."""
        for entry in order:
            standing = self._standings[entry.name]
            position, ready_at, reason = standing
            if not entry.explained:
                entry.explained = True
                yield Decision("waits", entry.name, reason, rule="3")
            for want in entry.waiting:
                if _differs(want.told, standing):
                    want.told = standing
                    yield Told(want.id, position, _eta(ready_at, now), reason)

    def wish(self, position: int, entry: Entry, now: float) -> WishView:
        """How a name stands."""
        _, ready_at, reason = self._standings.get(entry.name, (position, None, ""))
        waiting, others = len(entry.waiting), entry.name in self._stuck
        return WishView(entry.name, entry.priority, position, _eta(ready_at, now), entry.since, waiting, reason, others)


def _eta(ready_at: float | None, now: float) -> float | None:
    return None if ready_at is None else max(0.0, ready_at - now)


def _stuck(pinned: Sequence[Lease]) -> str:
    if not pinned:
        return OTHERS
    names = sorted({lease.name for lease in pinned})
    are = "are pinned and have" if len(names) > 1 else "is pinned and has"
    return f"{joined(names)} {are} the memory, or others use it; `troupe models unpin NAME` lets one go."


def _why(step: Step | None) -> str:
    """Empty where it has no place as things are."""
    if step is None:
        return "Waits for those that are ahead."
    if step.victims:
        names = joined(sorted({one.name for one in step.victims}))
        return f"Waits for {names} to {'give back their memory' if step.revoke else 'have a moment'}."
    if step.leaving:
        return f"Waits for the memory of {joined(sorted(set(step.leaving)))}."
    if step.own:
        return "Another process of this work has the memory."
    return "Waits for those that are ahead." if step.shares else ""


def _differs(told: Standing | None, now: Standing) -> bool:
    if told is None or told[0] != now[0] or told[2] != now[2]:
        return True
    if told[1] is None or now[1] is None:
        return told[1] is not now[1]
    return abs(told[1] - now[1]) > NOTICEABLE_SECONDS
