"""A scheduler under a clock that a test moves, with what it said."""

from collections.abc import Mapping
from typing import TypeVar

from actors.gpu.scheduler import Scheduler
from actors.gpu.snapshot import LeaseView, WishView
from actors.gpu.words import (
    Asked,
    Decision,
    Demanded,
    DeviceSeen,
    Effect,
    Granted,
    Happening,
    Kind,
    Loaded,
    Placed,
    Released,
    Revoke,
    Ticked,
    Used,
    Variant,
    Work,
)
from bus.priority import Priority

GB = 10**9

Said = TypeVar("Said")


def work(name: str, gigabytes: float = 5, **more: object) -> Work:
    """Work that takes so much of a budget or a card; `load_seconds` is 1 unless it is given."""
    variants = [Variant({Kind.NVIDIA: int(gigabytes * GB)})]
    return Work(name, **{"variants": variants, "load_seconds": 1.0, **more})  # type: ignore[arg-type]  # as they come


class Recorder:
    """`total` GB of one budget unless `device` adds others; capped at 80 %."""

    def __init__(self, total: float | None = 16, remembered: Mapping[str, Mapping[Kind, int]] | None = None) -> None:
        self.now = 100.0
        self.scheduler = Scheduler(remembered)
        self.said: list[Effect] = []
        if total is not None:
            self.device("card", total)

    # ---- what happens

    def say(self, happening: Happening) -> list[Effect]:
        effects = self.scheduler.handle(happening, self.now)
        self.said += effects
        return effects

    def device(
        self, name: str, total: float, kind: Kind = Kind.FIXED, others: float = 0, ours: float | None = None
    ) -> list[Effect]:
        measured = None if ours is None else int(ours * GB)
        return self.say(DeviceSeen(name, kind, int(total * GB), int(others * GB), measured))

    def demand(self, demand: str, what: Work, priority: Priority = Priority.INTERACTIVE, by: str = "") -> list[Effect]:
        return self.say(Demanded(demand, what, priority, by))

    def ask(self, lease: str, what: Work, priority: Priority = Priority.INTERACTIVE, by: str = "") -> list[Effect]:
        return self.say(Asked(lease, f"process of {lease}", what, priority, by))

    def load(self, lease: str, what: Work, priority: Priority = Priority.INTERACTIVE, by: str = "") -> None:
        """Granted at once, ready after a second; idle."""
        assert lease in self.granted(self.ask(lease, what, priority, by)), self.said
        self.wait(1)
        self.say(Loaded(lease))

    def use(self, lease: str, running: int = 1, begun: int = 1) -> list[Effect]:
        return self.say(Used(lease, running, begun=begun))

    def release(self, lease: str) -> list[Effect]:
        """It has ended, and its memory was seen to be free."""
        return self.say(Released(lease, verified=True))

    def wait(self, seconds: float) -> list[Effect]:
        """Time passes, with a tick wherever one is due."""
        until, said = self.now + seconds, []
        while (due := self.scheduler.next_due(self.now)) is not None and due <= until:
            assert due > self.now
            self.now = due
            said += self.say(Ticked())
        self.now = until
        return said + self.say(Ticked())

    # ---- what was said

    @staticmethod
    def only(effects: list[Effect], kind: type[Said]) -> list[Said]:
        return [effect for effect in effects if isinstance(effect, kind)]

    def one(self, effects: list[Effect], kind: type[Said]) -> Said:
        found = self.only(effects, kind)
        assert len(found) == 1, effects
        return found[0]

    def granted(self, effects: list[Effect]) -> list[str]:
        return [effect.lease for effect in self.only(effects, Granted)]

    def placed(self, effects: list[Effect]) -> list[str]:
        return [effect.demand for effect in self.only(effects, Placed)]

    def revoked(self, effects: list[Effect]) -> list[str]:
        return [effect.lease for effect in self.only(effects, Revoke)]

    def rules(self, effects: list[Effect]) -> list[str]:
        return [effect.rule for effect in self.only(effects, Decision)]

    # ---- what there is

    def lease(self, lease: str) -> LeaseView:
        return next(view for view in self.scheduler.snapshot(self.now).leases if view.lease == lease)

    def states(self) -> dict[str, str]:
        return {view.lease or view.name: view.state for view in self.scheduler.snapshot(self.now).leases}

    def queue(self) -> list[str]:
        return [wish.name for wish in self.scheduler.snapshot(self.now).wishes]

    def wish(self, name: str) -> WishView:
        return next(wish for wish in self.scheduler.snapshot(self.now).wishes if wish.name == name)
