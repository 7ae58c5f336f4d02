"""Who waits for memory, joined by the name of the work, and in which order they are served."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from actors.gpu.urgency import FAIR_SECONDS, FAIR_WINDOW_SECONDS, URGENCY
from actors.gpu.words import Work
from bus.priority import Priority

MAX_WANTS = 10_000
"""Demands and asks that wait at a time; a further one is refused."""

MAX_PRINCIPALS = 1000
MAX_SERVED = 12
"""Places of one principal that count; so an hour's worth of them never puts it behind by more than a minute."""


@dataclass(slots=True)
class Want:
    """One demand, or one ask (`holder` is set). placed: it is a demand that was told its place; only its age counts.

    told: position, time of readiness and reason that its caller knows.
    """

    id: str
    work: Work
    priority: Priority
    principal: str
    since: float
    holder: str | None = None
    placed: bool = False
    told: tuple[int, float | None, str] | None = None

    @property
    def overdue_at(self) -> float:
        """From then on it goes before every class."""
        return self.since + URGENCY[self.priority].bound / 2


@dataclass(slots=True)
class Entry:
    """All who want one name: one place in the queue."""

    name: str
    members: dict[str, Want] = field(default_factory=dict)
    explained: bool = False
    """That it waits was told for the record."""

    @property
    def asks(self) -> list[Want]:
        """Those for which a process waits, the most urgent first; each needs memory of its own."""
        found = [want for want in self.members.values() if want.holder is not None]
        return sorted(found, key=lambda want: (want.priority, want.since))

    @property
    def waiting(self) -> list[Want]:
        """Those who have not been told a place."""
        return [want for want in self.members.values() if not want.placed]

    @property
    def priority(self) -> Priority:
        """Of its most urgent member."""
        return min(want.priority for want in self.members.values())

    @property
    def since(self) -> float:
        """Since when somebody waits."""
        return min(want.since for want in self.members.values())

    @property
    def overdue_at(self) -> float:
        """When the first member is overdue."""
        return min(want.overdue_at for want in self.members.values())

    @property
    def bound_at(self) -> float:
        """When the first that waits has waited as long as its class may."""
        return min(want.since + URGENCY[want.priority].bound for want in self.waiting)

    @property
    def first(self) -> Want:
        """Its member that has waited longest of the most urgent class."""
        return min(self.members.values(), key=lambda want: (want.priority, want.since))

    def patient_until(self, other: Priority, most: float) -> float:
        """Until then it leaves alone what is busy in another's class; most: seconds, unless that is more urgent."""

        def patience(want: Want) -> float:
            own = URGENCY[want.priority].patience
            return own if other < want.priority else min(own, most)

        return min(min(want.since + patience(want), want.overdue_at) for want in self.members.values())


@dataclass(frozen=True, slots=True)
class Unit:
    """One place that is wanted: of an entry's demands, or of one of its asks."""

    entry: Entry
    ask: Want | None

    @property
    def work(self) -> Work:
        """What is to be placed: what the process asks for, else the newest demand's."""
        return self.ask.work if self.ask is not None else self.entry.waiting[-1].work


class Wants:
    """The queue."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self._names: dict[str, str] = {}
        self._served: dict[str, deque[float]] = {}

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, want: str) -> bool:
        return want in self._names

    @property
    def waited_for(self) -> bool:
        """Somebody waits who has not been told a place."""
        return any(entry.waiting for entry in self.entries.values())

    def add(self, want: Want) -> None:
        """Somebody waits."""
        self._names[want.id] = want.work.name
        self.entries.setdefault(want.work.name, Entry(want.work.name)).members[want.id] = want

    def remove(self, want: str) -> Want | None:
        """Somebody waits no more; None: nobody of that name did."""
        name = self._names.pop(want, None)
        if name is None:
            return None
        entry = self.entries[name]
        found = entry.members.pop(want)
        if not entry.members:
            del self.entries[name]
        return found

    def served(self, principal: str, now: float) -> None:
        """A principal was given a place."""
        times = self._served.pop(principal, None)
        self._served[principal] = times if times is not None else deque(maxlen=MAX_SERVED)
        self._served[principal].append(now)
        if len(self._served) > MAX_PRINCIPALS:
            del self._served[next(iter(self._served))]

    def order(self, now: float) -> list[Entry]:
        """Those who want a place, next one first.

        The overdue before each class, the classes, then age, with those who were given places lately later.
        """
        waiting = [entry for entry in self.entries.values() if entry.waiting]
        return sorted(waiting, key=lambda entry: self._rank(entry, now))

    def units(self, order: list[Entry]) -> Iterator[Unit]:
        """The places that are wanted, in order."""
        for entry in order:
            yield from [Unit(entry, ask) for ask in entry.asks] or [Unit(entry, None)]

    def wants(self, unit: Unit) -> bool:
        """It is still wanted: neither served nor refused together with another of its entry."""
        return unit.ask.id in self._names if unit.ask is not None else bool(unit.entry.waiting)

    def next_change(self, now: float) -> float | None:
        """When the order may change by time alone."""
        waiting = [entry for entry in self.entries.values() if entry.waiting]
        if not waiting:
            return None
        overdue = [entry.overdue_at for entry in waiting]
        fair = [served + FAIR_WINDOW_SECONDS for times in self._served.values() for served in times]
        return min((at for at in (*overdue, *(fair if len(waiting) > 1 else ())) if at > now), default=None)

    def _rank(self, entry: Entry, now: float) -> tuple[int, float, float]:
        if entry.overdue_at <= now:
            return (0, entry.overdue_at, 0.0)
        urgent = entry.priority
        ages = [self._age(want, now) for want in entry.members.values() if want.priority == urgent]
        return (1, float(urgent), min(ages))

    def _age(self, want: Want, now: float) -> float:
        lately = sum(1 for served in self._served.get(want.principal, ()) if now < served + FAIR_WINDOW_SECONDS)
        return want.since + FAIR_SECONDS * lately
