"""Lines of stdin as they come, without holding up the event loop or the program's end."""

import asyncio
import sys
import threading
from collections.abc import AsyncIterator

from cli.failure import CommandError, why

MAX_LINE = 8 * 1024 * 1024
"""Characters; longer lines are refused."""

AHEAD = 16
"""Lines that are read before they are wanted."""


async def from_stdin() -> AsyncIterator[tuple[int, str]]:
    """The number, from 1, and the text of each line that is not empty, until stdin ends. Raises CommandError."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[str | Exception] = asyncio.Queue()
    room = threading.Semaphore(AHEAD)

    def read() -> None:
        line: str | Exception = " "
        while line and isinstance(line, str):
            room.acquire()
            try:
                line = sys.stdin.readline(MAX_LINE + 1)
            except (OSError, ValueError) as error:  # a ValueError: what is no UTF-8
                line = error
            try:
                loop.call_soon_threadsafe(queue.put_nowait, line)
            except RuntimeError:  # the loop is closed: the call has ended and wants no more
                return

    # A daemon: it may be waiting for a line when the program ends.
    threading.Thread(target=read, name="stdin", daemon=True).start()
    number = 0
    while line := await queue.get():
        room.release()
        number += 1
        if isinstance(line, Exception):
            reason = why(line) if isinstance(line, OSError) else line
            raise CommandError(f"Line {number} of stdin, or one after it, cannot be read: {reason}.")
        if len(line) > MAX_LINE:
            raise CommandError(f"Line {number} of stdin is longer than {MAX_LINE} characters.", "Send less at a time.")
        if line.strip():
            yield number, line
