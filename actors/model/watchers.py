"""Telling watchers what has changed, without a queue that grows: of each model only the newest state waits."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

from troupe.family.v1 import WatchModelsResponse
from troupe.model.v1 import Model

Models = Mapping[str, Model]


class Watchers:
    """Everyone who watches a family's models. `look` gives all models as they are now; it must not block."""

    def __init__(self, look: Callable[[], Models]) -> None:
        self._look = look
        self._changed = asyncio.Event()
        self._closed = False

    def tell(self) -> None:
        """Something has changed."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def close(self) -> None:
        """End what everyone watches."""
        self._closed = True
        self.tell()

    async def watch(self) -> AsyncIterator[WatchModelsResponse]:
        """All models, then what changes, until the watcher leaves or `close`. Changes that come faster are joined."""
        changed = self._changed
        told = dict(self._look())
        yield WatchModelsResponse(whole=True, models=told.values())
        while not self._closed:
            await changed.wait()
            changed = self._changed
            seen = dict(self._look())
            different = [model for name, model in seen.items() if told.get(name) != model]
            removed = sorted(told.keys() - seen.keys())
            told = seen
            if different or removed:
                yield WatchModelsResponse(models=different, removed=removed)
