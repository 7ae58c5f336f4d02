"""Other ways to decide who gets a device's memory, behind the words of the scheduler.

Each serves first come, first served; they differ in whom they unload, in whether calls for one model are joined, and in
whether calls for a model that is loaded wait for those that came before them.
"""

from collections.abc import Callable
from dataclasses import dataclass

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
    Work,
)
from stage_world import LIMIT


@dataclass(slots=True)
class Held:
    """A model that has memory. lease: empty until its process has asked."""

    work: Work
    lease: str = ""
    granted: bool = False
    loaded: bool = False
    leaving: bool = False
    placed: bool = False
    running: int = 0
    came: float = 0.0
    used: float = 0.0
    begun: int = 0

    @property
    def size(self) -> int:
        """Bytes."""
        return max(self.work.variants[0].sizes.values())


Order = Callable[[Held], float]
"""Who is unloaded first: the smallest."""


class FirstCome:
    """First come, first served. joined: all calls for one model have the place of the first.

    uses: how often each model was used in all.
    """

    def __init__(self, order: Callable[["FirstCome"], Order], *, joined: bool) -> None:
        self.uses: dict[str, int] = {}
        self._order = order(self)
        self._joined = joined
        self._queue: dict[str, Work] = {}
        self._held: dict[str, Held] = {}

    def next_due(self, now: float) -> float | None:
        return None

    def handle(self, happening: Happening, now: float) -> list[Effect]:
        effects: list[Effect] = []
        match happening:
            case Demanded(demand, work):
                self._queue[demand] = work
            case DemandEnded(demand):
                self._queue.pop(demand, None)
            case Asked(lease, _, work):
                held = self._held[work.name]
                held.lease, held.granted = lease, True
                effects.append(Granted(lease, {"card": held.size}))
            case Loaded(lease):
                # Those for whom it was loaded come at once: it is in use.
                held = self._of(lease)
                held.loaded, held.running, held.used = True, 1, now
            case Used(lease, running, _, begun):
                held = self._of(lease)
                self.uses[held.work.name] = self.uses.get(held.work.name, 0) + max(0, begun - held.begun)
                held.running, held.begun, held.used = running, max(begun, held.begun), now
            case Released(lease):
                del self._held[self._of(lease).work.name]
            case _:
                pass
        return effects + self._serve(now)

    def _of(self, lease: str) -> Held:
        return next(held for held in self._held.values() if held.lease == lease)

    def _serve(self, now: float) -> list[Effect]:
        effects: list[Effect] = []
        for demand, work in list(self._queue.items()):
            if demand not in self._queue:
                continue
            held = self._held.get(work.name)
            if held is not None and not held.leaving:
                del self._queue[demand]
                effects.append(Placed(demand, {"card": held.size}))
                continue
            if held is not None or (revokes := self._make_room(work)) is None:
                break
            if revokes:
                return effects + list(revokes)
            self._held[work.name] = Held(work, came=now, used=now)
            del self._queue[demand]
            effects.append(Placed(demand, {"card": self._held[work.name].size}))
            if self._joined:
                for other in [one for one, wanted in self._queue.items() if wanted.name == work.name]:
                    del self._queue[other]
                    effects.append(Placed(other, {"card": self._held[work.name].size}))
        return effects

    def _make_room(self, work: Work) -> list[Revoke] | None:
        """Whom it takes; empty: nobody; None: it waits for what is on its way."""
        size = Held(work).size
        free = LIMIT - sum(held.size for held in self._held.values())
        if size <= free:
            return []
        coming = free + sum(held.size for held in self._held.values() if held.leaving)
        revokes = []
        candidates = [held for held in self._held.values() if held.loaded and not held.leaving]
        for held in sorted(candidates, key=lambda held: (held.running > 0, self._order(held))):
            if size <= coming:
                break
            held.leaving = True
            coming += held.size
            revokes.append(Revoke(held.lease, 1e9, "next in line"))
        return revokes or None


class LeastRecentlyUsed(FirstCome):
    """As Ollama does it (server/sched.go): each call in its turn, also those for what is loaded.

    Idle models go first, of those the one that was used longest ago, one at a time. While a call waits for that, all
    that came later wait. While another model loads, a call that needs room goes to the end of the queue, and one for
    the model that loads holds up the rest until it is there.
    """

    gates = True

    def __init__(self) -> None:
        super().__init__(lambda _: lambda held: held.used, joined=False)

    def _serve(self, now: float) -> list[Effect]:
        effects: list[Effect] = []
        for demand, work in list(self._queue.items()):
            held = self._held.get(work.name)
            if held is None:
                free = LIMIT - sum(one.size for one in self._held.values())
                if Held(work).size > free:
                    if any(one.leaving for one in self._held.values()):
                        break
                    if all(one.loaded for one in self._held.values()):
                        victim = min(self._held.values(), key=lambda one: (one.running > 0, one.used))
                        victim.leaving = True
                        return [*effects, Revoke(victim.lease, 1e9, "next in line")]
                    self._queue[demand] = self._queue.pop(demand)
                    continue
                held = self._held[work.name] = Held(work, came=now, used=now)
            elif held.leaving or (not held.loaded and held.placed):
                break
            held.placed = True
            del self._queue[demand]
            effects.append(Placed(demand, {"card": held.size}))
        return effects


def first_in_first_out() -> FirstCome:
    """As llama-swap does it: calls for one model are joined; the model that was loaded first is unloaded first."""
    return FirstCome(lambda _: lambda held: held.came, joined=True)


def least_frequently_used() -> FirstCome:
    """Calls for one model are joined; idle models first, of those the one that was used least often in all."""
    return FirstCome(lambda own: lambda held: own.uses.get(held.work.name, 0), joined=True)
