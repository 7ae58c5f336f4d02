"""A way to decide that knows all arrivals and how long each call will run.

For each model that is wanted it tries every smallest set of models that would make room, and every moment at which
these could be told to go: now, whenever one of their calls ends, and, `ahead`, so that the model is there when its
next call comes. From the known future it computes what the exchange costs in waiting, and what the way back costs
those that had to go, and takes the cheapest. What is further away than a minute counts less. It looks one exchange
ahead, so a cleverer one could still do better: it bounds what choosing victims and moments with perfect foresight
gives, not every schedule.
"""

import bisect
import itertools
import math
from collections.abc import Iterator, Sequence

from actors.gpu.words import (
    Asked,
    Demanded,
    DemandEnded,
    Effect,
    Granted,
    Happening,
    Loaded,
    Placed,
    Released,
    Revoke,
    Used,
)
from bus.priority import Priority
from stage_trace import Model, Request
from stage_world import EXIT_SECONDS, LIMIT, START_SECONDS, World

WEIGHTS = {Priority.VOICE: 1.0, Priority.INTERACTIVE: 1.0, Priority.BATCH: 0.05, Priority.TRAINING: 0.01}
"""Of a second of waiting, by class: what is judged is how long people wait."""

FADES_SECONDS = 60.0
HORIZON_SECONDS = 30.0
AHEAD_SECONDS = 10.0


class Future:
    """All calls for one model."""

    def __init__(self, requests: Sequence[Request]) -> None:
        self.at = [request.at for request in requests]
        self.seconds = [request.seconds for request in requests]
        weights = [WEIGHTS[request.priority] for request in requests]
        self._weights = [0.0, *itertools.accumulate(weights)]
        self._moments = [0.0, *itertools.accumulate(w * at for w, at in zip(weights, self.at, strict=True))]

    def after(self, at: float) -> float:
        """When the next one comes; infinite: none does."""
        index = bisect.bisect_left(self.at, at)
        return self.at[index] if index < len(self.at) else math.inf

    def ends(self, since: float, until: float) -> float:
        """When the last of those that come between would end, if each began at once."""
        first, last = bisect.bisect_left(self.at, since), bisect.bisect_left(self.at, until)
        ends = [at + for_ for at, for_ in zip(self.at[first:last], self.seconds[first:last], strict=True)]
        return max(ends, default=until)

    def waiting(self, since: float, until: float) -> float:
        """Seconds that those who come between wait in all, if they are served at the end."""
        first, last = bisect.bisect_left(self.at, since), bisect.bisect_left(self.at, until)
        return max(
            0.0,
            (self._weights[last] - self._weights[first]) * until - (self._moments[last] - self._moments[first]),
        )


