"""What models a family has, looked up in threads: a disk may be slow, and a mount may hang."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Generic

import structlog

from actors.model.digests import Files, stamps
from actors.model.shelf import Known, Shelf
from bus import Code, RpcError
from troupe.model.v1 import Model

LOOK_SECONDS = 1.5
"""How long a look at what there is may take; less than the front of all models waits for a list."""
HANG_SECONDS = 15.0
"""A look that lasts longer hangs. A healthy disk of a machine under load may need some seconds for a large folder."""
FIRST_LOOK_SECONDS = HANG_SECONDS
"""How long the first look may take, when every file is read."""

log = structlog.get_logger(__name__)


class Looking(Generic[Known]):
    """What was seen last. told: called after each look.

    entries, models, files: by name. known: set once a look has ended, or nobody is to wait for one any more. late: what
    does not answer, as a sentence; empty: nothing hangs.
    """

    def __init__(self, family: str, shelf: Shelf[Known], told: Callable[[], None]) -> None:
        self.entries: dict[str, Known] = {}
        self.models: dict[str, Model] = {}
        self.files: dict[str, Files] = {}
        self.known = asyncio.Event()
        self.late = ""
        self._family = family
        self._shelf = shelf
        self._told = told
        self._turn = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._began = 0.0

    async def begin(self) -> None:
        """Look for the first time."""
        await self.look(within=FIRST_LOOK_SECONDS)

    async def close(self) -> None:
        """Wait for no look any more; its thread ends by itself."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def look(self, *, anew: bool = True, within: float | None = None) -> None:
        """See what there is; with `anew`, describe also what has not changed.

        A disk may be slow, and a mount may hang. Then what was known stays until that one look has ended: no thread
        more is spent on it. After HANG_SECONDS `late` tells, too. Returns within `within` seconds, LOOK_SECONDS
        unless given.
        """
        if self.late:
            return
        try:
            async with asyncio.timeout(within or LOOK_SECONDS), self._turn:
                if self._task is not None:  # whoever began it has left
                    await asyncio.wait([self._task])
                self._task = asyncio.create_task(self._look_once(anew=anew), name=f"look of {self._family}")
                await asyncio.shield(self._task)
        except TimeoutError:
            self.check()

    async def _look_once(self, *, anew: bool) -> None:
        self._began = asyncio.get_running_loop().time()
        try:
            found = await asyncio.to_thread(self._read, {} if anew else self.entries)
            self.entries, self.models, self.files = found
        finally:
            self.late = ""
        self.known.set()
        self._told()

    def under_way(self) -> bool:
        """A look is under way."""
        return self._task is not None and not self._task.done()

    def check(self) -> None:
        """Note a look that hangs: not one that is only slow, nor where its turn came late, since many looked."""
        lasts = asyncio.get_running_loop().time() - self._began
        if self.under_way() and lasts >= HANG_SECONDS and not self.late:
            place = getattr(self._shelf, "place", "") or "The place of its models"
            self.late = f"{place} does not answer, so that what is new among the models is not seen."
            log.warning("models.hang", family=self._family, place=place)

    def _read(self, known: Mapping[str, Known]) -> tuple[dict[str, Known], dict[str, Model], dict[str, Files]]:
        entries = dict(self._shelf.entries())
        models = {
            name: self.models[name] if known.get(name) == entry else self._shelf.describe(entry)
            for name, entry in entries.items()
        }
        files: Callable[[Known], Sequence[Path]] | None = getattr(self._shelf, "files", None)
        return entries, models, {name: stamps(files(entry)) for name, entry in entries.items()} if files else {}

    def unknown(self) -> RpcError:
        """Nothing can be told of a model now."""
        slow = "It is still looking at what there is." if self.known.is_set() else ""
        why = self.late or slow or "It has not seen yet which models it has."
        message = f"The family {self._family} cannot tell this now: {why} Try again in a moment."
        metadata = {"family": self._family}
        return RpcError(Code.UNAVAILABLE, message, reason="FAMILY_UNAVAILABLE", metadata=metadata, retry_after=1.0)
