"""Answers that go out as they are made: what has piled up leaves in one write, and a client that goes stops the work.

Two tasks share a stream: the producer writes without waiting, the request's own task sends. The first piece leaves at
once; a backlog leaves together. There is no flush timer. How the pieces look is a format's: server-sent events, lines
of JSON, bytes.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog
from starlette.types import Receive, Send

from bus import Code, RpcError
from gateway.http.body import Disconnected
from gateway.http.problem import NEUTRAL, Dialect, encoded

HOLD_SECONDS = 2.0
"""The status waits so long for the first piece, so that a call that fails at once fails with its own status."""

HEARTBEAT_SECONDS = 10.0
"""A stream is never silent for longer, if its format can fill a silence: proxies and clients give up on silent ones."""

STALL_SECONDS = 60.0
"""A client that takes nothing for so long is given up."""

MAX_WAITING_BYTES = 256 * 1024
"""The producer waits when so much has not left; its call then stops granting credit."""

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Format:
    """How a stream looks.

    heartbeat: what fills a silence; empty: nothing does, and the status waits for the first piece. comment: around text
    that clients leave out; None: there are no comments. error: around an error's body that comes after the first piece;
    None: the answer is cut short, which clients see by its missing end.
    """

    media_type: str
    heartbeat: bytes = b""
    comment: tuple[bytes, bytes] | None = None
    error: tuple[bytes, bytes] | None = None


SERVER_SENT_EVENTS = Format(
    "text/event-stream; charset=utf-8",
    heartbeat=b": \n\n",
    comment=(b": ", b"\n\n"),
    error=(b"data: ", b"\n\n"),
)
JSON_LINES = Format("application/x-ndjson", error=(b"", b"\n"))


def plain_bytes(media_type: str) -> Format:
    """Bytes of this type, for example audio."""
    return Format(media_type)


class CutShort(Exception):
    """The answer cannot go on, and its format has no words for that; the server ends the connection."""


T = TypeVar("T")

log = structlog.get_logger(__name__)


async def disconnected(receive: Receive) -> None:
    """Return when the client goes away."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`. Raises Disconnected when the client goes away first; `work` is then cancelled and over."""
    working = asyncio.create_task(work)
    watching = asyncio.create_task(disconnected(receive))
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise Disconnected
        return working.result()
    finally:
        await _end(working, watching)


