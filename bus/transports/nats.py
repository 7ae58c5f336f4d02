"""The bus on a NATS server, by nats-py."""

import asyncio
import secrets
import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import structlog
from nats.aio.subscription import Subscription as NatsSubscription
from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError, OutboundBufferLimitError

from bus import subjects
from bus.errors import Code, RpcError
from bus.transports import Handler, Letter, Message, too_large
from bus.transports.direct_client import DirectClient

RECONNECT_SECONDS = 0.05
"""Between two attempts; nats-py's own two seconds would be the whole outage."""

PENDING_BYTES = 8 * 1024 * 1024
"""What may wait for the server while it is away."""

_NO_RESPONDERS = b"NATS/1.0 503"
"""First words of the headers of the server's answer when nobody listens."""

log = structlog.get_logger(__name__)


class NatsTransport:
    """One process's connection to NATS. Made by `connect`."""

    def __init__(self, process: str) -> None:
        self.process = f"{subjects.token(process)}-{secrets.token_hex(4)}"
        self.epoch = int(time.time() * 10) & 0xFFFFFFFF
        self.client = DirectClient()
        self._reconnected: list[Callable[[], None]] = []

    @classmethod
    async def connect(
        cls, url: str, process: str, *, tls: ssl.SSLContext | None = None, timeout: float = 5.0, **credentials: Any
    ) -> "NatsTransport":
        """Join the bus as `process` (a random suffix makes it unique).

        credentials: nats-py's own `user`, `password`, `token`, `user_credentials`. timeout: seconds. Raises
        UNAVAILABLE if no server answers or it refuses the credentials.
        """
        self = cls(process)
        options: dict[str, Any] = {"tls": tls} if tls else {}
        try:
            async with asyncio.timeout(timeout):
                await self.client.connect(
                    servers=url.split(","),
                    name=self.process,
                    reconnect_time_wait=RECONNECT_SECONDS,  # type: ignore[arg-type]  # any number of seconds works
                    max_reconnect_attempts=-1,
                    pending_size=PENDING_BYTES,
                    allow_reconnect=True,
                    skip_subject_validation=True,
                    error_cb=self._error,
                    reconnected_cb=self._on_reconnected,
                    disconnected_cb=_disconnected,
                    **options,
                    **credentials,
                )
        except (NatsError, OSError, TimeoutError) as error:
            await self.client.close()
            raise unreachable(url, self.client.last_error or error) from error
        return self

    def publish(self, subject: str, payload: bytes, reply: str = "") -> None:
        self.publish_all(((subject, payload, reply),))

    def publish_all(self, letters: Sequence[Letter]) -> None:
        try:
            self.client.send(letters)
        except OutboundBufferLimitError as error:
            raise RpcError(Code.UNAVAILABLE, "The bus is away, and what waits for it is at its limit.") from error
        except MaxPayloadError as error:
            raise too_large(max(len(payload) for _, payload, _ in letters)) from error
        except NatsError as error:
            raise lost(error) from error

    async def subscribe(self, subject: str, handler: Handler, queue: str = "") -> "_Subscription":
        def take(subject: bytes, payload: bytes, reply: bytes, headers: bytes) -> None:
            unheard = not payload and headers.startswith(_NO_RESPONDERS)
            handler(Message(subject.decode(), payload, reply.decode(), unheard))

        try:
            subscription = await self.client.hear(subject, take, queue)
        except NatsError as error:
            raise lost(error) from error
        await self.flush()
        return _Subscription(subscription)

    def on_reconnect(self, callback: Callable[[], None]) -> None:
        self._reconnected.append(callback)

    async def _on_reconnected(self) -> None:
        log.info("bus.reconnected", process=self.process)
        for callback in self._reconnected:
            callback()

    async def _error(self, error: Exception) -> None:
        if isinstance(error, OSError):  # one of many attempts to reconnect; that the bus is away was said
            log.debug("bus.unreachable", process=self.process, error=repr(error))
        else:
            log.warning("bus.error", process=self.process, error=repr(error))

    async def flush(self) -> None:
        try:
            # nats-py writes the PING of a flush before what is still pending, a subscription for example. The second
            # PING is behind it.
            await self.client.flush()
            await self.client.flush()
        except (NatsError, OSError) as error:
            raise lost(error) from error

    async def close(self) -> None:
        if not self.client.is_closed:
            # The server is away, and cannot be told. RuntimeError is uvloop's word for a socket that is closed.
            with suppress(NatsError, OSError, RuntimeError):
                await self.client.close()


class _Subscription:
    def __init__(self, subscription: NatsSubscription) -> None:
        self._subscription = subscription

    async def unsubscribe(self) -> None:
        with suppress(NatsError):  # the connection is closed, and the subscription with it
            await self._subscription.unsubscribe()


async def _disconnected() -> None:
    log.info("bus.disconnected")


def lost(error: BaseException) -> RpcError:
    """The server does not answer now."""
    return RpcError(Code.UNAVAILABLE, f"The bus cannot be reached: {error!r}.", reason="BUS_UNREACHABLE")


def unreachable(url: str, error: BaseException) -> RpcError:
    """No server there, or not for us."""
    why = str(error) or type(error).__name__
    host = url.rpartition("@")[2]
    return RpcError(
        Code.UNAVAILABLE,
        f"No NATS server answers at {host} ({why}). Start one with `troupe up`, or set NATS_URL and the credentials "
        "in [bus].",
        reason="BUS_UNREACHABLE",
        retry_after=1.0,
    )
