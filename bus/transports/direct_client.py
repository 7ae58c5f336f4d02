"""nats-py's client with a straight way in and out for what carries calls; everything else is nats-py's.

nats-py hands a message to a queue and a task of its subscription, and what is published to a queue and a task that
flushes. Both are turns of the event loop, and at a few hundred tokens per second each turn costs more than the message
(see bus/design.md, "The bus client"). The queue also drops messages without telling the reader. Uses names of
nats-py that are not public, so its version is pinned, and the contract of transports is tested against it.
"""

from collections.abc import Callable
from typing import Any

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.aio.transport import TcpTransport
from nats.errors import ConnectionClosedError, MaxPayloadError, OutboundBufferLimitError
from nats.protocol import command

Take = Callable[[bytes, bytes, bytes, bytes | None], None]
"""Subject, payload, reply subject and header block of a message. Must not block."""

log = structlog.get_logger(__name__)


class DirectClient(Client):
    """As nats-py's Client, with `send` and `hear` besides `publish` and `subscribe`."""

    def __init__(self) -> None:
        super().__init__()
        self._takers: dict[int, Take] = {}

    def send(self, subject: str, payload: bytes, reply: str = "") -> None:
        """Publish without waiting; order is kept with what was published before.

        While the server is away it waits for it, up to `pending_size` bytes; the same bound holds for what a server
        that is there does not read. Raises OutboundBufferLimitError, MaxPayloadError, ConnectionClosedError.
        """
        if self.is_closed:
            raise ConnectionClosedError
        if len(payload) > self._max_payload:
            raise MaxPayloadError
        line = command.pub_cmd(subject, reply, payload)
        if not self.is_connected:
            self._wait_for_server(line)
            return
        assert isinstance(self._transport, TcpTransport)  # NatsTransport takes no other kind of address
        writer = self._transport._io_writer
        assert writer is not None
        if writer.transport.get_write_buffer_size() > self._max_pending_size:
            raise OutboundBufferLimitError
        if self._pending:
            writer.writelines(self._pending)
            self._pending, self._pending_data_size = [], 0
        writer.write(line)  # the event loop joins what is written within one turn
        self.stats["out_msgs"] += 1
        self.stats["out_bytes"] += len(payload)

    def _wait_for_server(self, line: bytes) -> None:
        if self._pending_data_size + len(line) > self._max_pending_size:
            raise OutboundBufferLimitError
        self._pending.append(line)
        self._pending_data_size += len(line)

    async def hear(self, subject: str, take: Take, queue: str = "") -> Subscription:
        """Subscribe; `take` is called while the bytes that came are read, so it sees every message, and in order."""
        subscription = await self.subscribe(subject, queue=queue, cb=_nothing)
        # `subscribe` has only put its line in order; the server has not seen it yet, so nothing was missed.
        self._takers[subscription._id] = take
        return subscription

    def _remove_sub(self, sid: int, max_msgs: int = 0) -> None:
        self._takers.pop(sid, None)
        super()._remove_sub(sid, max_msgs)

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: Any) -> None:
        take = self._takers.get(sid)
        if take is None:
            await super()._process_msg(sid, subject, reply, data, headers)
            return
        self.stats["in_msgs"] += 1
        self.stats["in_bytes"] += len(data)
        try:
            take(subject, data, reply, headers)
        except Exception:  # it would end the reading of the connection
            log.exception("message.failed", subject=subject.decode(errors="replace"))


async def _nothing(message: Msg) -> None:
    """Never called: `hear` takes the messages before."""
