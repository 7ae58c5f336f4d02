"""What has come of a call's answer, kept so that another responder can go on from there. Undecoded."""

from array import array
from bisect import bisect_right

from bus.errors import continuation_unsupported
from bus.fields import only_progress, tag, varint
from bus.stream import MAX_MESSAGE, MAX_PIECE, Assembler, Pieces

PACK_AFTER = 256
"""Messages that are kept one by one; more are joined, which takes a fraction of the memory."""

TOO_LARGE = f"request and answer have more than {MAX_MESSAGE:,} bytes together."
HALF = "it broke off within a message."


class Delivered:
    """The messages that came so far, as the field of a request that takes them (`Policy.continued_by`).

    Bounded by MAX_MESSAGE: what is more is let go of, and nobody can go on.
    """

    __slots__ = ("_assembler", "_began", "_ends", "_half", "_lasts", "_messages", "_packed", "_size", "_tag", "_torn")

    def __init__(self, field: int) -> None:
        """field: its number."""
        self._tag = tag(field)
        self._messages: list[tuple[bytes, int]] = []
        self._packed = bytearray()
        # Of each packed message: the number of its last piece, and where it ends.
        self._lasts, self._ends = array("Q"), array("Q")
        self._assembler = Assembler()
        self._half = False
        self._began = 0
        self._torn = False
        self._size = 0

    @property
    def obstacle(self) -> str:
        """Why nobody can go on from here, as a sentence; empty: somebody can."""
        if self._size > MAX_MESSAGE:
            return TOO_LARGE
        return HALF if self._half or self._torn else ""

    @property
    def size(self) -> int:
        """Bytes that came."""
        return self._size

    def take(self, pieces: Pieces) -> None:
        """These pieces came, in order and once. A message above MAX_MESSAGE is the reader's to refuse."""
        self._size += sum(map(len, pieces.pieces))
        if self._size > MAX_MESSAGE:
            self._messages.clear()
            self._packed.clear()
            return
        whole = self._assembler.feed(pieces)
        if pieces.more and (whole or not self._half):
            self._began = whole[-1][1] + 1 if whole else pieces.last - len(pieces.pieces) + 1
        self._half = pieces.more
        self._messages += whole
        if len(self._messages) > PACK_AFTER:
            self._pack()

    def cut(self, after: int) -> bool:
        """Forget what came after this piece: who comes back has no more of it. Whether part of the answer is left."""
        self._pack()
        place = bisect_right(self._lasts, after)
        torn = self._half and self._began <= after
        if place < len(self._lasts):
            start = self._ends[place - 1] if place else 0
            pieces = -(-(self._ends[place] - start) // MAX_PIECE)
            torn = torn or self._lasts[place] - after < pieces
        if self._size <= MAX_MESSAGE:
            del self._lasts[place:], self._ends[place:]
            del self._packed[self._ends[-1] if self._ends else 0 :]
            self._size = len(self._packed)
        self._torn = self._torn or torn
        self._half, self._assembler = False, Assembler()
        return bool(self._packed) or bool(self.obstacle)

    def appended_to(self, request: bytes) -> bytes:
        """The request with all of it appended. Raises ABORTED (CONTINUATION_UNSUPPORTED)."""
        self._pack()
        obstacle = self.obstacle or (TOO_LARGE if len(request) + len(self._packed) > MAX_MESSAGE else "")
        if obstacle:
            raise continuation_unsupported(obstacle)
        # Protobuf reads joined messages as one, and what repeats adds up.
        return request + self._packed

    def _pack(self) -> None:
        messages, self._messages = self._messages, []
        for message, last in messages:
            if not only_progress(message):
                self._packed += self._tag + varint(len(message)) + message
            self._lasts.append(last)
            self._ends.append(len(self._packed))


def answers(pieces: Pieces) -> bool:
    """Whether something among them is part of the answer, and no Progress."""
    return not all(map(only_progress, pieces.pieces))
