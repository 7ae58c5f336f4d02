"""The event log: what has happened, in the order in which it was written down."""

import asyncio
import itertools
import re
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from google.protobuf.message import DecodeError, Message
from nats.aio.msg import Msg
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)

from bus import errors, subjects
from store.jetstream import JetStream

MAX_EVENT_BYTES = 64 * 1024
MAX_LOG_BYTES = 1024 * 1024 * 1024
MAX_QUARANTINED = 10_000
MAX_QUARANTINE_BYTES = 64 * 1024 * 1024
MAX_PAGE = 1000
REPEATED_SECONDS = 120.0
"""An event with the id of one that is not older is the same event."""

ACK_SECONDS = 30.0
"""An event that a durable reader has not acknowledged for so long comes again."""

_KIND = re.compile(r"[a-z0-9_]{1,40}(\.[a-z0-9_]{1,40}){0,3}")

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class Event(Generic[M]):
    """Something that has happened. Sequences grow; they have gaps where events were removed."""

    sequence: int
    kind: str
    value: M


@dataclass(frozen=True, slots=True)
class Page(Generic[M]):
    """Events in order. `last`: read on after this; `unreadable`: sequences of what could not be decoded."""

    events: list[Event[M]]
    last: int
    unreadable: list[int] = field(default_factory=list)


class Delivery(Protocol[M]):
    """An event for a durable reader."""

    event: Event[M]

    async def ack(self) -> None:
        """Done: it does not come again."""


class EventLog(Protocol[M]):
    """Kinds are one to four words in the past tense, joined by dots, for example "actor.failed".

    Everything raises UNAVAILABLE (STORE_UNAVAILABLE) if the store does not answer in time.
    """

    async def append(self, kind: str, event: M, event_id: str = "") -> int:
        """Write it down; returns its sequence. The same id within two minutes is written once.

        Raises INVALID_ARGUMENT for a kind that is none and for more than 64 KiB.
        """

    async def read(self, after: int = 0, limit: int = 100) -> Page[M]:
        """At most `limit` events (1 to 1000) after a sequence. A reader keeps `last` with what it made of them."""

    def subscribe(self, reader: str) -> AsyncGenerator[Delivery[M], None]:
        """Each event for the reader of this name, from the first on, until acknowledged; waits for new ones.

        One that is not acknowledged comes again. What cannot be decoded is put into quarantine and not delivered.
        """

    async def quarantined(self) -> list[int]:
        """Sequences of what a subscription could not decode, oldest first."""


class _JetStreamDelivery(Generic[M]):
    def __init__(self, jetstream: JetStream, message: Msg, event: Event[M]) -> None:
        self.event = event
        self._jetstream = jetstream
        self._message = message

    async def ack(self) -> None:
        await self._jetstream.repeat(lambda: self._message.ack_sync(timeout=2.0))


class JetStreamEventLog(Generic[M]):
    """A log in a JetStream stream. Made by `open`."""

    def __init__(self, jetstream: JetStream, kind: type[M], name: str, prefix: str) -> None:
        self._jetstream = jetstream
        self._kind = kind
        self._name = name
        self._prefix = prefix

    @classmethod
    async def open(
        cls, jetstream: JetStream, kind: type[M], *, max_bytes: int = MAX_LOG_BYTES
    ) -> "JetStreamEventLog[M]":
        """The hub's log, made if there is none; beyond `max_bytes` the oldest events go."""
        name = subjects.EVENTS_STREAM
        prefix = subjects.event("")
        await jetstream.ensure(
            StreamConfig(
                name=name,
                subjects=[f"{prefix}>"],
                retention=RetentionPolicy.LIMITS,
                storage=StorageType.FILE,
                discard=DiscardPolicy.OLD,
                max_bytes=max_bytes,
                max_msg_size=MAX_EVENT_BYTES + 1024,
                duplicate_window=REPEATED_SECONDS,
                allow_direct=True,
            )
        )
        await jetstream.ensure(
            StreamConfig(
                name=f"{name}_QUARANTINE",
                subjects=[f"quarantine.{name}"],
                storage=StorageType.FILE,
                max_msgs=MAX_QUARANTINED,
                max_bytes=MAX_QUARANTINE_BYTES,
                duplicate_window=REPEATED_SECONDS,
            )
        )
        return cls(jetstream, kind, name, prefix)

    async def append(self, kind: str, event: M, event_id: str = "") -> int:
        sequence, _ = await self._jetstream.publish(f"{self._prefix}{checked(kind)}", encoded(event), None, event_id)
        return sequence

    async def read(self, after: int = 0, limit: int = 100) -> Page[M]:
        messages = await self._jetstream.repeat(lambda: self._fetch(self._name, after, min(limit, MAX_PAGE)))
        events: list[Event[M]] = []
        unreadable: list[int] = []
        for sequence, subject, data in messages:
            event = self._decode(sequence, subject, data)
            if event is None:
                unreadable.append(sequence)
            else:
                events.append(event)
        return Page(events, messages[-1][0] if messages else after, unreadable)

    async def _fetch(self, stream: str, after: int, limit: int) -> list[tuple[int, str, bytes]]:
        context = self._jetstream.context
        info = await context.stream_info(stream)
        if info.state.last_seq <= after or not info.state.messages:
            return []
        consumer = ConsumerConfig(
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=after + 1,
            ack_policy=AckPolicy.NONE,
            inactive_threshold=10.0,
            mem_storage=True,
        )
        subscription = await context.pull_subscribe("", stream=stream, config=consumer)
        try:
            pending = (await subscription.consumer_info()).num_pending or 0
            found: list[tuple[int, str, bytes]] = []
            while len(found) < min(limit, pending):
                batch = await subscription.fetch(min(limit, pending) - len(found), timeout=2.0)
                found += [(message.metadata.sequence.stream, message.subject, message.data) for message in batch]
            return found
        finally:
            await subscription.unsubscribe()

    def _decode(self, sequence: int, subject: str, data: bytes) -> Event[M] | None:
        try:
            return Event(sequence, subject.removeprefix(self._prefix), self._kind.FromString(data))
        except DecodeError:
            return None

    async def subscribe(self, reader: str) -> AsyncGenerator[Delivery[M], None]:
        consumer = ConsumerConfig(ack_wait=ACK_SECONDS, max_ack_pending=100, deliver_policy=DeliverPolicy.ALL)
        context = self._jetstream.context
        name = subjects.token(reader)
        subscription = await self._jetstream.repeat(
            lambda: context.pull_subscribe("", durable=name, stream=self._name, config=consumer)
        )
        batch: deque[Msg] = deque()
        try:
            while True:
                batch.extend(await self._jetstream.next_batch(subscription, 100))
                while batch:
                    message = batch.popleft()
                    event = self._decode(message.metadata.sequence.stream, message.subject, message.data)
                    if event is None:
                        await self._quarantine(message)
                    else:
                        yield _JetStreamDelivery(self._jetstream, message, event)
        finally:
            await self._jetstream.give_back(batch)
            await self._jetstream.leave(subscription)

    async def _quarantine(self, message: Msg) -> None:
        sequence = str(message.metadata.sequence.stream)
        await self._jetstream.publish(
            f"quarantine.{self._name}",
            message.data,
            {"Troupe-Sequence": sequence, "Troupe-Subject": message.subject},
            sequence,
        )
        await self._jetstream.repeat(lambda: message.ack_sync(timeout=2.0))

    async def quarantined(self) -> list[int]:
        context = self._jetstream.context
        stream = f"{self._name}_QUARANTINE"

        async def sequences() -> list[int]:
            state = (await context.stream_info(stream)).state
            if not state.messages:
                return []
            found = [await context.get_msg(stream, seq=number) for number in range(state.first_seq, state.last_seq + 1)]
            return [int((message.headers or {})["Troupe-Sequence"]) for message in found]

        return await self._jetstream.repeat(sequences)


