"""What of the stage lasts: leases, so that the next service knows them; what work took; each decision, as an event."""

import asyncio
import hashlib
import time
from collections import deque
from collections.abc import Mapping
from contextlib import aclosing
from typing import TypeVar

import structlog
from google.protobuf.message import Message

from actors.gpu.spelling import size_messages, sizes_of, timestamp
from actors.gpu.words import Kind, Measured
from bus import RpcError
from store import EventLog, Events, Table, Tables
from troupe.gpu.v1 import Decision, LeaseRecord, MeasuredRecord

LEASES, MEMORY = "stage-leases", "stage-memory"
DECIDED = "stage.decided"

MAX_UNWRITTEN = 1000
"""Decisions that wait for the event log; over that, the oldest is left out of it."""

MAX_MEASURED = 10_000
"""Keys that are remembered; over that, the one that was measured longest ago is forgotten."""

AGAIN_SECONDS = 1.0

M = TypeVar("M", bound=Message)

log = structlog.get_logger(__name__)


class Book:
    """The stage's tables and its part of the event log. `open` before anything else, `close` at the end.

    machine: whose stage it is; each has tables of its own.
    """

    def __init__(self, machine: str, table: Tables, events: Events) -> None:
        self._machine = machine
        self._open_table, self._open_events = table, events
        self._unwritten: deque[Decision] = deque(maxlen=MAX_UNWRITTEN)
        self._measured: dict[str, MeasuredRecord] = {}
        self._changed: set[str] = set()
        """Keys whose row in the table is not as it is here."""
        self._ended: set[str] = set()
        self._work = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._leases: Table[LeaseRecord]
        self._memory: Table[MeasuredRecord]
        self._events: EventLog[Decision]

    async def open(self) -> Mapping[str, LeaseRecord]:
        """The leases that were granted and not seen to be free, by their names. Raises RpcError STORE_UNAVAILABLE."""
        suffix = hashlib.sha256(self._machine.encode()).hexdigest()[:16]
        self._leases = await self._open_table(f"{LEASES}-{suffix}", LeaseRecord)
        self._memory = await self._open_table(f"{MEMORY}-{suffix}", MeasuredRecord)
        self._events = await self._open_events({DECIDED: Decision})
        rows = sorted((await _rows(self._memory)).values(), key=lambda row: row.measured.ToNanoseconds())
        self._measured = {row.key: row for row in rows}
        leases = await _rows(self._leases)
        self._task = asyncio.create_task(self._write(), name="stage book")
        return leases

    async def close(self) -> None:
        """What has not been written yet is left out."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def remembered(self) -> dict[str, Mapping[Kind, int]]:
        """What work took, by its key."""
        return {key: sizes_of(record.sizes) for key, record in self._measured.items()}

    def recalled(self, key: str) -> Mapping[Kind, int]:
        """What work of this key took; empty: it was not measured."""
        return sizes_of(self._measured[key].sizes) if key in self._measured else {}

    async def granted(self, lease: str, record: LeaseRecord) -> None:
        """Returned, it lasts: only now may the holder be told. Raises RpcError STORE_UNAVAILABLE."""
        await self._leases.put(lease, record)

    def ended(self, lease: str) -> None:
        """Its memory is free: nobody has to know it any more. Done as soon as the store answers."""
        self._ended.add(lease)
        self._work.set()

    def measured(self, found: Measured) -> None:
        """Remember what work took."""
        record = self._measured.pop(found.key, None) or MeasuredRecord(key=found.key)
        self._measured[found.key] = record
        sizes = {**sizes_of(record.sizes), found.kind: found.size}
        del record.sizes[:]
        record.sizes.extend(size_messages(sizes))
        record.times += 1
        record.measured.CopyFrom(timestamp(time.time()))
        self._changed.add(found.key)
        if len(self._measured) > MAX_MEASURED:
            oldest = next(iter(self._measured))
            del self._measured[oldest]
            self._changed.add(oldest)
        self._work.set()

    def decided(self, decision: Decision) -> None:
        """Tell the event log."""
        if len(self._unwritten) == MAX_UNWRITTEN:
            log.warning("stage.decision_unrecorded", work=self._unwritten[0].name, what=self._unwritten[0].what)
        self._unwritten.append(decision)
        self._work.set()

    async def _write(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            try:
                await self._write_all()
            except RpcError as error:
                log.warning("stage.unwritten", error=error.message)
                self._work.set()
                await asyncio.sleep(AGAIN_SECONDS)

    async def _write_all(self) -> None:
        """What could not be written stays, so that nothing is left out where the store is away."""
        while self._ended:
            lease = next(iter(self._ended))
            await self._leases.delete(lease)
            self._ended.discard(lease)
        while self._changed:
            key = self._changed.pop()
            try:
                await self._write_size(key)
            except RpcError:
                self._changed.add(key)
                raise
        while self._unwritten:
            first = self._unwritten[0]
            await self._events.append(DECIDED, first)
            if self._unwritten and self._unwritten[0] is first:  # else it was pushed out meanwhile
                self._unwritten.popleft()

    async def _write_size(self, key: str) -> None:
        name, record = hashlib.sha256(key.encode()).hexdigest(), self._measured.get(key)
        if record is None:
            await self._memory.delete(name)
        else:
            await self._memory.put(name, record)


async def _rows(table: Table[M]) -> dict[str, M]:
    """All that a table holds now."""
    found: dict[str, M] = {}
    async with aclosing(table.watch()) as changes:
        async for change in changes:
            if change is None:
                break
            if change.value is not None:
                found[change.key] = change.value
    return found
