"""The event log in JetStream: one stream, a subject for each kind, the type of each event in its header."""

from collections import deque
from collections.abc import AsyncGenerator, Mapping
from typing import Generic, TypeVar
from urllib.parse import quote, unquote

from google.protobuf.message import Message
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
from nats.js.client import JetStreamContext
from nats.js.errors import NotFoundError

from bus import subjects
from store.events import (
    ACK_SECONDS,
    MAX_EVENT_BYTES,
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
from store.jetstream import TYPE_HEADER, JetStream

MAX_QUARANTINE_BYTES = 64 * 1024 * 1024
STREAM = subjects.EVENTS_STREAM
QUARANTINE = f"{STREAM}_QUARANTINE"
HEADERS_BYTES = 1024
"""What the headers of an event may take besides its own bytes."""

_PREFIX = subjects.event("")

M = TypeVar("M", bound=Message)


class _JetStreamDelivery(Generic[M]):
    def __init__(self, jetstream: JetStream, message: Msg, event: Event[M]) -> None:
        self.event = event
        self._jetstream = jetstream
        self._message = message

    async def ack(self) -> None:
        await self._jetstream.repeat(lambda: self._message.ack_sync(timeout=2.0))


class JetStreamEventLog(Generic[M]):
    """The hub's log in JetStream. Made by `open`."""

    def __init__(self, jetstream: JetStream, kinds: Kinds[M]) -> None:
        self._jetstream = jetstream
        self._kinds = kinds
        self._filter = [subjects.event(kind) for kind in kinds.names]

    @classmethod
    async def open(
        cls, jetstream: JetStream, kinds: Mapping[str, type[M]], *, max_bytes: int = MAX_LOG_BYTES
    ) -> "JetStreamEventLog[M]":
        """The hub's log, made if there is none; beyond `max_bytes` the oldest events go."""
        known = Kinds(kinds)
        await jetstream.ensure(
            StreamConfig(
                name=STREAM,
                subjects=[f"{_PREFIX}>"],
                retention=RetentionPolicy.LIMITS,
                storage=StorageType.FILE,
                discard=DiscardPolicy.OLD,
                max_bytes=max_bytes,
                max_msg_size=MAX_EVENT_BYTES + HEADERS_BYTES,
                duplicate_window=REPEATED_SECONDS,
                allow_direct=True,
            )
        )
        await jetstream.ensure(
            StreamConfig(
                name=QUARANTINE,
                subjects=[f"quarantine.{STREAM}"],
                storage=StorageType.FILE,
                max_msgs=MAX_QUARANTINED,
                max_bytes=MAX_QUARANTINE_BYTES,
                duplicate_window=REPEATED_SECONDS,
            )
        )
        return cls(jetstream, known)

    async def append(self, kind: str, event: M, event_id: str = "") -> int:
        data, type_name = self._kinds.encoded(kind, event)
        sequence, _ = await self._jetstream.publish(subjects.event(kind), data, {TYPE_HEADER: type_name}, event_id)
        return sequence

    async def read(self, after: int = 0, limit: int = 100) -> Page[M]:
        size = page_size(limit)
        messages, last = await self._jetstream.repeat(lambda: self._fetch(after, size))
        found = [self._decoded(message) for message in messages]
        events = [event for event in found if isinstance(event, Event)]
        return Page(events, last, [event for event in found if isinstance(event, Unreadable)])

    async def _fetch(self, after: int, limit: int) -> tuple[list[Msg], int]:
        context = self._jetstream.context
        newest = (await context.stream_info(STREAM)).state.last_seq
        if newest <= after:
            return [], after
        consumer = ConsumerConfig(
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=after + 1,
            filter_subjects=self._filter,
            ack_policy=AckPolicy.NONE,
            inactive_threshold=10.0,
            mem_storage=True,
        )
        made = await context.add_consumer(STREAM, consumer)
        subscription = await context.pull_subscribe_bind(made.name, STREAM)
        try:
            wanted = min(limit, made.num_pending or 0)
            found: list[Msg] = []
            while len(found) < wanted:
                found += await subscription.fetch(wanted - len(found), timeout=2.0)
        finally:
            await subscription.unsubscribe()
        if len(found) == limit:
            return found, found[-1].metadata.sequence.stream
        # All of these kinds were seen, so that what lies behind them up to `newest` is others' concern.
        return found, max([newest, *(message.metadata.sequence.stream for message in found[-1:])])

    def _decoded(self, message: Msg) -> Event[M] | Unreadable:
        kind = message.subject.removeprefix(_PREFIX)
        type_name = (message.headers or {}).get(TYPE_HEADER, "")
        return self._kinds.decoded(message.metadata.sequence.stream, kind, type_name, message.data)

    async def subscribe(self, reader: str) -> AsyncGenerator["_JetStreamDelivery[M]", None]:
        subscription = await self._jetstream.repeat(lambda: self._bound(subjects.token(reader)))
        batch: deque[Msg] = deque()
        try:
            while True:
                batch.extend(await self._jetstream.next_batch(subscription, 100))
                while batch:
                    message = batch.popleft()
                    event = self._decoded(message)
                    if isinstance(event, Event):
                        yield _JetStreamDelivery(self._jetstream, message, event)
                    else:
                        await self._quarantine(message, event, reader)
        finally:
            await self._jetstream.give_back(batch)
            await self._jetstream.leave(subscription)

    async def _bound(self, name: str) -> JetStreamContext.PullSubscription:
        """The durable reader of this name, made or brought to these kinds."""
        consumer = ConsumerConfig(
            durable_name=name,
            deliver_policy=DeliverPolicy.ALL,
            filter_subjects=self._filter,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=ACK_SECONDS,
            max_ack_pending=100,
        )
        await self._jetstream.context.add_consumer(STREAM, consumer)
        return await self._jetstream.context.pull_subscribe_bind(name, STREAM)

    async def _quarantine(self, message: Msg, event: Unreadable, reader: str) -> None:
        headers = {
            "Troupe-Sequence": str(event.sequence),
            "Troupe-Kind": event.kind,
            "Troupe-Reason": quote(event.reason[:500]),
            TYPE_HEADER: event.type_name,
        }
        name = subjects.token(reader)
        await self._jetstream.publish(f"quarantine.{STREAM}", message.data, headers, f"{name}-{event.sequence}")
        self._jetstream.quarantined += 1
        await self._jetstream.repeat(lambda: message.ack_sync(timeout=2.0))

    async def quarantined(self, limit: int = 100) -> Quarantine:
        size = page_size(limit)
        return await self._jetstream.repeat(lambda: self._newest(size))

    async def _newest(self, limit: int) -> Quarantine:
        context = self._jetstream.context
        state = (await context.stream_info(QUARANTINE)).state
        found: list[Unreadable] = []
        for number in range(max(1, state.first_seq, state.last_seq - limit + 1), state.last_seq + 1):
            try:
                headers = (await context.get_msg(QUARANTINE, seq=number)).headers or {}
            except NotFoundError:  # it went meanwhile
                continue
            found.append(
                Unreadable(
                    int(headers.get("Troupe-Sequence", "0")),
                    headers.get("Troupe-Kind", ""),
                    headers.get(TYPE_HEADER, ""),
                    unquote(headers.get("Troupe-Reason", "")),
                )
            )
        return Quarantine(state.messages, found)
