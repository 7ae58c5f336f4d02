"""Who is refused: at once, or when it cannot be placed as things are. Rules 1, 3, 10 and 14 of scheduler.py."""

from actors.gpu import refusal
from actors.gpu.effects import Effects
from actors.gpu.leases import Leases
from actors.gpu.ledger import Ledger
from actors.gpu.sizes import Sizes
from actors.gpu.wants import MAX_WANTS, Entry, Want, Wants
from actors.gpu.words import Refused


class Refusing:
    """Says no, with the reason and what would fit."""

    def __init__(self, ledger: Ledger, leases: Leases, wants: Wants, sizes: Sizes, effects: Effects) -> None:
        self._ledger = ledger
        self._leases = leases
        self._wants = wants
        self._sizes = sizes
        self._effects = effects

    def at_once(self, want: Want, now: float) -> bool:
        """Whether it was refused."""
        seconds = self._sizes.quarantined(want.work.name, now)
        need = self._sizes.need(want.work, now)
        if seconds is not None:  # 10
            self._refused(refusal.quarantined(want, seconds), want.work.name, "10")
        elif len(self._wants) + self._leases.attached >= MAX_WANTS:
            self._refused(refusal.full(want), want.work.name, "3")
        elif self._ledger.place(need, self._ledger.limits()) is None:  # 1
            self._refused(refusal.never(want, need, self._ledger, self._sizes), want.work.name, "1")
        else:
            return False
        return True

    def replica(self, want: Want) -> None:
        """No place is kept for it beside those that there are."""
        self._refused(refusal.not_wanted(want), want.work.name, "15")

    def unplaceable(self, entry: Entry, now: float) -> None:
        """Who cannot be placed as things are waits for that to change, unless it cannot or its bound is over."""
        over = now >= entry.bound_at
        for want in entry.waiting:
            need = self._sizes.need(want.work, now)
            if self._ledger.place(need, self._ledger.limits()) is None:  # 1: it has grown, or its device is lost
                self._wants.remove(want.id)
                self._refused(refusal.never(want, need, self._ledger, self._sizes), entry.name, "1")
            elif over:  # 14
                self._wants.remove(want.id)
                refused = refusal.for_now(want, need, self._ledger, self._leases.all_pinned())
                self._refused(refused, entry.name, "14")

    def quarantined(self, entry: Entry | None, now: float) -> None:
        """Its work has failed too often: nobody waits for it any more."""
        for want in [] if entry is None else entry.waiting:
            self._wants.remove(want.id)
            self.at_once(want, now)

    def _refused(self, refused: Refused, name: str, rule: str) -> None:
        self._effects.add(refused)
        self._effects.decide("refused", name, refused.message, rule=rule)
