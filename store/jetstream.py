"""The way to JetStream: acknowledged writes that are repeated without doubling, and errors as RpcError."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from google.protobuf.message import DecodeError, Message
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import ConnectionClosedError, MaxPayloadError, NoRespondersError, OutboundBufferLimitError
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.api import Header, StreamConfig
from nats.js.client import JetStreamContext
from nats.js.errors import APIError, NoStreamResponseError, NotFoundError, ServerError, ServiceUnavailableError

from bus.errors import Code, RpcError

PATIENCE_SECONDS = 10.0
"""How long an operation is tried while the server is away."""

TRY_SECONDS = 2.0
"""One try."""

RETRY_SECONDS = 0.1
"""Between two tries."""

TYPE_HEADER = "Troupe-Type"
"""Header of an event: the full name of its message."""

TYPE_MARK = "troupe-type"
"""In the metadata of a stream whose messages are all of one type: its full name."""

_WRONG_REVISION = (10071, 10164)
_FULL = (10023, 10047, 10077, 10122)
_TOO_LARGE = (10054,)
_NAME_IN_USE = 10058
_TRANSIENT = (
    NatsTimeoutError,
    NoRespondersError,
    NoStreamResponseError,
    ServiceUnavailableError,
    OutboundBufferLimitError,
)

M = TypeVar("M", bound=Message)
T = TypeVar("T")


class WrongRevisionError(Exception):
    """What was to be replaced has changed, or what was to be created exists."""


class JetStream:
    """Streams, on a connection that someone else opens and closes.

    patience: seconds for which an operation is repeated while the server does not answer.
    """

    def __init__(self, client: Client, *, patience: float = PATIENCE_SECONDS) -> None:
        self.client = client
        self.context = client.jetstream(timeout=TRY_SECONDS)
        self.quarantined = 0
        """Events that readers of this process have set aside."""
        self._patience = patience

    @property
    def reconnects(self) -> int:
        """How often the connection was lost and came back."""
        return int(self.client.stats["reconnects"])

    async def publish(
        self, subject: str, payload: bytes, headers: Mapping[str, str] | None = None, message_id: str = ""
    ) -> tuple[int, bool]:
        """Store a message; returns its sequence number, and True if it had been stored before under this id.

        It is repeated under one message id until the server acknowledges it, so it is stored once (within the
        stream's duplicate window). Raises UNAVAILABLE (STORE_UNAVAILABLE): it may or may not have been stored;
        WrongRevisionError where `headers` expect another state.
        """
        tagged = {**(headers or {}), Header.MSG_ID.value: message_id or secrets.token_urlsafe(12)}
        ack = await self.repeat(lambda: self.context.publish(subject, payload, headers=dict(tagged)))
        return ack.seq, bool(ack.duplicate)

    async def repeat(self, operation: Callable[[], Awaitable[T]]) -> T:
        """Do something that may be done twice, until the server answers. Raises its errors as RpcError."""
        ends = time.monotonic() + self._patience
        while True:
            try:
                return await operation()
            except _TRANSIENT as error:
                if isinstance(error, APIError) and error.err_code in _FULL:  # said with the code of "away"
                    raise translated(error) from error
                if time.monotonic() > ends:
                    raise unavailable(error) from error
            except (NatsError, ConnectionClosedError) as error:
                raise translated(error) from error
            await asyncio.sleep(RETRY_SECONDS)

    async def ensure(self, config: StreamConfig, kind: type[Message] | None = None) -> None:
        """Make the stream, or bring an existing one to this configuration.

        kind: what all its messages are. Raises FAILED_PRECONDITION (STORED_TYPE_DIFFERS) if they are something else.
        """
        name = str(config.name)
        if kind is not None:
            await self.holds(name, kind)
            config = config.evolve(metadata=_marked(kind))
        try:
            await self.repeat(lambda: self.context.add_stream(config))
        except NameInUseError:
            if kind is not None:  # somebody else may have made it meanwhile
                await self.holds(name, kind)
            await self.repeat(lambda: self.context.update_stream(config))

    async def holds(self, stream: str, kind: type[Message]) -> bool:
        """Whether there is such a stream, of messages of this type; one that does not say gets the mark.

        Raises FAILED_PRECONDITION (STORED_TYPE_DIFFERS) if it holds others.
        """

        async def known() -> StreamConfig | None:
            try:
                return (await self.context.stream_info(stream)).config
            except NotFoundError:
                return None

        config = await self.repeat(known)
        if config is None:
            return False
        held = (config.metadata or {}).get(TYPE_MARK)
        if held is None:
            marked = {**(config.metadata or {}), **_marked(kind)}
            await self.repeat(lambda: self.context.update_stream(config.evolve(metadata=marked)))
        elif held != kind.DESCRIPTOR.full_name:
            raise other_type(stream, held, kind)
        return True

    async def next_batch(
        self, subscription: JetStreamContext.PullSubscription, count: int, timeout: float = TRY_SECONDS
    ) -> list[Msg]:
        """Up to `count` messages of a pull consumer; none if none came in `timeout` seconds, also while it is away.

        Raises UNAVAILABLE (STORE_UNAVAILABLE) if the connection was closed for good.
        """
        try:
            return await subscription.fetch(count, timeout=timeout)
        except _TRANSIENT:
            if self.client.is_closed:
                raise unavailable(ConnectionClosedError()) from None
            if not self.client.is_connected:
                await asyncio.sleep(RETRY_SECONDS)
            return []
        except NatsError as error:
            raise translated(error) from error

    async def give_back(self, messages: Iterable[Msg]) -> None:
        """Let others have them at once."""
        with suppress(NatsError):  # else they come again after their time
            for message in messages:
                await message.nak()

    async def leave(self, subscription: JetStreamContext.PullSubscription) -> None:
        """Unsubscribe; does nothing where the connection is gone."""
        with suppress(NatsError):
            await subscription.unsubscribe()


class NameInUseError(Exception):
    """The stream exists with another configuration."""


def translated(error: Exception) -> Exception:
    """JetStream's error as ours."""
    code = error.err_code if isinstance(error, APIError) else None
    if code in _WRONG_REVISION:
        return WrongRevisionError()
    if code == _NAME_IN_USE:
        return NameInUseError()
    if isinstance(error, MaxPayloadError) or code in _TOO_LARGE:
        return RpcError(
            Code.RESOURCE_EXHAUSTED, "The value is larger than the store takes.", reason="MESSAGE_TOO_LARGE"
        )
    if code in _FULL:
        return RpcError(
            Code.RESOURCE_EXHAUSTED,
            f"The store is full ({error}); delete something or give it more room.",
            reason="STORE_FULL",
        )
    if isinstance(error, ServerError):
        return RpcError(Code.INTERNAL, f"The store failed: {error}.", reason="STORE_FAILED")
    return unavailable(error)


def unavailable(error: BaseException) -> RpcError:
    """The server did not answer."""
    return RpcError(
        Code.UNAVAILABLE,
        f"The store does not answer ({type(error).__name__}); see whether the NATS server runs with JetStream.",
        reason="STORE_UNAVAILABLE",
        retry_after=1.0,
    )


def _marked(kind: type[Message]) -> dict[str, str]:
    return {TYPE_MARK: kind.DESCRIPTOR.full_name}


def other_type(where: str, held: str, kind: type[Message]) -> RpcError:
    """Somebody else keeps something else under this name."""
    wanted: str = kind.DESCRIPTOR.full_name
    return RpcError(
        Code.FAILED_PRECONDITION,
        f"{where} holds {held}, and was opened for {wanted}; give one of the two another name.",
        reason="STORED_TYPE_DIFFERS",
        metadata={"held": held, "wanted": wanted},
    )


def decoded(kind: type[M], data: bytes | None, where: str) -> M:
    """A stored message. Raises DATA_LOSS (STORED_VALUE_UNREADABLE)."""
    try:
        return kind.FromString(data or b"")
    except DecodeError as error:
        name: Any = kind.DESCRIPTOR.full_name
        raise RpcError(
            Code.DATA_LOSS, f"What is stored at {where} is no {name}.", reason="STORED_VALUE_UNREADABLE"
        ) from error
