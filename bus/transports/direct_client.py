"""nats-py's client with a straight way in and out for what carries calls; everything else is nats-py's.

nats-py hands a message to a queue and a task of its subscription, and what is published to a queue and a task that
flushes. Both are turns of the event loop, and at a few hundred tokens per second each turn costs more than the message
(see bus/design.md, "The bus client"). The queue also drops messages without telling the reader. Uses names of
nats-py that are not public, so its version is pinned, and the contract of transports is tested against it.
"""

from collections.abc import Callable, Sequence
from typing import Any

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.aio.transport import TcpTransport
from nats.errors import ConnectionClosedError, MaxPayloadError, OutboundBufferLimitError
from nats.protocol import command

from bus.transports import Letter

Take = Callable[[bytes, bytes, bytes, bytes | None], None]
"""Subject, payload, reply subject and header block of a message. Must not block."""

log = structlog.get_logger(__name__)


class DirectClient(Client):
    """As nats-py's Client, with `send` and `hear` besides `publish` and `subscribe`."""

    def __init__(self) -> None:
        super().__init__()
        self._takers: dict[int, Take] = {}

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
        self.stats["out_msgs"] += len(lines)
        self.stats["out_bytes"] += len(data)

    def _write(self, data: bytes) -> None:
        assert isinstance(self._transport, TcpTransport)  # NatsTransport takes no other kind of address
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
