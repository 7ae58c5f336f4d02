"""What has come for a client and was not written to it yet."""

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from bus.stream import MAX_PIECE, Pieces


class Batch(NamedTuple):
    """Consecutive pieces for a client.

    last: number of the newest piece. more: it is continued by the next. wire: the frame that they came in, if it held
    nothing else and the client takes frames as bytes; then `pieces` is empty, since nobody looks into it. size: bytes.
    """

    pieces: Sequence[bytes]
    last: int
    more: bool
    wire: bytes
    size: int


class Downlink:
    """Keeps what came in order, and gives it out a frame at a time.

    handed: number of the last piece that was given out. size: bytes that wait. total: bytes that ever came.
    """

    __slots__ = ("_batches", "handed", "size", "total")

    def __init__(self, handed: int = 0) -> None:
        self.handed = handed
        self.size = self.total = 0
        self._batches: deque[Batch] = deque()

    def __bool__(self) -> bool:
        return bool(self._batches)

    def add(self, pieces: Pieces) -> None:
        """Pieces, of which a frame is made."""
        kept = list(pieces.pieces)  # and not the frame that they are still a part of
        self._add(Batch(kept, pieces.last, pieces.more, b"", sum(map(len, kept))))

    def add_wire(self, wire: bytes, last: int, more: bool) -> None:
        """A frame that goes to the client as it came."""
        self._add(Batch((), last, more, wire, len(wire)))

    def _add(self, batch: Batch) -> None:
        self._batches.append(batch)
        self.size += batch.size
        self.total += batch.size

    def take(self) -> Batch | None:
        """The next frame's worth; what waits behind it joins it as far as it fits."""
        if not self._batches:
            return None
        first = self._batches.popleft()
        if self._batches:
            first = self._joined(first)
        self.handed = first.last
        self.size -= first.size
        return first

    def _joined(self, first: Batch) -> Batch:
        joined, size = [first], first.size
        while self._batches and _joins(joined[-1], self._batches[0]) and size + self._batches[0].size <= MAX_PIECE:
            joined.append(self._batches.popleft())
            size += joined[-1].size
        if len(joined) == 1:
            return first
        pieces = [piece for batch in joined for piece in batch.pieces]
        # Two frames of nothing but payloads are one, byte by byte: protobuf adds up what repeats, and the later number
        # is that of the last piece.
        wire = b"".join([batch.wire for batch in joined])
        return Batch(pieces, joined[-1].last, joined[-1].more, wire, size)


def _joins(batch: Batch, following: Batch) -> bool:
    """A piece that is continued ends its frame; bytes and pieces do not mix."""
    return not batch.more and bool(batch.wire) == bool(following.wire)
