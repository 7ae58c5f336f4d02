"""The bus on a NATS server, by nats-py."""

import asyncio
import re
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
from bus.errors import Code, RpcError, invalid
from bus.transports import Handler, Letter, Message, too_large
from bus.transports.direct_client import DirectClient

RECONNECT_SECONDS = 0.05
"""Between two attempts; nats-py's own two seconds would be the whole outage."""

DRAIN_SECONDS = 1.0
"""How long what is on its way to a subscription that ends is waited for."""

SCHEMES = ("nats", "tls")
"""nats-py's WebSocket is left out: calls go past its transports (direct_client.py)."""

GIVE_UP_SECONDS = 0.2
"""For closing a connection that could not be made."""

PENDING_BYTES = 8 * 1024 * 1024
"""What may wait for the server while it is away."""

_NO_RESPONDERS = b"NATS/1.0 503"
"""First words of the headers of the server's answer when nobody listens."""

log = structlog.get_logger(__name__)


class PlainText(NatsError):
    """The server does not ask for TLS, and this process does."""


class _Client(DirectClient):
    def _connect_command(self) -> bytes:
        # nats-py encrypts if the server asks for it. Whoever stands between could leave that out and hear the password.
        if self.options.get("tls") and not self._server_info.get("tls_required"):
            raise PlainText("the server does not ask for TLS")
        return super()._connect_command()


class NatsTransport:
    """One process's connection to NATS. Made by `connect`."""

    def __init__(self, process: str) -> None:
        self.process = f"{subjects.token(process)}-{secrets.token_hex(4)}"
        self.epoch = int(time.time() * 10) & 0xFFFFFFFF
        self.client = _Client()
        self._reconnected: list[Callable[[], None]] = []
        self._url = ""
        self._joined = False
        self._refusals = 0
        self._warned = ""

    @classmethod
    async def connect(
        cls, url: str, process: str, *, tls: ssl.SSLContext | None = None, timeout: float = 5.0, **credentials: Any
    ) -> "NatsTransport":
        """Join the bus as `process` (a random suffix makes it unique).

        credentials: nats-py's own `user`, `password`, `token`, `user_credentials`. timeout: seconds. Raises
        UNAVAILABLE (BUS_UNREACHABLE) if no server answers in time; and as soon as the servers that answer do not come
        into question, UNAUTHENTICATED (BUS_REFUSED) or FAILED_PRECONDITION (BUS_UNTRUSTED). INVALID_ARGUMENT for an
        address of another kind than nats:// and tls://.
        """
        for address in url.split(","):
            scheme, separator, _ = address.partition("://")
            if separator and scheme not in SCHEMES:
                raise invalid(
                    f"The bus cannot be reached by {scheme}://; give its address as nats:// or tls://.", "url"
                )
        self = cls(process)
        self._url = url
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
        except RpcError:
            await self._give_up()
            raise
        except (NatsError, OSError, TimeoutError) as error:
            await self._give_up()
            raise unreachable(url, self.client.last_error or error) from error
        self._joined = True
        return self

    async def _give_up(self) -> None:
        # After a TLS handshake that failed, asyncio waits for ever for the connection's end.
        with suppress(TimeoutError):
            async with asyncio.timeout(GIVE_UP_SECONDS):
                await self.client.close()

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
        if self.client.is_connected:  # else it is made anew with the connection, before anything can come
            await self.flush()
        return _Subscription(self.client, subscription)

    def on_reconnect(self, callback: Callable[[], None]) -> None:
        self._reconnected.append(callback)

    async def _on_reconnected(self) -> None:
        log.info("bus.reconnected", process=self.process)
        self._warned = ""
        for callback in self._reconnected:
            callback()

    async def _error(self, error: Exception) -> None:
        refusal = refused(self._url, error)
        if refusal is not None and not self._joined:
            # nats-py would try again until the time is over. What is raised here ends its `connect`.
            self._refusals += 1
            if self._refusals >= len(self._url.split(",")):
                raise refusal
        told = str(refusal or repr(error))
        if told == self._warned or (isinstance(error, OSError) and refusal is None):
            # One of many attempts to reconnect; that the bus is away, and why, was said.
            log.debug("bus.unreachable", process=self.process, error=told)
        else:
            self._warned = told
            log.warning("bus.error", process=self.process, error=told)

    async def flush(self) -> None:
        if not self.client.is_connected:  # nats-py would return, as if everything had gone out
            raise lost(self.client.last_error or ConnectionError("the connection is interrupted"))
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
    def __init__(self, client: DirectClient, subscription: NatsSubscription) -> None:
        self._client = client
        self._subscription = subscription

    async def unsubscribe(self) -> None:
        with suppress(NatsError):  # the connection is closed, and the subscription with it
            await self._subscription.unsubscribe()

    async def drain(self) -> None:
        if not self._client.is_connected:
            await self.unsubscribe()
            return
        with suppress(NatsError, OSError, TimeoutError):  # the server hangs or has just gone
            async with asyncio.timeout(DRAIN_SECONDS):
                # nats-py's own drain forgets the subscription after one PING, which it writes before the UNSUB: what
                # the server still sends until it has read that would vanish, and its callers wait for an acceptance.
                await self._client._send_unsubscribe(self._subscription._id)
                await self._client.flush()
                await self._client.flush()
                await self._subscription.drain()  # type: ignore[no-untyped-call]  # nats-py does not say what it returns


