"""All jobs as this process knows them, a few milliseconds late: what the table tells, kept."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass

import structlog

from bus import RpcError
from store import Table
from troupe.job.v1 import JobRecord

AGAIN_SECONDS = 1.0
"""Until a table that does not answer is watched again."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Sighted:
    """A record, its revision, and since when this process knows it so (time.monotonic)."""

    record: JobRecord
    revision: int
    since: float


class View:
    """Follows the table while `run` runs. Listeners hear the id of each job that has changed or is no more."""

    def __init__(self, table: Table[JobRecord], clock: Callable[[], float] = time.monotonic) -> None:
        self._table = table
        self._clock = clock
        self._jobs: dict[str, Sighted] = {}
        self._listeners: list[Callable[[str], None]] = []
        self.ready = asyncio.Event()
        """All jobs of the table were seen once."""

    @property
    def jobs(self) -> dict[str, Sighted]:
        """By id. Not to be changed."""
        return self._jobs

    @contextmanager
    def heard_by(self, listener: Callable[[str], None]) -> Iterator[None]:
        """Tell a function of each change; it must not block."""
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    def note(self, record: JobRecord, revision: int) -> None:
        """A record was read or written; an older one than the known is left out."""
        known = self._jobs.get(record.job.id)
        if known is None or known.revision < revision:
            self._jobs[record.job.id] = Sighted(record, revision, self._clock())
            self._tell(record.job.id)

    async def run(self) -> None:
        """Follow, until cancelled; also over times in which the table is away."""
        while True:
            try:
                await self._follow()
            except RpcError as error:
                log.warning("jobs.unseen", error=error.message)
            await asyncio.sleep(AGAIN_SECONDS)

    async def _follow(self) -> None:
        present: set[str] | None = set()
        async with aclosing(self._table.watch()) as changes:
            async for change in changes:
                if change is None:
                    for gone in self._jobs.keys() - (present or set()):
                        self._forget(gone)
                    present = None
                    self.ready.set()
                elif change.value is None:
                    self._forget(change.key)
                else:
                    if present is not None:
                        present.add(change.key)
                    self.note(change.value, change.revision)

    def _forget(self, job_id: str) -> None:
        if self._jobs.pop(job_id, None) is not None:
            self._tell(job_id)

    def _tell(self, job_id: str) -> None:
        for listener in list(self._listeners):
            listener(job_id)
