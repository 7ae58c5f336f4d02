"""Sends what calls have to say, and lets time pass for them. One per channel and one per server."""

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Protocol

import structlog

from bus.errors import RpcError
from bus.transports import Transport

TICK_SECONDS = 0.1

CLOSE_SECONDS = 5.0
"""How long the last frames may take."""

log = structlog.get_logger(__name__)


class Source(Protocol):
    """Something with frames to send."""

    marked: bool
    """Already in line."""

    def outgoing(self) -> Iterable[tuple[str, bytes, str]]:
        """Subject, bytes and reply subject of each frame to send now."""


class Pump:
    """Writes in the order of marking.

    A source that is marked while the loop is idle is written in the loop's next turn; while the loop is busy, what its
    sources push piles up and leaves as one frame. There is no timer: waiting never made a frame better.
    """

    def __init__(self, transport: Transport, tick: Callable[[float], None]) -> None:
        self._transport = transport
        self._tick = tick
        self._line: list[Source] = []
        self._wake = asyncio.Event()
        self._closing = False
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin; needs a running loop."""
        if not self._tasks:
            self._closing = False
            self._tasks = [asyncio.create_task(self._write()), asyncio.create_task(self._keep_time())]

    def mark(self, source: Source) -> None:
        """`source` has something to send."""
        if not source.marked:
            source.marked = True
            self._line.append(source)
            self._wake.set()

    async def _write(self) -> None:
        while not self._closing:
            await self._wake.wait()
            self._wake.clear()
            await self._write_line()

    async def _write_line(self) -> None:
        line, self._line = self._line, []
        for source in line:
            source.marked = False
            try:
                for subject, payload, reply in source.outgoing():
                    await self._transport.publish(subject, payload, reply)
            except RpcError as error:  # the bus is away: the calls find out what was lost, or that it stays away
                log.warning("frames.dropped", error=str(error))
            except Exception:  # one call's fault must not stop the others
                log.exception("frames.failed")

    async def _keep_time(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            try:
                self._tick(time.monotonic())
            except Exception:  # as above
                log.exception("tick.failed")

    async def close(self) -> None:
        """Write what is in line, for at most CLOSE_SECONDS, and stop."""
        self._closing = True
        self._wake.set()
        if self._tasks:
            await asyncio.wait(self._tasks[:1], timeout=CLOSE_SECONDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
