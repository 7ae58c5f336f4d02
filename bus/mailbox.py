"""What came and nobody has taken yet, and who waits for it; the same on both sides of a call."""

import asyncio
from collections import deque

from bus.stream import Assembler, Pieces


class Bell:
    """Wakes everyone who waits for something to change."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[None]] = []

    def ring(self) -> None:
        """Let everyone who waits look again."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def rung(self) -> None:
        """Return when it has rung. Cancelling leaves nothing behind but a place in line."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future


class Mailbox:
    """Puts pieces together into messages and keeps them until they are taken; says what may be acknowledged."""

    __slots__ = ("_assembler", "_messages", "_newest")

    def __init__(self) -> None:
        self._assembler = Assembler()
        self._messages: deque[tuple[bytes, int]] = deque()
        self._newest = 0

    def __bool__(self) -> bool:
        return bool(self._messages)

    def put(self, pieces: Pieces) -> int:
        """Add what came; the number up to which it counts as consumed already, 0 for none of it.

        Those are pieces of a message that is not whole yet, but never past messages that nobody has taken. Raises
        RESOURCE_EXHAUSTED (MESSAGE_TOO_LARGE).
        """
        self._messages.extend(self._assembler.feed(pieces))
        self._newest = pieces.last
        return 0 if self._messages else pieces.last

    def take(self) -> tuple[bytes, int]:
        """The oldest message, and the number up to which everything is consumed with it."""
        message, last = self._messages.popleft()
        return message, last if self._messages else self._newest
