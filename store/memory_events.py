"""The event log in memory: one stream that all logs of a process share, with readers as JetStream has them."""

import asyncio
import time
from bisect import bisect_right
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from google.protobuf.message import Message

from store.events import (
    ACK_SECONDS,
    MAX_LOG_BYTES,
    MAX_QUARANTINED,
    REPEATED_SECONDS,
    Event,
    Kinds,
    Page,
    Quarantine,
    Unreadable,
    page_size,
)

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class Stored:
    """An event as it lies there."""

    sequence: int
    kind: str
    type_name: str
    data: bytes


@dataclass(slots=True)
class Reader:
    """A durable reader: how far it was given events, and when those that it has not acknowledged come again."""

    position: int = 0
    due: dict[int, float] = field(default_factory=dict)


class MemoryEventStream:
    """What all logs share. Beyond `max_bytes` the oldest events go; clock: seconds, as time.monotonic."""

    def __init__(self, *, max_bytes: int = MAX_LOG_BYTES, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.quarantine: deque[Unreadable] = deque(maxlen=MAX_QUARANTINED)
        self.quarantined = 0
        self.newest = 0
        self._max_bytes = max_bytes
        self._stored: list[Stored] = []
        self._bytes = 0
        self._ids: dict[str, tuple[int, float]] = {}
        self._readers: dict[str, Reader] = {}
        self._grown = asyncio.Condition()

    async def append(self, kind: str, type_name: str, data: bytes, event_id: str = "") -> int:
        """Write down bytes, whatever they are; returns their sequence."""
        now = self.clock()
        while self._ids and (oldest := next(iter(self._ids.items())))[1][1] <= now - REPEATED_SECONDS:
            del self._ids[oldest[0]]
        if event_id in self._ids:
            return self._ids[event_id][0]
        async with self._grown:
            self.newest += 1
            self._stored.append(Stored(self.newest, kind, type_name, data))
            self._bytes += len(data)
            while self._bytes > self._max_bytes and len(self._stored) > 1:
                self._remove(0)
            self._grown.notify_all()
        if event_id:
            self._ids[event_id] = (self.newest, now)
        return self.newest

    def remove(self, sequence: int) -> None:
        """Take an event out, which leaves a gap."""
        place = self._place(sequence)
        if place is not None:
            self._remove(place)

    def _place(self, sequence: int) -> int | None:
        place = bisect_right(self._stored, sequence - 1, key=lambda stored: stored.sequence)
        return place if place < len(self._stored) and self._stored[place].sequence == sequence else None

    def _remove(self, place: int) -> None:
        self._bytes -= len(self._stored.pop(place).data)

    def after(self, sequence: int, kinds: Kinds[M], limit: int) -> list[Stored]:
        """At most `limit` of these kinds."""
        found: list[Stored] = []
        for place in range(bisect_right(self._stored, sequence, key=lambda stored: stored.sequence), len(self._stored)):
            if self._stored[place].kind in kinds:
                found.append(self._stored[place])
                if len(found) == limit:
                    break
        return found

    def reader(self, name: str) -> Reader:
        """The durable reader of this name."""
        return self._readers.setdefault(name, Reader())

    async def next(self, reader: Reader, kinds: Kinds[M]) -> Stored:
        """The next that is nobody's, which it then is for 30 s."""
        async with self._grown:
            while True:
                now = self.clock()
                stored = self._again(reader, now) or self._further(reader, kinds)
                if stored is not None:
                    reader.due[stored.sequence] = now + ACK_SECONDS
                    return stored
                soonest = min(reader.due.values(), default=None)
                try:
                    async with asyncio.timeout(None if soonest is None else max(0.0, soonest - now)):
                        await self._grown.wait()
                except TimeoutError:
                    continue

    def _again(self, reader: Reader, now: float) -> Stored | None:
        for sequence in sorted(sequence for sequence, due in reader.due.items() if due <= now):
            place = self._place(sequence)
            if place is not None:
                return self._stored[place]
            del reader.due[sequence]  # it went meanwhile
        return None

    def _further(self, reader: Reader, kinds: Kinds[M]) -> Stored | None:
        for stored in self.after(reader.position, kinds, 1):
            reader.position = stored.sequence
            return stored
        reader.position = self.newest
        return None

    def ack(self, reader: Reader, sequence: int) -> None:
        """It does not come again."""
        reader.due.pop(sequence, None)

    def set_aside(self, event: Unreadable) -> None:
        """Into quarantine; the oldest go."""
        self.quarantine.append(event)
        self.quarantined += 1


class _MemoryDelivery(Generic[M]):
    def __init__(self, stream: MemoryEventStream, reader: Reader, event: Event[M]) -> None:
        self.event = event
        self._stream = stream
        self._reader = reader

    async def ack(self) -> None:
        self._stream.ack(self._reader, self.event.sequence)


class MemoryEventLog(Generic[M]):
    """The hub's log in this process, gone with it. stream: what others share with it; None: its own."""

    def __init__(self, kinds: Mapping[str, type[M]], stream: MemoryEventStream | None = None) -> None:
        self.stream = stream or MemoryEventStream()
        self._kinds = Kinds(kinds)

    async def append(self, kind: str, event: M, event_id: str = "") -> int:
        data, type_name = self._kinds.encoded(kind, event)
        return await self.stream.append(kind, type_name, data, event_id)

    async def read(self, after: int = 0, limit: int = 100) -> Page[M]:
        size = page_size(limit)
        stored = self.stream.after(after, self._kinds, size)
        found = [self._decoded(one) for one in stored]
        events = [event for event in found if isinstance(event, Event)]
        last = stored[-1].sequence if len(stored) == size else max(after, self.stream.newest)
        return Page(events, last, [event for event in found if isinstance(event, Unreadable)])

    def _decoded(self, stored: Stored) -> Event[M] | Unreadable:
        return self._kinds.decoded(stored.sequence, stored.kind, stored.type_name, stored.data)

    async def subscribe(self, reader: str) -> AsyncGenerator[_MemoryDelivery[M], None]:
        own = self.stream.reader(reader)
        while True:
            stored = await self.stream.next(own, self._kinds)
            event = self._decoded(stored)
            if isinstance(event, Event):
                yield _MemoryDelivery(self.stream, own, event)
            else:
                self.stream.set_aside(event)
                self.stream.ack(own, stored.sequence)

    async def quarantined(self, limit: int = 100) -> Quarantine:
        newest = list(self.stream.quarantine)[-page_size(limit) :]
        return Quarantine(len(self.stream.quarantine), newest)
