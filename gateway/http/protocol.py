"""uvicorn's protocols with bounds on a request's head and on what waits for a client, which uvicorn does not have.

What uvicorn answers by itself is typed here, and a client of HTTP/1.0 gets a body that ends with the connection, since
it knows no chunks.
"""

import asyncio
import re
import socket
from collections.abc import Container, Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame

from bus import RpcError, invalid
from gateway import access_log
from gateway.http.errors import status_of
from gateway.http.problem import PROBLEM_TYPE, encoded

MAX_HEAD_BYTES = 64 * 1024
"""Of the request line and all headers together."""

MAX_HEADERS = 128

HEAD_SECONDS = 30.0
"""A connection that does not finish a request's head in this time is closed."""

LOOK_SECONDS = 20.0
"""Between two looks at what waits to be written."""

LOOKS = 3
"""A connection is cut when so many looks have seen that its client takes nothing of what waits for it."""

MAX_WAITING_BYTES = 32 * 1024 * 1024
"""More than the largest answer. A client for which so much waits, and which sends pings all the same, is cut."""

MAX_FRAGMENTS = 64 * 1024
"""Parts of one WebSocket message, which may be empty and so never reach the limit of its size."""

MAX_UNSENT_BYTES = 128 * 1024
"""Of a WebSocket in the system's buffers, besides what is on the line. Left alone they take some megabytes."""

_ABSOLUTE = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://([^/?#]*)")

log = structlog.get_logger(__name__)


class BoundedHttpProtocol(HttpToolsProtocol):
    """Closes connections whose request heads are too large or too slow, and cuts those whose clients stop reading."""

    always: Container[bytes] = frozenset()
    """Paths that are answered also while there are as many connections as there may be."""

    _head_bytes = 0
    _in_head = True
    _refused = False
    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        self._await_head()
        StallWatch(transport, self.loop)

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_came()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._refuse(_head_too_large(f"is over {MAX_HEAD_BYTES:,} bytes"))

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, in the words of all other errors."""
        self._refuse(_refusal(msg))

    def _refuse(self, error: RpcError) -> None:
        body = encoded(error)
        head = b"content-type: %s\r\ncontent-length: %d\r\n" % (PROBLEM_TYPE.encode(), len(body))
        self.transport.write(STATUS_LINE[status_of(error)] + head + b"connection: close\r\n\r\n" + body)
        self.transport.close()
        peer = access_log.peer(self.client)
        log.info("http.refused", reason=error.reason, reference=error.reference, peer=peer)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._await_head()

    def on_headers_complete(self) -> None:
        self._head_came()
        if error := _excess(self.headers):
            self._refused = True
            self._refuse(error)
            return
        self._heed_target()
        before = self.cycle
        with self._admitted():
            super().on_headers_complete()
        if self.cycle is not before:
            if self.parser.get_http_version() == "1.0":
                _end_with_connection(self.cycle)
            hold_head(self.cycle)

    def _heed_target(self) -> None:
        """Let a request line with a whole URL say whom it is for, as HTTP has it, and not the Host header beside it."""
        target = _ABSOLUTE.match(bytes(self.url))
        if target is None:
            return
        if self.parser.get_http_version() == "1.0" and all(name != b"host" for name, _ in self.headers):
            self.headers.append((b"host", target[1]))
        self.headers[:] = [(name, target[1] if name == b"host" else value) for name, value in self.headers]

    @contextmanager
    def _admitted(self) -> Iterator[None]:
        """Without uvicorn's own limit of connections for paths that always answer."""
        limit = self.limit_concurrency
        if bytes(self.url).partition(b"?")[0] in self.always:
            self.limit_concurrency = None
        try:
            yield
        finally:
            self.limit_concurrency = limit

    def on_body(self, body: bytes) -> None:
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if not self._refused:
            super().on_message_complete()
        self._in_head, self._head_bytes = True, 0

    def _await_head(self) -> None:
        self._in_head = True
        if self._patience is None:
            self._patience = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _head_came(self) -> None:
        self._in_head, self._head_bytes = False, 0
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _give_up(self) -> None:
        self._patience = None
        if not self.transport.is_closing():
            self.transport.close()


