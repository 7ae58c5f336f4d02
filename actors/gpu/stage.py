"""Feeds one scheduler, and hands what it answers to those whom it concerns.

Everything happens in the event loop's thread between two awaits, so that no lock is needed: whoever has heard something
tells it, and what follows from it is in its mailboxes when `tell` returns.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

import structlog

from actors.gpu.counts import Counts
from actors.gpu.mailbox import Addressed, Mailbox
from actors.gpu.record import Record
from actors.gpu.words import (
    Decision,
    Effect,
    Granted,
    Grown,
    Happening,
    Measured,
    Overdue,
    Placed,
    Refused,
    Revoke,
    Ticked,
    Told,
    Welcome,
)
from bus.priority import Priority

SHORTEST_SECONDS = 0.05
"""Between two ticks, whatever is due."""

LONGEST_SECONDS = 5.0

log = structlog.get_logger(__name__)


class Decides(Protocol):
    """What is needed of a scheduler."""

    def handle(self, happening: Happening, now: float) -> list[Effect]:
        """What follows from it."""

    def next_due(self, now: float) -> float | None:
        """When `Ticked` would change something; None: not while nothing else happens."""


class Stage:
    """The loop around a scheduler. Needs a running one; `close` ends its timer.

    record, counts: of what was decided and done. on_overdue: what is to be done about a holder that does not leave.
    on_measured: what is to be remembered. clock: seconds, as the scheduler is given them.
    """

    def __init__(
        self,
        scheduler: Decides,
        record: Record,
        counts: Counts,
        *,
        on_overdue: Callable[[Overdue], None] = lambda _: None,
        on_measured: Callable[[Measured], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.clock = clock
        self._scheduler = scheduler
        self._record = record
        self._counts = counts
        self._on_overdue = on_overdue
        self._on_measured = on_measured
        self._mailboxes: dict[str, Mailbox] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._changed = asyncio.Event()
        self._closed = False
        self.failure = ""

    def attend(self, name: str, priority: Priority) -> Mailbox:
        """From now on what concerns the demand or lease of this name is in this mailbox; an earlier one is closed."""
        self.leave(name)
        mailbox = self._mailboxes[name] = Mailbox(priority, self.clock())
        return mailbox

    def leave(self, name: str, mailbox: Mailbox | None = None) -> bool:
        """Nobody attends it any more; False: somebody else does than `mailbox` by now, or nobody did."""
        held = self._mailboxes.get(name)
        if held is None or (mailbox is not None and held is not mailbox):
            return False
        del self._mailboxes[name]
        held.close()
        return True

    def mailbox(self, name: str) -> Mailbox | None:
        """Of whoever attends it."""
        return self._mailboxes.get(name)

    def mailboxes(self) -> list[Mailbox]:
        """Of everybody."""
        return list(self._mailboxes.values())

    def tell(self, *happenings: Happening) -> None:
        """Something has happened, in this order. What is decided is done or on its way when this returns."""
        for happening in happenings:
            for effect in self._scheduler.handle(happening, self.clock()):
                self._do(effect)
        self._arm()
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def changed(self) -> None:
        """Return when something has been told, or it is closed."""
        if not self._closed:
            await self._changed.wait()

    def close(self) -> None:
        """Tick no more, and let nobody wait for changes."""
        self._closed = True
        self._changed.set()
        if self._timer is not None:
            self._timer.cancel()

    def _do(self, effect: Effect) -> None:
        match effect:
            case Decision():
                self._record.decided(effect)
                if effect.what == "revoked":
                    self._counts.revokes[effect.rule] += 1
            case Refused(waiting=name):
                self._counts.refusals[effect.reason] += 1
                self._post(name, effect)
            case Placed(demand=name) | Told(waiting=name):
                self._post(name, effect)
            case Granted(lease=name) | Grown(lease=name) | Revoke(lease=name) | Welcome(lease=name):
                self._post(name, effect)
            case Overdue():
                self._on_overdue(effect)
            case Measured():
                self._on_measured(effect)

    def _post(self, name: str, effect: Addressed) -> None:
        mailbox = self._mailboxes.get(name)
        if mailbox is not None:
            mailbox.put(effect)
            if isinstance(effect, (Placed, Granted)):
                self._counts.waits[mailbox.priority].observe(self.clock() - mailbox.since)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._closed:
            return
        now = self.clock()
        due = self._scheduler.next_due(now)
        if due is not None:
            wait = min(LONGEST_SECONDS, max(SHORTEST_SECONDS, due - now))
            self._timer = asyncio.get_running_loop().call_later(wait, self._tick)

    def _tick(self) -> None:
        try:
            self.tell(Ticked())
        except Exception:
            self.failure = "The scheduler has failed at a look at the clock; the log tells more."
            log.exception("stage.failed")
            if not self._closed:
                self._timer = asyncio.get_running_loop().call_later(LONGEST_SECONDS, self._tick)