async def _end(*tasks: "asyncio.Task[Any]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class ResponseStream:
    """One response that goes out as it is made. waiting_bytes: what was written and has not left.

    headers: besides those of the format. dialect: of errors. failed: told of an error that came after the first piece.
    """

    def __init__(
        self,
        receive: Receive,
        send: Send,
        format: Format = SERVER_SENT_EVENTS,  # noqa: A002  # what it is called
        *,
        headers: Headers | None = None,
        dialect: Dialect = NEUTRAL,
        failed: Callable[[RpcError], None] = lambda _: None,
        hold: float = HOLD_SECONDS,
        beat: float = HEARTBEAT_SECONDS,
    ) -> None:
        self._receive = receive
        self._send = send
        self._format = format
        self._headers = headers or []
        self._dialect = dialect
        self._failed = failed
        self._hold = hold
        self._beat = beat
        self._parts: list[bytes] = []
        self.waiting_bytes = 0
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._held = True
        self._started = False
        self._gone = False
        self._sent_at = 0.0
        self._sending_since: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._stall = asyncio.timeout(None)

    # ---- the producer's side

    def write(self, piece: bytes) -> None:
        """A piece, complete as its format wants it: an event with its "data: " and its empty line."""
        self._held = False
        self._append(piece)

    def comment(self, text: str) -> None:
        """A line that clients leave out, where the format has such. It does not make the status leave."""
        if self._format.comment is not None:
            before, after = self._format.comment
            self._append(before + text.encode() + after)

    def _append(self, part: bytes) -> None:
        self._parts.append(part)
        self.waiting_bytes += len(part)
        self._wake.set()

    @property
    def full(self) -> bool:
        """The producer should await `room` before it goes on."""
        return self.waiting_bytes > MAX_WAITING_BYTES

    async def room(self) -> None:
        """Return when enough has left."""
        while self.full:
            self._room.clear()
            await self._room.wait()

    # ---- the request's side

    async def run(self, produce: Callable[["ResponseStream"], Awaitable[None]]) -> None:
        """Send what `produce` writes until it returns.

        Its RpcError is told as the format has it, or is raised while nothing has been sent. Raises CutShort where the
        format has no words for it, and Disconnected when the client goes away or takes nothing any more; `produce` is
        then cancelled and over, as on cancellation.
        """
        loop = asyncio.get_running_loop()
        producing = asyncio.create_task(_call(produce, self))
        watching = asyncio.create_task(disconnected(self._receive))
        producing.add_done_callback(lambda _: self._wake.set())
        watching.add_done_callback(self._leave)
        self._sent_at = time.monotonic()
        self._timer = loop.call_later(self._hold, self._tick)
        try:
            async with self._stall:
                await self._send_until(producing)
                await self._finish(producing)
        except TimeoutError:
            raise Disconnected from None
        finally:
            self._timer.cancel()
            await _end(producing, watching)

    def _leave(self, _: "asyncio.Task[None]") -> None:
        self._gone = True
        self._wake.set()

    async def _send_until(self, producing: "asyncio.Task[None]") -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._gone:
                raise Disconnected
            if producing.done():
                return
            if self._ready:
                await self._flush()

    @property
    def _ready(self) -> bool:
        """Something waits to leave, and the status with it if that has not left yet."""
        return bool(self._parts) and not self._held

    async def _flush(self, *, last: bool = False) -> None:
        self._sending_since = time.monotonic()
        if not self._started:
            self._started = True
            await self._send({"type": "http.response.start", "status": 200, "headers": self._start_headers()})
        parts, self._parts = self._parts, []
        self.waiting_bytes = 0
        body = b"".join(parts)
        await self._send({"type": "http.response.body", "body": body, "more_body": not last})
        self._sent_at, self._sending_since = self._sending_since, None
        self._room.set()

    def _start_headers(self) -> Headers:
        return [
            (b"content-type", self._format.media_type.encode()),
            (b"cache-control", b"no-cache"),
            (b"x-accel-buffering", b"no"),
            *self._headers,
        ]

    async def _finish(self, producing: "asyncio.Task[None]") -> None:
        error = _error_of(producing)
        if error is not None and not self._started and not self._ready:
            raise error
        if error is not None:
            self._failed(error)
            await self._tell(error)
        self._held = False
        await self._flush(last=True)

    async def _tell(self, error: RpcError) -> None:
        if self._format.error is None:
            if self._ready:
                await self._flush()
            raise CutShort(error.reference)
        before, after = self._format.error
        self.write(before + encoded(error, self._dialect) + after)

    def _tick(self) -> None:
        """Every now and then: let the status go, fill a silence, give up a client that takes nothing."""
        now = time.monotonic()
        if self._sending_since is not None:
            if now - self._sending_since > STALL_SECONDS:
                self._stall.reschedule(asyncio.get_running_loop().time())
        elif self._format.heartbeat and (self._held or now - self._sent_at >= self._beat):
            self._held = False
            self._append(self._format.heartbeat)
        idle = 0.0 if self._sending_since is not None else now - self._sent_at
        delay = self._beat - idle if 0 < idle < self._beat else self._beat
        self._timer = asyncio.get_running_loop().call_later(delay, self._tick)


async def _call(produce: Callable[[ResponseStream], Awaitable[None]], stream: ResponseStream) -> None:
    await produce(stream)


def _error_of(producing: "asyncio.Task[None]") -> RpcError | None:
    error = producing.exception()
    if error is None or isinstance(error, RpcError):
        return error
    unexpected = RpcError(Code.INTERNAL, "The gateway made a mistake; the reference names it in the logs.")
    log.error("http.failed", reference=unexpected.reference, exc_info=error)
    return unexpected
