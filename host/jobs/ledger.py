"""The way to a hub's jobs: submit, look, ask, follow."""

import asyncio
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

from google.protobuf.message import Message

from bus import Behalf, Code, Priority, RpcError, detached
from host.jobs import rules
from store import Mirror, Store, Table, WorkQueue, ended
from troupe.job.v1 import Job, JobAsk, JobRecord, JobTicket

TABLE = "jobs"
MAX_TABLE_BYTES = 256 * 1024 * 1024
MAX_LIVE = 500
"""Jobs of one principal that have not ended."""
TICKETS = 1_000_000
"""Attempts of a ticket: it is a word to look, and never at fault."""
WAIT_SECONDS = 10.0
"""How long the table may take to be seen for the first time."""
ID = re.compile(r"[0-9a-f]{32}")


class Jobs:
    """Jobs on this process's bus. Nothing is opened before it is needed; `close` lets go of it.

    process: as it is called on the bus; holds what its workers take. clock: seconds of the epoch. Everything raises
    UNAVAILABLE (STORE_UNAVAILABLE) if the store does not answer in time.
    """

    def __init__(self, store: Store, process: str, clock: Callable[[], float] = time.time) -> None:
        self.process = process
        self.clock = clock
        self._store = store
        self._opening = asyncio.Lock()
        self._queues: dict[str, WorkQueue[JobTicket]] = {}
        self._table: Table[JobRecord] | None = None
        self._view: Mirror[JobRecord] | None = None
        self._following: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """See no more changes; jobs and their queues stay."""
        following, self._following = self._following, None
        if following is not None:
            await ended(following)

    async def view(self) -> Mirror[JobRecord]:
        """All jobs as they are known here. Raises UNAVAILABLE (STORE_UNAVAILABLE) if they do not come in time."""
        await self._opened()
        assert self._view is not None
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._view.ready.wait()
        except TimeoutError:
            message = "The table of jobs does not answer; see whether the NATS server runs with JetStream."
            raise RpcError(Code.UNAVAILABLE, message, reason="STORE_UNAVAILABLE", retry_after=1.0) from None
        return self._view

    async def queue(self, lane: str) -> WorkQueue[JobTicket]:
        """Where workers of a lane are told to look."""
        async with self._opening:
            if lane not in self._queues:
                self._queues[lane] = await self._store.queue(f"jobs_{lane}", JobTicket, attempts=TICKETS)
            return self._queues[lane]

    async def submit(
        self,
        kind: str,
        request: Message,
        *,
        lane: str,
        title: str = "",
        behalf: Behalf | None = None,
        priority: Priority = Priority.BATCH,
        attempts: int = rules.ATTEMPTS,
        expires_in: float | None = None,
        job_id: str = "",
    ) -> Job:
        """Have something done, by a worker of this lane that knows the kind.

        behalf: whose job it is, and in whose name it is done; None: the hub's own. expires_in: seconds after which it
        fails. job_id: 32 hexadecimal digits of the caller's, so that a repeated submit is one job. Raises
        RESOURCE_EXHAUSTED (JOBS_FULL, MESSAGE_TOO_LARGE). Cancelled, it may or may not have been submitted.
        """
        behalf = behalf or Behalf(priority=priority)
        await self._check_room(behalf.principal)
        now = self.clock()
        record = rules.made(
            job_id or secrets.token_hex(16),
            kind,
            lane,
            request,
            now,
            title=title,
            priority=priority,
            behalf=behalf.metadata(),
            attempts=attempts,
            expires_at=None if expires_in is None else now + expires_in,
        )
        try:
            await self._put(record, None)
        except RpcError as error:
            if error.reason != "KEY_EXISTS":
                raise
            return (await self.find(record.job.id, behalf.principal)).job
        return record.job

    async def find(self, job_id: str, principal: str) -> JobRecord:
        """A principal's job. Raises NOT_FOUND (JOB_NOT_FOUND), for somebody else's too."""
        found = await self._read(job_id)
        if found is None or rules.owner(found[0]) != principal:
            raise not_found(job_id)
        return found[0]

    async def owned(self, principal: str) -> list[JobRecord]:
        """A principal's jobs, the newest first."""
        known = (await self.view()).entries.values()
        mine = [each.value for each in known if rules.owner(each.value) == principal]
        return sorted(mine, key=lambda record: rules.seconds(record.job.created_at), reverse=True)

    async def ask(self, job_id: str, principal: str, ask: JobAsk) -> JobRecord:
        """Pause or cancel a principal's job, as `rules.asked`. Raises as `find`."""
        await self.find(job_id, principal)
        return await self.change(job_id, lambda record: rules.asked(record, ask, self.clock()))

    async def resume(self, job_id: str, principal: str) -> JobRecord:
        """Let a principal's job go on, as `rules.resumed`. Raises as `find`."""
        await self.find(job_id, principal)
        return await self.change(job_id, lambda record: rules.resumed(record, self.clock()))

    async def follow(self, job_id: str, principal: str) -> AsyncIterator[JobRecord]:
        """A principal's job as it is, then after each change, until it has ended or is no more. Changes may be joined.

        Raises as `find`.
        """
        view, changed = await self.view(), asyncio.Event()
        with view.heard_by(lambda each: changed.set() if each == job_id else None):
            record = await self.find(job_id, principal)
            yield record
            while record.job.state not in rules.ENDED:
                await changed.wait()
                changed.clear()
                sighted = view.entries.get(job_id)
                if sighted is None:
                    raise not_found(job_id)
                if sighted.value != record:
                    record = sighted.value
                    yield record

    async def change(self, job_id: str, rule: Callable[[JobRecord], JobRecord]) -> JobRecord:
        """Apply a rule to what is stored, again if somebody else was faster; what the rule raises is raised.

        A job that comes into its queue by it is announced to its workers. Raises NOT_FOUND (JOB_NOT_FOUND).
        """
        while True:
            found = await self._read(job_id)
            if found is None:
                raise not_found(job_id)
            before, revision = found
            after = rule(before)
            if after is before:
                return before
            try:
                await self._put(after, revision)
            except RpcError as error:
                if error.reason != "REVISION_CHANGED":
                    raise
            else:
                return after

    async def sight(self, job_id: str) -> JobRecord | None:
        """Read a job, whosever it is, so that the view knows it as it is now."""
        found = await self._read(job_id)
        return found[0] if found else None

    async def forget(self, job_id: str) -> None:
        """Remove a job that has ended."""
        await (await self._opened()).delete(job_id)

    async def ring(self, record: JobRecord) -> None:
        """Tell the workers of its lane to look. Telling twice within two minutes is telling once."""
        ticket = JobTicket(id=record.job.id, generation=record.generation)
        queue = await self.queue(record.lane)
        await queue.publish(ticket, f"{record.job.id}-{record.generation}")

    async def _opened(self) -> Table[JobRecord]:
        async with self._opening:
            if self._table is None:
                self._table = await self._store.table(TABLE, JobRecord, max_bytes=MAX_TABLE_BYTES)
                self._view = Mirror(self._table)
            if self._following is None:
                assert self._view is not None
                self._following = detached(self._view.run(), name="view of jobs")
            return self._table

    async def _read(self, job_id: str) -> tuple[JobRecord, int] | None:
        if not ID.fullmatch(job_id):
            return None
        found = await (await self._opened()).get(job_id)
        if found is None:
            return None
        assert self._view is not None
        self._view.note(job_id, found.value, found.revision)
        return found.value, found.revision

    async def _put(self, record: JobRecord, revision: int | None) -> None:
        table = await self._opened()
        if revision is None:
            written = await table.create(record.job.id, record)
        else:
            written = await table.replace(record.job.id, record, revision)
        assert self._view is not None
        self._view.note(record.job.id, record, written)
        if record.job.state == rules.QUEUED:
            with suppress(RpcError):  # workers that have nothing to do look by themselves, too
                await self.ring(record)

    async def _check_room(self, principal: str) -> None:
        live = sum(record.job.state not in rules.ENDED for record in await self.owned(principal))
        if live >= MAX_LIVE:
            message = f"{MAX_LIVE} of your jobs have not ended yet; wait for some, or cancel them."
            raise RpcError(Code.RESOURCE_EXHAUSTED, message, reason="JOBS_FULL", retry_after=60.0)


def not_found(job_id: str) -> RpcError:
    """There is no such job, or it is somebody else's."""
    return RpcError(Code.NOT_FOUND, f"There is no job {job_id[:80]!r}.", reason="JOB_NOT_FOUND", field="id")
