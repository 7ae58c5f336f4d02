"""One direction of a call: numbered pieces, credit, and what can be sent again. Nothing here awaits."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from bus.errors import Code, RpcError

MAX_FRAME = 64 * 1024
"""Bytes of a serialised frame at most; what a NATS server and every WebSocket client take without ado."""

MAX_PIECE = 48 * 1024
"""Bytes of one payload at most, so that an OPEN with its metadata still fits beside it."""

MAX_MESSAGE = 4 * 1024 * 1024
"""Bytes of one message at most, as in gRPC; it travels in pieces. What is larger goes through the blob store."""

DEFAULT_WINDOW = 64
"""Pieces that a responder may send before it needs credit, unless the caller says otherwise."""

MAX_WINDOW = 1024
"""Pieces that a caller may allow at once."""

REQUEST_WINDOW = 16
"""Pieces that a caller may send before it needs credit."""

RING_PIECES = 4096
"""Sent pieces that are kept for a consumer that comes back."""

RING_BYTES = 4 * 1024 * 1024
"""Bytes of pieces that are kept; a sender whose consumer has not taken this much stalls, credit or not."""

_PIECE_OVERHEAD = 64


class Pieces(NamedTuple):
    """Consecutive pieces of messages.

    last: number of the newest piece. more: the newest piece is continued by the one that follows.
    """

    pieces: Sequence[bytes]
    last: int
    more: bool = False


def split(message: bytes) -> list[bytes]:
    """The message in pieces of at most MAX_PIECE bytes; an empty message is one empty piece.

    Raises RESOURCE_EXHAUSTED (MESSAGE_TOO_LARGE) above MAX_MESSAGE.
    """
    if len(message) <= MAX_PIECE:
        return [message]
    if len(message) > MAX_MESSAGE:
        raise too_large(len(message))
    return [message[start : start + MAX_PIECE] for start in range(0, len(message), MAX_PIECE)]


def too_large(size: int) -> RpcError:
    """A message is above MAX_MESSAGE."""
    return RpcError(
        Code.RESOURCE_EXHAUSTED,
        f"A message of {size:,} bytes is over the limit of {MAX_MESSAGE:,}; put large content into the blob store "
        "and send its reference.",
        reason="MESSAGE_TOO_LARGE",
        metadata={"size": str(size), "limit": str(MAX_MESSAGE)},
    )


class Outgoing:
    """The sender's half. Pieces wait for credit, and those sent stay in a ring until the consumer is done with them.

    granted: pieces that may be sent from the start. preceding: numbers already used by whoever sent before.
    """

    __slots__ = (
        "_base",
        "_bytes",
        "_more",
        "_reached",
        "_ring",
        "_unconsumed",
        "consumed",
        "detached",
        "granted",
        "last",
        "sent",
    )

    def __init__(self, granted: int, preceding: int = 0) -> None:
        self.granted = preceding + granted
        self.consumed = preceding
        self.sent = preceding
        self.last = preceding
        self.detached = False
        self._base = preceding
        # `sent` goes back when something is sent again; this is how far it ever came.
        self._reached = preceding
        self._ring: deque[bytes] = deque()
        self._more: set[int] = set()
        self._bytes = 0
        self._unconsumed = 0

    @property
    def ready(self) -> bool:
        """Another message may be pushed now."""
        if self.last < self.granted or (self.detached and self.last - self.consumed < RING_PIECES):
            return self._unconsumed < RING_BYTES
        return False

    @property
    def full(self) -> bool:
        """The consumer has not taken as much as may wait for it."""
        return self._unconsumed >= RING_BYTES

    @property
    def idle(self) -> bool:
        """Everything pushed was sent."""
        return self.sent == self.last

    def push(self, message: bytes) -> None:
        """Add a whole message. Raises MESSAGE_TOO_LARGE."""
        size = len(message)
        if size <= MAX_PIECE:
            self._ring.append(message)
            self.last += 1
            self._bytes += size + _PIECE_OVERHEAD
            self._unconsumed += size + _PIECE_OVERHEAD
            return
        pieces = split(message)
        self.push_pieces(pieces, more=False)
        self._more.update(range(self.last - len(pieces) + 1, self.last))

    def push_pieces(self, pieces: Sequence[bytes], more: bool) -> None:
        """Add pieces that someone else has split."""
        self._ring.extend(pieces)
        self.last += len(pieces)
        if more:
            self._more.add(self.last)
        size = sum(map(len, pieces)) + _PIECE_OVERHEAD * len(pieces)
        self._bytes += size
        self._unconsumed += size

    @property
    def sendable(self) -> bool:
        """Something may be sent now."""
        return self.sent < min(self.last, self.granted) and not self.detached

    def take(self) -> Pieces | None:
        """The next frame's pieces, as many as may be sent now and fit; None if there are none."""
        until = min(self.last, self.granted)
        if self.sent >= until or self.detached:
            return None
        ring, base, sent, more = self._ring, self._base, self.sent, self._more
        pieces: list[bytes] = []
        room = MAX_PIECE
        for number in range(sent, until):
            piece = ring[number - base]
            room -= len(piece) + 4
            if room < 0 and pieces:
                break
            pieces.append(piece)
            sent += 1
            if more and sent in more:
                break
        self.sent, self._reached = sent, max(self._reached, sent)
        return Pieces(pieces, sent, more=sent in more)

    def credit(self, granted: int, consumed: int) -> None:
        """The consumer allows more, and has taken some. Older numbers than known change nothing."""
        self.granted = max(self.granted, granted)
        consumed = min(consumed, self._reached)
        if consumed > self.consumed:
            ring, base = self._ring, self._base
            taken = range(self.consumed - base, consumed - base)
            self._unconsumed -= sum([len(ring[place]) for place in taken]) + _PIECE_OVERHEAD * len(taken)
            self.consumed = consumed
        self._trim()

    def rewind(self, after: int, granted: int = 0) -> None:
        """Send again everything after piece `after`. Raises OUT_OF_RANGE (RESUME_OUT_OF_RANGE) if that is gone."""
        if not self._base <= after <= self._reached:
            raise RpcError(
                Code.OUT_OF_RANGE,
                f"The call can be resumed after payload {self._base} to {self._reached}, not after {after}; "
                "open a new call.",
                reason="RESUME_OUT_OF_RANGE",
                metadata={"first": str(self._base), "last": str(self._reached)},
            )
        self.detached = False
        self.sent = after
        if granted:  # also less than before: another consumer knows nothing of what the last one allowed
            self.granted = granted

    def whole(self) -> bytes | None:
        """All that was ever pushed, joined; None if some of it is no longer kept."""
        return None if self._base else b"".join(self._ring)

    def abandon(self) -> None:
        """Forget what was not sent yet."""
        while self.last > self._reached:
            size = len(self._ring.pop()) + _PIECE_OVERHEAD
            self._more.discard(self.last)
            self._bytes -= size
            self._unconsumed -= size
            self.last -= 1

    @property
    def held_bytes(self) -> int:
        """Memory that the ring takes."""
        return self._bytes

    def _trim(self) -> None:
        spare = min(self.consumed, self.sent)
        while self._base < spare and (len(self._ring) > RING_PIECES or self._bytes > RING_BYTES):
            self._bytes -= len(self._ring.popleft()) + _PIECE_OVERHEAD
            self._base += 1
            self._more.discard(self._base)


