"""Processes of models that run beside the models' own, under other settings: each as long as one call holds it."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

from actors.model.overrides import in_use
from actors.model.refusals import of_model, unloaded
from bus.errors import shutting_down
from troupe.family.v1 import StartModelResponse
from troupe.model.v1 import Model, ModelState
from troupe.rpc.v1 import Progress


class Aside:
    """Holds their lives by name; those that end do so in tasks of its own, which `close` awaits.

    changed: to be called when the life of a name has changed.
    """

    def __init__(self, changed: Callable[[str, Any], None]) -> None:
        self._changed = changed
        self._lives: dict[str, Any] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._closed = asyncio.Event()

    @property
    def lives(self) -> Mapping[str, Any]:
        """What serves them now, by name."""
        return self._lives

    async def hold(
        self, name: str, life: Any, progress: Callable[[str, Any], Progress], shown: Model
    ) -> AsyncGenerator[StartModelResponse, None]:
        """Start it, tell how that goes, and keep it until the caller leaves; it is ended in the background then.

        progress: what is told while it loads. shown: the model, once it serves. Raises RpcError
        OVERRIDES_IN_USE, why it could not be loaded, and why it had to leave.
        """
        if name in self._lives:
            raise in_use(name)
        if self._closed.is_set():
            raise shutting_down()
        news = asyncio.Event()

        def changed() -> None:
            news.set()
            self._changed(name, life)

        life.on_change = changed
        self._lives[name] = life
        try:
            await life.start()
            async for _ in life.changes():
                if not life.settled:
                    yield StartModelResponse(progress=progress(name, life))
            if life.state == ModelState.MODEL_STATE_READY:
                yield StartModelResponse(model=shown)
            while life.state == ModelState.MODEL_STATE_READY and not self._closed.is_set():
                news.clear()
                await news.wait()
            raise of_model(name, life.error or unloaded(name))
        finally:
            ending = asyncio.create_task(self._end(name, life), name=f"end of {name}")
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)

    def leave(self) -> None:
        """End the calls that hold something."""
        self._closed.set()
        for life in self._lives.values():
            life.on_change()

    async def close(self) -> None:
        """Return when everything has ended."""
        self.leave()
        while self._lives or self._ending:
            ending = list(self._ending) or [
                asyncio.ensure_future(self._end(name, life)) for name, life in self._lives.items()
            ]
            await asyncio.gather(*ending, return_exceptions=True)

    async def _end(self, name: str, life: Any) -> None:
        try:
            await life.stop()
        finally:
            self._lives.pop(name, None)
