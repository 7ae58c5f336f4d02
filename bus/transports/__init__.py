"""What carries frames between processes. The contract of a transport is bus.testing.transport_contract."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from bus.errors import Code, RpcError


@dataclass(slots=True)
class Message:
    """What came on a subject.

    reply: where an answer goes; empty: nowhere. no_responders: not a message but the bus's word that nobody listens
    where the last message with this reply subject went.
    """

    subject: str
    payload: bytes
    reply: str = ""
    no_responders: bool = False


Handler = Callable[[Message], None]

Letter = tuple[str, bytes, str]
"""Subject, payload and reply subject of a message on its way out."""


MAX_PAYLOAD = 1024 * 1024
"""Bytes of one message; a NATS server's own default."""


def too_large(size: int) -> RpcError:
    """One message is above MAX_PAYLOAD. Frames never are; this is the last word, at the sender."""
    return RpcError(
        Code.RESOURCE_EXHAUSTED,
        f"{size:,} bytes are too many for one message of the bus; it takes {MAX_PAYLOAD:,}.",
        reason="MESSAGE_TOO_LARGE",
    )


class Subscription(Protocol):
    """A wish to hear a subject."""

    async def unsubscribe(self) -> None:
        """No message that is published after this returns is delivered; one that is on its way may be lost."""

    async def drain(self) -> None:
        """Unsubscribe, but hear what is on its way first. While the bus is away, nothing is waited for."""


class Transport(Protocol):
    """At most once, in order per publisher and subject, unless the connection breaks.

    process: names this process on the bus. epoch: which run of it this is, over 0.
    """

    process: str
    epoch: int

    def publish(self, subject: str, payload: bytes, reply: str = "") -> None:
        """Send, without waiting for it to leave. With `reply`, that subject hears at once if nobody listens.

        Buffers while disconnected, within bounds. Raises RESOURCE_EXHAUSTED (MESSAGE_TOO_LARGE), UNAVAILABLE.
        """

    def publish_all(self, letters: Sequence[Letter]) -> None:
        """As `publish` for each, in order, as one write. If it raises, none or some were sent."""

    async def subscribe(self, subject: str, handler: Handler, queue: str = "") -> Subscription:
        """Hear a subject; `*` stands for one token. Of a queue group one member gets each message.

        The handler must not block. Once this returns, what others publish is delivered; while the bus is away, from
        the reconnection on.
        """

    def on_reconnect(self, callback: Callable[[], None]) -> None:
        """Call this after each interruption of the connection."""

    async def flush(self) -> None:
        """What was published before has reached the bus. Raises UNAVAILABLE if it cannot be reached."""

    async def close(self) -> None:
        """Flush, then leave the bus. Closing twice does nothing."""