class Incoming:
    """The receiver's half: what has come, in order and once, and how much more may come."""

    __slots__ = ("granted", "received")

    def __init__(self, granted: int, received: int = 0) -> None:
        self.received = received
        self.granted = received + granted

    def accept(self, pieces: Sequence[bytes], last: int, more: bool) -> Pieces | None:
        """The part of it that is new, or None if nothing is, or if something before it is missing (see `misses`).

        Raises RESOURCE_EXHAUSTED (CREDIT_EXCEEDED) if the sender was not allowed to send this much.
        """
        before = last - len(pieces)
        if before > self.received or last <= self.received:
            return None
        if last > self.granted:
            raise RpcError(
                Code.RESOURCE_EXHAUSTED,
                f"Payload {last} was sent with credit for {self.granted} only; wait for CREDIT before sending more.",
                reason="CREDIT_EXCEEDED",
            )
        new = pieces[self.received - before :] if before < self.received else pieces
        self.received = last
        return Pieces(new, last, more)

    def misses(self, sequence: int) -> bool:
        """The sender has sent up to `sequence`, and not all of it has come."""
        return sequence > self.received

    def grant(self, granted: int) -> bool:
        """Allow more; True if this changes anything."""
        changed = granted > self.granted
        self.granted = max(self.granted, granted)
        return changed


@dataclass(slots=True)
class Assembler:
    """Puts pieces together into messages."""

    _parts: list[bytes] = field(default_factory=list)
    _size: int = 0

    def feed(self, pieces: Pieces) -> list[tuple[bytes, int]]:
        """Whole messages, each with the number of its last piece. Raises MESSAGE_TOO_LARGE."""
        first = pieces.last - len(pieces.pieces) + 1
        if not self._parts and not pieces.more:  # whole messages, as nearly always
            return list(zip(pieces.pieces, range(first, pieces.last + 1), strict=True))
        messages = []
        for number, piece in enumerate(pieces.pieces, first):
            if number == pieces.last and pieces.more:
                self._keep(piece)
            elif self._parts:
                self._keep(piece)
                messages.append((b"".join(self._parts), number))
                self._parts, self._size = [], 0
            else:
                messages.append((piece, number))
        return messages

    def _keep(self, piece: bytes) -> None:
        self._parts.append(piece)
        self._size += len(piece)
        if self._size > MAX_MESSAGE:
            raise too_large(self._size)
