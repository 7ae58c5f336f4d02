"""How long a call may take, and how often one whose connection broke is tried again.

Whoever answers is waited for by the hub; the client repeats what the hub cannot know of.
"""

import random
import time

from bus.errors import RpcError, deadline_exceeded

FIRST_DELAY_SECONDS = 0.05
LONGEST_DELAY_SECONDS = 2.0

PATIENCE_SECONDS = 30.0
"""How long a lost hub is waited for: as long as the hub itself keeps a call whose client went away."""

MAX_ATTEMPTS = 24
"""Attempts in a row without a message between them; with the delays above they outlast the patience."""


class Deadline:
    """The end of a call's time. seconds: from now; None: there is none."""

    __slots__ = ("_at",)

    def __init__(self, seconds: float | None) -> None:
        self._at = None if seconds is None else time.monotonic() + seconds

    def left(self) -> float | None:
        """Seconds that are left, over 0; None without a deadline. Raises DEADLINE_EXCEEDED."""
        if self._at is None:
            return None
        left = self._at - time.monotonic()
        if left <= 0:
            raise deadline_exceeded()
        return left

    def within(self, seconds: float) -> float:
        """The shorter of `seconds` and what is left. Raises DEADLINE_EXCEEDED."""
        left = self.left()
        return seconds if left is None else min(seconds, left)


class Patience:
    """Decides when to try again: delays double from 50 ms to 2 s, until `seconds` have passed without success."""

    __slots__ = ("_attempts", "_lost_at", "_seconds")

    def __init__(self, seconds: float = PATIENCE_SECONDS) -> None:
        self._seconds = seconds
        self._attempts = 0
        self._lost_at = 0.0

    def renew(self) -> None:
        """Something came through."""
        self._attempts = 0

    def delay(self, error: RpcError, attempts: int = MAX_ATTEMPTS) -> float:
        """Seconds to wait before the next attempt. Raises the error when it is time to give up."""
        now = time.monotonic()
        if not self._attempts:
            self._lost_at = now
        self._attempts += 1
        doubled = min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2.0 ** (self._attempts - 1))
        delay = doubled * random.uniform(0.5, 1.0)
        if self._attempts >= attempts or now + delay - self._lost_at > self._seconds:
            raise error
        return delay