async def _disconnected() -> None:
    log.info("bus.disconnected")


def lost(error: BaseException) -> RpcError:
    """The server does not answer now."""
    return RpcError(Code.UNAVAILABLE, f"The bus cannot be reached: {error!r}.", reason="BUS_UNREACHABLE")


def refused(url: str, error: BaseException) -> RpcError | None:
    """A server answers, but one of the two sides does not want the other, which trying again does not change."""
    server = f"The NATS server at {url.rpartition('@')[2]}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return RpcError(
            Code.FAILED_PRECONDITION,
            f"{server} has a certificate that is not trusted here ({error.verify_message}). Set [bus] tls_ca to the "
            "certificate of the authority that signed it, and name the server in `url` as its certificate does.",
            reason="BUS_UNTRUSTED",
        )
    if isinstance(error, PlainText):
        return RpcError(
            Code.FAILED_PRECONDITION,
            f"{server} does not ask for TLS, and the settings do; no password was sent to it. Turn TLS on there, or "
            "take tls_ca, tls_cert and tls:// out of [bus].",
            reason="BUS_UNTRUSTED",
        )
    if isinstance(error, ssl.SSLError):
        return RpcError(
            Code.UNAUTHENTICATED,
            f"{server} ends the TLS handshake ({error.reason or error}). It may ask for a certificate: set [bus] "
            "tls_cert and tls_key.",
            reason="BUS_REFUSED",
        )
    if isinstance(error, NatsError) and "auth" in str(error).lower():
        return RpcError(
            Code.UNAUTHENTICATED,
            f"{server} does not let this process in ({str(error).removeprefix('nats: ')}). Check user, password, token "
            "and credentials_file in [bus], or the user and password in NATS_URL.",
            reason="BUS_REFUSED",
        )
    return None


_NUMBER = re.compile(r"\[Errno -?\d+\] ")
"""Of an error of the system, which says the same in words behind it."""


def unreachable(url: str, error: BaseException) -> RpcError:
    """No server there, or not for us."""
    why = _NUMBER.sub("", str(error)) or type(error).__name__
    host = url.rpartition("@")[2]
    return RpcError(
        Code.UNAVAILABLE,
        f"No NATS server answers at {host} ({why}). Start that server, or name another in NATS_URL or [bus] url; where "
        "neither names one, `troupe up` runs its own.",
        reason="BUS_UNREACHABLE",
        retry_after=1.0,
    )
