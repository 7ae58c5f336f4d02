"""Who waits for models to load: what only waits for memory, and that for nobody, waits no longer."""

import asyncio
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import Context
from typing import Protocol

import structlog

from troupe.rpc.v1 import Progress

log = structlog.get_logger(__name__)


class Waiting(Protocol):
    """Of a model's life what has to be known here."""

    @property
    def settled(self) -> bool:
        """Loading is over."""

    @property
    def progress(self) -> Progress:
        """What it waits for."""

    async def stop(self) -> None:
        """End it."""


class Callers:
    """wanted: models that wait on, whether anybody calls or not."""

    def __init__(self, wanted: Collection[str]) -> None:
        self._wanted = wanted
        self._counts: Counter[str] = Counter()
        self._ending: set[asyncio.Task[None]] = set()

    @contextmanager
    def one(self, name: str, life: Waiting) -> Iterator[None]:
        """Somebody waits for this model until the block is left; after the last one it is given up if it queues."""
        self._counts[name] += 1
        try:
            yield
        finally:
            self._counts[name] -= 1
            if not self._counts[name]:
                del self._counts[name]
                self._left(name, life)

    async def ended(self) -> None:
        """Return when all that was given up has ended."""
        await asyncio.gather(*self._ending, return_exceptions=True)

    def _left(self, name: str, life: Waiting) -> None:
        if life.settled or life.progress.state != Progress.STATE_QUEUED or name in self._wanted:
            return
        log.info("model.unwanted", model=name)
        # In a context of its own: it belongs to the model, not to the call that has just ended.
        task = asyncio.get_running_loop().create_task(life.stop(), name=f"{name} unwanted", context=Context())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