class Offline:
    """Knows the future. ahead: it also loads what nobody waits for yet."""

    def __init__(self, of: Sequence[Model], requests: Sequence[Request], bandwidth: float, *, ahead: bool) -> None:
        self.world: World | None = None
        self._models = {model.name: model for model in of}
        self._futures = {
            model.name: Future([request for request in requests if request.model is model]) for model in of
        }
        self._bandwidth = bandwidth
        self._ahead = ahead
        self._demands: dict[str, dict[str, tuple[float, float]]] = {model.name: {} for model in of}
        self._names: dict[str, str] = {}
        self._held: dict[str, str] = {}
        self._leaving: set[str] = set()
        self._committed: list[str] = []
        self._due: float | None = None

    def next_due(self, now: float) -> float | None:
        return self._due if self._due is not None and self._due > now else None

    def handle(self, happening: Happening, now: float) -> list[Effect]:
        effects: list[Effect] = []
        match happening:
            case Demanded(demand, work, priority):
                self._demands[work.name][demand] = (now, WEIGHTS[priority])
                self._names[demand] = work.name
            case DemandEnded(demand):
                self._demands[self._names[demand]].pop(demand, None)
            case Asked(lease, _, work):
                self._held[work.name] = lease
                effects.append(Granted(lease, {"card": self._models[work.name].size}))
            case Loaded() | Used():
                pass
            case Released(lease):
                name = next(name for name, held in self._held.items() if held == lease)
                del self._held[name]
                self._leaving.discard(name)
            case _:
                return effects
        self._due = None
        return effects + self._serve(now)

    def _serve(self, now: float) -> list[Effect]:
        effects: list[Effect] = []
        for name, demands in self._demands.items():
            if name in self._held and name not in self._leaving:
                effects += self._place(name, demands)
        for name in list(self._committed):
            if self._models[name].size <= self._free():
                self._committed.remove(name)
                self._held[name] = ""
                demands = self._demands[name]
                effects += self._place(name, demands or {self._dream(name): (now, 0.0)})
        wanted = [name for name in self._models if name not in self._held and name not in self._committed]
        wanted = [name for name in wanted if self._demands[name] or self._soon(name, now)]
        for name in sorted(wanted, key=lambda name: -self._weight(name, now)):
            if (found := self._exchange(name, now)) is None:
                continue
            at, victims = found
            if at > now:
                self._due = at if self._due is None else min(self._due, at)
                continue
            self._committed.append(name)
            self._leaving |= set(victims)
            revokes = [Revoke(self._held[one], 1e9, "it is cheapest so") for one in victims]
            return effects + revokes + self._serve(now)
        return effects

    def _dream(self, name: str) -> str:
        assert self.world is not None
        return self.world.prefetch(name)

    def _place(self, name: str, demands: dict[str, tuple[float, float]]) -> list[Effect]:
        placed: list[Effect] = [Placed(demand, {"card": self._models[name].size}) for demand in demands]
        self._demands[name] = {}
        return placed

    def _soon(self, name: str, now: float) -> bool:
        return self._ahead and self._futures[name].after(now) < now + AHEAD_SECONDS

    def _weight(self, name: str, now: float) -> float:
        return sum(weight * (1.0 + now - since) for since, weight in self._demands[name].values())

    def _free(self) -> int:
        return LIMIT - sum(self._models[name].size for name in self._held)

    def _load(self, name: str) -> float:
        return START_SECONDS + self._models[name].size / self._bandwidth

    def _exchange(self, name: str, now: float) -> tuple[float, tuple[str, ...]] | None:
        """When which models are to go for this one; nobody where there is room; None: it cannot be."""
        coming = self._free() + sum(self._models[one].size for one in self._leaving)
        coming -= sum(self._models[one].size for one in self._committed)
        short = self._models[name].size - coming
        if short <= 0:
            return now, ()
        best: tuple[float, float, tuple[str, ...]] | None = None
        for victims in self._sets(short):
            for at in self._moments(name, victims, now):
                cost = self._cost(name, victims, at, now)
                # Of equally cheap moments the last: until then everything may still come differently.
                if best is None or (cost, -at) < (best[0] - 1e-9, -best[1]):
                    best = (cost, at, victims)
        return None if best is None else (best[1], best[2])

    def _sets(self, short: int) -> Iterator[tuple[str, ...]]:
        """The smallest sets of loaded models that have so much."""
        assert self.world is not None
        loaded = [
            name
            for name, lease in self._held.items()
            if lease and name not in self._leaving and self.world.processes[lease].loaded
        ]
        found: list[set[str]] = []
        for count in range(1, len(loaded) + 1):
            for some in itertools.combinations(loaded, count):
                if sum(self._models[one].size for one in some) >= short and not any(one <= set(some) for one in found):
                    found.append(set(some))
                    yield some

    def _moments(self, name: str, victims: tuple[str, ...], now: float) -> list[float]:
        assert self.world is not None
        ends = [
            end
            for victim in victims
            for end in self.world.processes[self._held[victim]].runs.values()
            if now < end < now + HORIZON_SECONDS
        ]
        moments = [now, *sorted(ends)[:6]]
        if not self._demands[name]:
            comes = self._futures[name].after(now)
            moments += [at for at in (comes, comes - self._load(name) - EXIT_SECONDS) if at > now]
        return moments

    def _cost(self, name: str, victims: tuple[str, ...], at: float, now: float) -> float:
        """Weighted seconds that people wait because of this."""
        assert self.world is not None
        drained = at
        for victim in victims:
            runs = self.world.processes[self._held[victim]].runs.values()
            drained = max(drained, self._futures[victim].ends(now, at), *[end for end in runs if end > at])
        ready = drained + EXIT_SECONDS + self._load(name)
        cost = sum(weight * (ready - since) for since, weight in self._demands[name].values())
        cost += self._futures[name].waiting(now + 1e-9, ready)
        served = ready + min(3.0, max(0.5, self._futures[name].ends(now, ready) - ready))
        for victim in victims:
            comes = self._futures[victim].after(at)
            if comes == math.inf:
                continue
            back = max(comes, served) + EXIT_SECONDS + self._load(victim)
            cost += self._futures[victim].waiting(at, back) * math.exp(-(comes - at) / FADES_SECONDS)
        return cost
