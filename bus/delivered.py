"""What has come of a call's answer, kept so that another responder can go on from there. Undecoded."""

from bus.errors import continuation_unsupported
from bus.fields import only_progress, tag, varint
from bus.stream import MAX_MESSAGE, Assembler, Pieces

PACK_AFTER = 256
"""Messages that are kept one by one; more are joined, which takes a fraction of the memory."""

TOO_LARGE = f"request and answer have more than {MAX_MESSAGE:,} bytes together."
HALF = "it broke off within a message."


class Delivered:
    """The messages that came so far, as the field of a request that takes them (`Policy.continued_by`).

    Bounded by MAX_MESSAGE: what is more is let go of, and nobody can go on.
    """

    __slots__ = ("_assembler", "_half", "_messages", "_packed", "_size", "_tag")

    def __init__(self, field: int) -> None:
        """field: its number."""
        self._tag = tag(field)
        self._messages: list[bytes] = []
        self._packed = bytearray()
        self._assembler = Assembler()
        self._half = False
        self._size = 0

    @property
    def obstacle(self) -> str:
        """Why nobody can go on from here, as a sentence; empty: somebody can."""
        if self._size > MAX_MESSAGE:
            return TOO_LARGE
        return HALF if self._half else ""

    def take(self, pieces: Pieces) -> None:
        """These pieces came, in order and once. A message above MAX_MESSAGE is the reader's to refuse."""
        came = list(pieces.pieces)
        self._size += sum(map(len, came))
        if self._size > MAX_MESSAGE:
            self._messages.clear()
            self._packed.clear()
            return
        if self._half or pieces.more:
            self._half = pieces.more
            self._messages += [message for message, _ in self._assembler.feed(pieces)]
        else:
            self._messages += came
        if len(self._messages) > PACK_AFTER:
            self._pack()

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
        for message in messages:
            if not only_progress(message):
                self._packed += self._tag + varint(len(message)) + message


def answers(pieces: Pieces) -> bool:
    """Whether something among them is part of the answer, and no Progress."""
    return not all(map(only_progress, pieces.pieces))