def _excess(headers: list[tuple[bytes, bytes]]) -> RpcError | None:
    """What is too much of a head that came whole, and so fast that nobody could count before."""
    if len(headers) > MAX_HEADERS:
        return _head_too_large(f"has {len(headers):,} headers; {MAX_HEADERS} may be sent")
    if sum(len(name) + len(value) for name, value in headers) > MAX_HEAD_BYTES:
        return _head_too_large(f"is over {MAX_HEAD_BYTES:,} bytes")
    return None


def _head_too_large(what: str) -> RpcError:
    return invalid(f"The request's head {what}.", reason="HEAD_TOO_LARGE")


def _refusal(message: str) -> RpcError:
    if message.startswith("Invalid HTTP"):
        message = "This is no HTTP/1.1 request that can be read; check its request line, headers and body length."
    return invalid(message, reason="INVALID_HTTP")


def _end_with_connection(cycle: Any) -> None:
    """Let a response's body be what comes until the connection closes. cycle: uvicorn's, before it has begun."""
    send = cycle.send
    cycle.chunked_encoding = False

    async def unchunked(message: Any) -> None:
        cycle.expected_content_length = len(message.get("body", b""))
        await send(message)

    cycle.send = unchunked


def hold_head(cycle: Any) -> None:
    """Let the head of a response leave with the first of its body. cycle: uvicorn's, before it has begun.

    Alone it wakes the client for nothing, and where cores are few the client runs before the first token goes out.
    """
    if cycle.scope["method"] != "HEAD":  # has no body that the head could wait for
        cycle.transport = _HeldHead(cycle)


class _HeldHead:
    """A cycle's way to its connection, until the first of the body has gone."""

    def __init__(self, cycle: Any) -> None:
        self._cycle = cycle
        self._transport = cycle.transport
        self._head = b""

    def write(self, data: bytes) -> None:
        """Keep the head, and let it go with what follows it."""
        if not self._cycle.response_started:  # "100 Continue"
            self._transport.write(data)
        elif not self._head:
            self._head = data
        else:
            self._cycle.transport = self._transport
            self._transport.writelines([self._head, data])

    def close(self) -> None:
        """The response breaks off."""
        if self._head:
            self._cycle.transport = self._transport
            self._transport.write(self._head)
        self._transport.close()

    def is_closing(self) -> bool:
        """As the connection's."""
        return bool(self._transport.is_closing())


class BoundedWebSocketProtocol(WebSocketsSansIOProtocol):
    """Ends connections whose clients make the hub hold what no limit of messages counts.

    Little waits in the system's buffers, where calls cannot take turns any more.
    """

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        plain = transport.get_extra_info("socket")
        if plain is not None and plain.family in (socket.AF_INET, socket.AF_INET6):
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, MAX_UNSENT_BYTES)

    def handle_ping(self) -> None:
        super().handle_ping()
        if self.transport.get_write_buffer_size() > MAX_WAITING_BYTES:
            self.transport.abort()

    async def send(self, message: Any) -> None:
        """As uvicorn's, which takes a handshake that was refused with a response for one that nobody answered."""
        await super().send(message)
        if self.initial_response is not None and self.close_sent:
            self.handshake_complete = True

    def handle_cont(self, event: Frame) -> None:
        super().handle_cont(event)
        if len(self.frames) > MAX_FRAGMENTS:
            self.conn.fail(CloseCode.MESSAGE_TOO_BIG, f"more than {MAX_FRAGMENTS:,} fragments")
            self.handle_parser_exception()


class StallWatch:
    """Cuts a connection whose client takes nothing of what waits for it, also while it is being closed.

    `close` waits for what was written; from a client that never reads it would never return. Lasts as long as the
    connection, whichever protocol has it.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._waiting = 0
        self._seen = 0
        self._look_again()

    def _look_again(self) -> None:
        self._loop.call_later(LOOK_SECONDS, self._look)

    def _look(self) -> None:
        waiting = self._transport.get_write_buffer_size()
        if not waiting and self._transport.is_closing():
            return
        self._seen = self._seen + 1 if waiting and waiting == self._waiting else 0
        self._waiting = waiting
        if self._seen == LOOKS - 1:
            self._transport.abort()
        else:
            self._look_again()
