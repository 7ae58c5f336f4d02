"""A table as this process knows it, a few milliseconds late: what it tells, kept."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog
from google.protobuf.message import Message

from bus.errors import RpcError
from store.table import Table

AGAIN_SECONDS = 1.0
"""Until a table that does not answer is watched again."""

M = TypeVar("M", bound=Message)
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Sighted(Generic[M]):
    """A value, its revision, and since when this process knows it so (time.monotonic)."""

    value: M
    revision: int
    since: float


class Mirror(Generic[M]):
    """Follows a table while `run` runs. Listeners hear the key of each entry that has changed or is no more."""

    def __init__(self, table: Table[M], clock: Callable[[], float] = time.monotonic) -> None:
        self.table = table
        self.ready = asyncio.Event()
        """All of the table was seen once."""
        self._clock = clock
        self._entries: dict[str, Sighted[M]] = {}
        self._listeners: list[Callable[[str], None]] = []

    @property
    def entries(self) -> dict[str, Sighted[M]]:
        """By key. Not to be changed."""
        return self._entries

    @contextmanager
    def heard_by(self, listener: Callable[[str], None]) -> Iterator[None]:
        """Tell a function of each change; it must not block."""
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    def note(self, key: str, value: M, revision: int) -> None:
        """It was read or written here; what is older than the known is left out."""
        known = self._entries.get(key)
        if known is None or known.revision < revision:
            self._entries[key] = Sighted(value, revision, self._clock())
            self._tell(key)

    def forget(self, key: str) -> None:
        """It was removed."""
        if self._entries.pop(key, None) is not None:
            self._tell(key)

    async def run(self) -> None:
        """Follow, until cancelled; also over times in which the table is away."""
        while True:
            try:
                await self._follow()
            except RpcError as error:
                log.warning("table.unseen", error=error.message)
            await asyncio.sleep(AGAIN_SECONDS)

    async def _follow(self) -> None:
        present: set[str] | None = set()
        async with aclosing(self.table.watch()) as changes:
            async for change in changes:
                if change is None:
                    for gone in self._entries.keys() - (present or set()):
                        self.forget(gone)
                    present = None
                    self.ready.set()
                elif change.value is None:
                    self.forget(change.key)
                else:
                    if present is not None:
                        present.add(change.key)
                    self.note(change.key, change.value, change.revision)

    def _tell(self, key: str) -> None:
        for listener in list(self._listeners):
            listener(key)
