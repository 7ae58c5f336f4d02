"""nats-py's client with a straight way in and out for what carries calls; everything else is nats-py's.

nats-py hands what it reads to a task, that to a queue and a task of the subscription, and what is published to a queue
and a task that flushes. Each is a turn of the event loop, and at some hundred tokens per second a turn costs more than
the message (bus/design.md, "Turns of the loop"). A full queue also drops messages without telling the reader. Here
messages are taken while the bytes that came are in hand, and a turn's messages leave as one write.

It uses names of nats-py that are not public: its version is pinned, and the contract of transports holds it to them.
"""

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from nats.aio.client import DEFAULT_BUFFER_SIZE, Client, Srv
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.aio.transport import TcpTransport
from nats.errors import ConnectionClosedError, MaxPayloadError, OutboundBufferLimitError
from nats.protocol import command

from bus.transports import Letter

Take = Callable[[bytes, bytes, bytes, bytes], None]
"""Subject, payload, reply subject and header block of a message. Must not block."""

MAX_LINE = 4096
"""Bytes of a line of the server's at most, by its protocol."""

_MESSAGE = re.compile(rb"MSG ([^ ]+) (\d+) (?:([^ ]+) )?()(\d+)\r\n")
_WITH_HEADERS = re.compile(rb"HMSG ([^ ]+) (\d+) (?:([^ ]+) )?(\d+) (\d+)\r\n")
_INITIALS = (b"M", b"H")

log = structlog.get_logger(__name__)


class DirectClient(Client):
    """As nats-py's Client, with `send` and `hear` besides `publish` and `subscribe`; `stats` does not count these."""

    def __init__(self) -> None:
        super().__init__()
        self._takers: dict[bytes, Take] = {}

    # ---- out

    def send(self, letters: Sequence[Letter]) -> None:
        """Publish without waiting, as one write; order is kept with what was published before.

        While the server is away it waits for it, up to `pending_size` bytes; the same bound holds for what a server
        that is there does not read. Raises OutboundBufferLimitError, MaxPayloadError, ConnectionClosedError; then
        nothing was sent.
        """
        if self.is_closed:
            raise ConnectionClosedError
        lines = []
        for subject, payload, reply in letters:
            if len(payload) > self._max_payload:
                raise MaxPayloadError
            lines.append(command.pub_cmd(subject, reply, payload))
        data = b"".join(lines)
        if self.is_connected:
            self._write(data)
        else:
            self._keep(data)

    def _write(self, data: bytes) -> None:
        assert isinstance(self._transport, DirectTransport)
        writer = self._transport._io_writer
        assert writer is not None
        if writer.transport.get_write_buffer_size() > self._max_pending_size:
            raise OutboundBufferLimitError
        if self._pending:
            writer.writelines(self._pending)
            self._pending, self._pending_data_size = [], 0
        writer.write(data)

    def _keep(self, data: bytes) -> None:
        """Until the server is back: nats-py sends what is pending then."""
        if self._pending_data_size + len(data) > self._max_pending_size:
            raise OutboundBufferLimitError
        self._pending.append(data)
        self._pending_data_size += len(data)

    # ---- in

    async def hear(self, subject: str, take: Take, queue: str = "") -> Subscription:
        """Subscribe; `take` is called while the bytes that came are in hand, so it sees every message, and in order."""
        subscription = await self.subscribe(subject, queue=queue, cb=_nothing)
        # `subscribe` has only put its line in order; the server has not seen it yet, so nothing was missed.
        self._takers[b"%d" % subscription._id] = take
        return subscription

    def _remove_sub(self, sid: int, max_msgs: int = 0) -> None:
        self._takers.pop(b"%d" % sid, None)
        super()._remove_sub(sid, max_msgs)

    def take(self, data: bytes) -> tuple[int, bool]:
        """Hand over the messages at the beginning of `data` that `hear` asked for.

        Returns how many bytes they were, and whether what follows is the beginning of another one.
        """
        at = 0
        while at < len(data):
            found = _MESSAGE.match(data, at) or _WITH_HEADERS.match(data, at)
            if found is None:
                begun = data[at : at + 1] in _INITIALS and data.find(b"\n", at, at + MAX_LINE) < 0
                return at, begun and len(data) - at < MAX_LINE
            subject, sid, reply, headers, size = found.groups()
            take = self._takers.get(sid)
            if take is None:
                return at, False
            body = found.end()
            end = body + int(size)
            if end + 2 > len(data):
                return at, True
            at = end + 2
            payload = body + int(headers) if headers else body
            _hand_over(take, subject, data[payload:end], reply or b"", data[body:payload])
        return at, False

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: Any) -> None:
        """What nats-py has read itself, because something else came before it."""
        take = self._takers.get(b"%d" % sid)
        if take is None:
            await super()._process_msg(sid, subject, reply, data, headers)
        else:
            _hand_over(take, subject, data, reply, headers or b"")

    @property
    def reads(self) -> bool:
        """nats-py has bytes in hand that it has not understood yet: what comes now belongs behind them."""
        return bool(self._ps.buf)

    async def _connect_to_server(self, s: Srv) -> None:
        s.last_attempt = time.monotonic()
        self._transport = DirectTransport(self)
        await self._transport.connect(s.uri, DEFAULT_BUFFER_SIZE, self.options["connect_timeout"])


class DirectTransport(TcpTransport):
    """nats-py's TCP transport, whose bytes `DirectClient.take` sees first."""

    def __init__(self, client: DirectClient) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # nats-py's
        self._client = client

    async def connect(self, uri: Any, buffer_size: int, connect_timeout: int) -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=buffer_size)
        async with asyncio.timeout(connect_timeout):
            transport, protocol = await loop.create_connection(
                lambda: _DirectProtocol(reader, self._client), uri.hostname, uri.port
            )
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        self._bare_io_reader, self._bare_io_writer = reader, writer
        self._io_reader, self._io_writer = reader, writer

    async def connect_tls(self, uri: Any, ssl_context: Any, buffer_size: int, connect_timeout: int) -> None:
        assert self._io_writer is not None
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=buffer_size)
        protocol = _DirectProtocol(reader, self._client)
        name = uri if isinstance(uri, str) else uri.hostname
        async with asyncio.timeout(connect_timeout):
            transport = await loop.start_tls(self._io_writer.transport, protocol, ssl_context, server_hostname=name)
        assert transport is not None
        self._io_reader = reader
        self._io_writer = asyncio.StreamWriter(transport, protocol, reader, loop)


class _DirectProtocol(asyncio.StreamReaderProtocol):
    """Gives the client what is for it, and the stream reader, from which nats-py reads, all else."""

    def __init__(self, reader: asyncio.StreamReader, client: DirectClient) -> None:
        super().__init__(reader)
        self._unread: Any = reader
        self._client = client
        self._begun = b""

    def data_received(self, data: bytes) -> None:
        if self._begun:
            data, self._begun = self._begun + data, b""
        elif self._unread._buffer or self._client.reads:
            super().data_received(data)
            return
        taken, more = self._client.take(data)
        rest = data[taken:]
        if more:
            self._begun = rest
        elif rest:
            super().data_received(rest)


def _hand_over(take: Take, subject: bytes, payload: bytes, reply: bytes, headers: bytes) -> None:
    try:
        take(subject, payload, reply, headers)
    except Exception:  # it would end the reading of the connection
        log.exception("message.failed", subject=subject.decode(errors="replace"))


async def _nothing(message: Msg) -> None:
    """Never called: `hear` takes the messages before."""
