"""Keeps a hub's jobs in order: those whose worker is gone, whose time is over, or that ended long ago."""

import asyncio
import time
from collections.abc import Callable

import structlog

from bus import RpcError
from host.jobs import rules
from host.jobs.ledger import Jobs
from host.jobs.rules import LostHold
from host.liveness import Change, Lost, Presence
from store import Sighted
from troupe.job.v1 import JobRecord

SWEEP_SECONDS = 5.0
UNHEARD_SECONDS = 3.0
"""A worker of whom nothing is heard for so long, no heartbeat and no word of its job, is gone."""
SILENT_SECONDS = 45.0
"""A job of which nothing is heard for so long has lost its worker, also one whose process lives."""
KEEP_SECONDS = 7 * 24 * 3600.0
"""A job that has ended is forgotten after this."""

log = structlog.get_logger(__name__)


class Housekeeper:
    """Runs until cancelled; two of them harm nothing.

    presence: hears who is on the bus, and was started. clock: the view's.
    """

    def __init__(self, jobs: Jobs, presence: Presence, clock: Callable[[], float] = time.monotonic) -> None:
        self._jobs = jobs
        self._presence = presence
        self._clock = clock
        self._gone: set[str] = set()
        self._look = asyncio.Event()
        presence.subscribe(self._noticed)

    async def run(self) -> None:
        """Sweep now and then, and at once when a process is told gone."""
        while True:
            self._look.clear()
            gone, self._gone = self._gone, set()
            try:
                await self._sweep(gone)
            except RpcError as error:
                self._gone |= gone
                log.warning("jobs.unswept", error=error.message)
            try:
                async with asyncio.timeout(SWEEP_SECONDS):
                    await self._look.wait()
            except TimeoutError:
                continue

    def _noticed(self, change: Change) -> None:
        if isinstance(change, Lost):
            self._gone.add(change.seen.process)
            self._look.set()

    async def _sweep(self, gone: set[str]) -> None:
        now, wall = self._clock(), self._jobs.clock()
        for job_id, sighted in list((await self._jobs.view()).entries.items()):
            job = sighted.value.job
            if job.state in rules.ENDED:
                if wall - rules.seconds(job.ended_at) > KEEP_SECONDS:
                    await self._jobs.forget(job_id)
                continue
            await self._apply(job_id, lambda record: rules.expired(record, self._jobs.clock()))
            if job.state == rules.RUNNING and self._orphan(sighted, gone, now):
                await self._apply(job_id, self._orphaning(sighted.value))

    def _orphan(self, sighted: Sighted[JobRecord], gone: set[str], now: float) -> bool:
        process, silent = sighted.value.holder, now - sighted.since
        unheard = process not in self._presence.processes and silent > UNHEARD_SECONDS
        return process in gone or unheard or silent > SILENT_SECONDS

    def _orphaning(self, seen: JobRecord) -> Callable[[JobRecord], JobRecord]:
        """Only what is still as it was when it was judged."""
        now = self._jobs.clock()
        return lambda record: rules.orphaned(record, now) if rules.hold(record) == rules.hold(seen) else record

    async def _apply(self, job_id: str, rule: Callable[[JobRecord], JobRecord]) -> None:
        try:
            await self._jobs.change(job_id, rule)
        except LostHold:
            return
        except RpcError as error:
            if error.reason != "JOB_NOT_FOUND":
                raise
