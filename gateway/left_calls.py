"""Calls whose clients went away: what is needed to go on with them if their responder is lost before they come back."""

import asyncio
from dataclasses import dataclass

from bus.kept import Kept

MAX_LEFT = 1024
"""Calls that are kept at once."""

MAX_LEFT_BYTES = 64 * 1024 * 1024
"""Bytes of their requests and answers together; the call that was left first is forgotten for another."""


@dataclass(frozen=True, slots=True)
class LeftCall:
    """A call that its client may come back for. lost: nobody answers it now."""

    kept: Kept
    lost: bool


class LeftCalls:
    """By principal and call id, each for as long as its client may come back."""

    def __init__(self) -> None:
        self._calls: dict[tuple[str, str], tuple[LeftCall, asyncio.TimerHandle]] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._calls)

    def keep(self, principal: str, call_id: str, call: LeftCall, seconds: float) -> None:
        """The client went away, for at most so many seconds."""
        self.take(principal, call_id)
        timer = asyncio.get_running_loop().call_later(seconds, self.take, principal, call_id)
        self._calls[principal, call_id] = call, timer
        self._bytes += call.kept.size
        while len(self._calls) > MAX_LEFT or self._bytes > MAX_LEFT_BYTES:
            self.take(*next(iter(self._calls)))

    def take(self, principal: str, call_id: str) -> LeftCall | None:
        """The client came back, or will not; None: nothing is kept of it."""
        found = self._calls.pop((principal, call_id), None)
        if found is None:
            return None
        call, timer = found
        timer.cancel()
        self._bytes -= call.kept.size
        return call