class _MemoryDelivery(Generic[M]):
    def __init__(self, log: "MemoryEventLog[M]", reader: str, event: Event[M]) -> None:
        self.event = event
        self._log = log
        self._reader = reader

    async def ack(self) -> None:
        self._log.acked.setdefault(self._reader, set()).add(self.event.sequence)


class MemoryEventLog(Generic[M]):
    """The same in this process, gone with it."""

    def __init__(self, kind: type[M]) -> None:
        self.acked: dict[str, set[int]] = {}
        self._kind = kind
        self._stored: list[tuple[str, bytes]] = []
        self._ids: dict[str, int] = {}
        self._quarantine: list[int] = []
        self._grown = asyncio.Condition()

    async def append(self, kind: str, event: M, event_id: str = "") -> int:
        return await self.append_bytes(checked(kind), encoded(event), event_id)

    async def append_bytes(self, kind: str, data: bytes, event_id: str = "") -> int:
        """Write down bytes that may be no event, as another version of the program might."""
        if event_id and event_id in self._ids:
            return self._ids[event_id]
        async with self._grown:
            self._stored.append((kind, data))
            self._grown.notify_all()
        if event_id:
            self._ids[event_id] = len(self._stored)
        return len(self._stored)

    def _decode(self, sequence: int) -> Event[M] | None:
        kind, data = self._stored[sequence - 1]
        try:
            return Event(sequence, kind, self._kind.FromString(data))
        except DecodeError:
            return None

    async def read(self, after: int = 0, limit: int = 100) -> Page[M]:
        sequences = range(after + 1, min(len(self._stored), after + min(limit, MAX_PAGE)) + 1)
        found = [(sequence, self._decode(sequence)) for sequence in sequences]
        unreadable = [sequence for sequence, event in found if event is None]
        return Page([event for _, event in found if event], max([after, *sequences]), unreadable)

    async def subscribe(self, reader: str) -> AsyncGenerator[Delivery[M], None]:
        acked = self.acked.setdefault(reader, set())
        for sequence in itertools.count(1):
            async with self._grown:
                while len(self._stored) < sequence:
                    await self._grown.wait()
            event = self._decode(sequence)
            if event is None:
                if sequence not in self._quarantine:
                    self._quarantine.append(sequence)
            elif sequence not in acked:
                yield _MemoryDelivery(self, reader, event)

    async def quarantined(self) -> list[int]:
        return list(self._quarantine)


def checked(kind: str) -> str:
    """Raises INVALID_ARGUMENT unless it names a kind of event."""
    if not _KIND.fullmatch(kind):
        raise errors.invalid(f'{kind[:80]!r} names no kind of event; write it like "actor.failed".', "kind")
    return kind


def encoded(event: Message) -> bytes:
    """Raises INVALID_ARGUMENT (MESSAGE_TOO_LARGE) above 64 KiB."""
    data = event.SerializeToString()
    if len(data) > MAX_EVENT_BYTES:
        message = f"An event of {len(data):,} bytes is over the limit of {MAX_EVENT_BYTES:,}; refer to a blob."
        raise errors.invalid(message, "event", reason="MESSAGE_TOO_LARGE")
    return data
