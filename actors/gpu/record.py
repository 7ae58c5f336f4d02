"""What was decided: the last of it for whoever watches, and the log."""

import time
from collections import deque
from collections.abc import Callable

import structlog

from actors.gpu.spelling import decision
from actors.gpu.words import Decision
from troupe.gpu import v1

KEPT = 1000
"""Decisions that are kept for those who watch."""

FIRST = 100
"""Of them, those that a new watcher is shown."""

log = structlog.get_logger(__name__)


class Record:
    """wall: seconds since 1970."""

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self.written: Callable[[v1.Decision], None] = lambda _: None
        """Called with each decision."""
        self._wall = wall
        self._kept: deque[v1.Decision] = deque(maxlen=KEPT)
        self._total = 0

    def decided(self, decided: Decision) -> None:
        """Note it, and log it."""
        message = decision(decided, self._wall())
        self._kept.append(message)
        self._total += 1
        event = f"stage.{decided.what}"
        log.info(
            event,
            work=decided.name,
            reason=decided.reason,
            rule=decided.rule,
            shares=dict(decided.shares),
        )
        self.written(message)

    def first(self) -> int:
        """After which decision a new watcher begins."""
        return max(0, self._total - FIRST)

    def after(self, number: int) -> tuple[list[v1.Decision], int]:
        """What was decided after so many decisions, as far as it is kept, and how many that makes now."""
        fresh = min(self._total - number, len(self._kept))
        return (list(self._kept)[-fresh:] if fresh else []), self._total
