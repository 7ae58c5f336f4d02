"""Sends what calls have to say, and lets time pass for them. One per channel and one per server."""

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Protocol

import structlog

from bus.errors import RpcError
from bus.transports import Letter, Transport

TICK_SECONDS = 0.1

log = structlog.get_logger(__name__)


class Source(Protocol):
    """Something with frames to send."""

    marked: bool
    """Already in line."""

    def outgoing(self) -> Iterable[Letter]:
        """The frames to send in this turn, at most one of them with payloads. Marks itself again if there are more."""


class Pump:
    """Writes in the order of marking, one frame of payloads of each source in a turn of the loop.

    A source that is marked while the loop is idle is written in the loop's next turn; while the loop is busy, what its
    sources push piles up and leaves as one frame. There is no timer: waiting never made a frame better. What does not
    fit into one frame goes to the end of the line, so that a short message waits for one frame of a long one, and not
    for all of it.
    """

    def __init__(self, transport: Transport, tick: Callable[[float], None]) -> None:
        self._transport = transport
        self._tick = tick
        self._line: list[Source] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._due = False
        self._clock: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; needs a running loop."""
        if self._clock is None:
            self._loop = asyncio.get_running_loop()
            self._clock = asyncio.create_task(self._keep_time())
            self._write_soon()

    def mark(self, source: Source) -> None:
        """`source` has something to send."""
        if not source.marked:
            source.marked = True
            self._line.append(source)
            self._write_soon()

    def _write_soon(self) -> None:
        # A callback and not a task that waits: it wakes in one turn of the loop, a task takes two.
        if self._loop is not None and self._line and not self._due:
            self._due = True
            self._loop.call_soon(self._write)

    def _write(self) -> None:
        self._due = False
        line, self._line = self._line, []
        letters: list[Letter] = []
        for source in line:
            source.marked = False
            try:
                letters += source.outgoing()
            except Exception:  # one call's fault must not stop the others
                log.exception("frames.failed")
        try:
            if letters:
                self._transport.publish_all(letters)
        except RpcError as error:  # the bus is away: the calls find out what was lost, or that it stays away
            log.warning("frames.dropped", error=str(error))

    async def _keep_time(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            try:
                self._tick(time.monotonic())
            except Exception:  # as above
                log.exception("tick.failed")

    async def close(self) -> None:
        """Write what is in line, to its end, and stop."""
        clock, self._clock = self._clock, None
        if clock is not None:
            while self._line:
                self._write()
            self._loop = None
            clock.cancel()
            await asyncio.gather(clock, return_exceptions=True)
