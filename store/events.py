"""Events: what has happened, as a kind and the message that its kind says; what every event log promises."""

import re
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from google.protobuf.message import DecodeError, Message

from bus import errors

MAX_EVENT_BYTES = 64 * 1024
MAX_LOG_BYTES = 1024 * 1024 * 1024
MAX_QUARANTINED = 10_000
MAX_PAGE = 1000
REPEATED_SECONDS = 120.0
"""An event with the id of one that is not older is the same event."""

ACK_SECONDS = 30.0
"""An event that a durable reader has not acknowledged for so long comes again."""

_KIND = re.compile(r"[a-z0-9_]{1,40}(\.[a-z0-9_]{1,40}){0,3}")

M = TypeVar("M", bound=Message)
M_co = TypeVar("M_co", bound=Message, covariant=True)


@dataclass(frozen=True, slots=True)
class Event(Generic[M_co]):
    """Something that has happened. Sequences grow; they have gaps where events were removed or are others' concern."""

    sequence: int
    kind: str
    value: M_co


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An event that a reader could not take: its place, its kind, the message it says it is, and why."""

    sequence: int
    kind: str
    type_name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Page(Generic[M_co]):
    """Events in order. `last`: read on after this; `unreadable`: those of these kinds that could not be taken."""

    events: list[Event[M_co]]
    last: int
    unreadable: list[Unreadable] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Quarantine:
    """What subscriptions set aside. total: how many are kept, at most 10,000; newest: the last ones, oldest first."""

    total: int
    newest: list[Unreadable]


class Delivery(Protocol[M_co]):
    """An event for a durable reader."""

    @property
    def event(self) -> Event[M_co]:
        """What has happened."""

    async def ack(self) -> None:
        """Done: it does not come again."""


class EventLog(Protocol[M]):
    """The hub's one log, seen through the kinds that a holder writes and reads; it is opened with them.

    Kinds are one to four words in the past tense, joined by dots, for example "actor.failed". Each carries one type of
    message, whose name is stored with the event and compared when it is read: bytes alone do not say what they are.
    Everything raises UNAVAILABLE (STORE_UNAVAILABLE) if the store does not answer in time.
    """

    async def append(self, kind: str, event: M, event_id: str = "") -> int:
        """Write it down; returns its sequence. The same id within two minutes is written once.

        Raises INVALID_ARGUMENT for a kind that the log was not opened with (EVENT_KIND_UNKNOWN), for another type than
        the kind's (EVENT_TYPE_WRONG) and for more than 64 KiB (MESSAGE_TOO_LARGE).
        """

    async def read(self, after: int = 0, limit: int = 100) -> Page[M]:
        """At most `limit` events (1 to 1000) of these kinds after a sequence.

        A reader keeps `last` with what it made of them; it also passes what is no concern of these kinds.
        """

    def subscribe(self, reader: str) -> AsyncGenerator[Delivery[M], None]:
        """Each event of these kinds for the reader of this name, until acknowledged; waits for new ones.

        A new name begins with the first event; one that comes with other kinds than before gets what is new of them.
        Subscriptions of one name share the events. One that is not acknowledged comes again after 30 s. What is of
        another type than its kind says, or cannot be decoded, is put into quarantine and not delivered.
        """

    async def quarantined(self, limit: int = 100) -> Quarantine:
        """What all subscriptions could not take; `limit` of the newest (1 to 1000)."""


class Kinds(Generic[M]):
    """Which message each kind of event carries. Raises INVALID_ARGUMENT for none and for what names no kind."""

    def __init__(self, kinds: Mapping[str, type[M]]) -> None:
        if not kinds:
            raise errors.invalid("An event log is opened with the kinds of event that are of concern.", "kinds")
        self._types = {checked(kind): message for kind, message in kinds.items()}

    @property
    def names(self) -> list[str]:
        """The kinds."""
        return list(self._types)

    def __contains__(self, kind: object) -> bool:
        return kind in self._types

    def encoded(self, kind: str, event: Message) -> tuple[bytes, str]:
        """An event's bytes and the full name of its type. Raises as `EventLog.append`."""
        wanted = self._types.get(checked(kind))
        if wanted is None:
            known = ", ".join(self._types)
            raise errors.invalid(
                f"This log was not opened with the kind {kind!r}, but with {known}.",
                "kind",
                reason="EVENT_KIND_UNKNOWN",
            )
        if event.DESCRIPTOR is not wanted.DESCRIPTOR:
            raise errors.invalid(
                f"An event {kind!r} carries {name_of(wanted)}, and this is {event.DESCRIPTOR.full_name}.",
                "event",
                reason="EVENT_TYPE_WRONG",
            )
        return encoded(event), name_of(wanted)

    def decoded(self, sequence: int, kind: str, type_name: str, data: bytes) -> Event[M] | Unreadable:
        """A stored event as these kinds read it."""
        wanted = self._types.get(kind)
        if wanted is None:
            return Unreadable(sequence, kind, type_name, "Nobody here knows this kind.")
        if type_name != name_of(wanted):
            return Unreadable(sequence, kind, type_name, f"It is {type_name or 'untyped'}, and not {name_of(wanted)}.")
        try:
            return Event(sequence, kind, wanted.FromString(data))
        except DecodeError:
            return Unreadable(sequence, kind, type_name, f"Its bytes are no {name_of(wanted)}.")


def name_of(message: type[Message]) -> str:
    """The full name of a message's type, for example "troupe.health.v1.Actor"."""
    name: str = message.DESCRIPTOR.full_name
    return name


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


def page_size(limit: int) -> int:
    """How many are given at once. Raises INVALID_ARGUMENT below 1."""
    if limit < 1:
        raise errors.invalid(f"A page has 1 to {MAX_PAGE:,} events, not {limit}.", "limit")
    return min(limit, MAX_PAGE)
