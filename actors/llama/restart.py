"""Whether and when a process that has ended is started again: a pure decision."""

from collections import deque


class RestartBudget:
    """Allows `limit` restarts within `window` seconds, each after a longer pause than the one before.

    The pause begins at `backoff` seconds and doubles; once the window is free of restarts it begins anew.
    """

    LONGEST_PAUSE = 30.0

    def __init__(self, limit: int, window: float, backoff: float) -> None:
        self._limit = limit
        self._window = window
        self._backoff = backoff
        self._times: deque[float] = deque()

    def pause(self, now: float) -> float | None:
        """The process has ended at `now` (seconds on any steady clock): seconds to wait, or None: leave it alone."""
        while self._times and now - self._times[0] > self._window:
            self._times.popleft()
        if len(self._times) >= self._limit:
            return None
        self._times.append(now)
        return min(self.LONGEST_PAUSE, self._backoff * 2.0 ** (len(self._times) - 1))
