"""How much the doors let through at once. What is over a limit is refused at once, never queued."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from bus import Code, RpcError
from gateway.settings import LimitSettings

RETRY_SECONDS = 1.0

MAX_BODIES_BYTES = 1024 * 1024 * 1024
"""Of all bodies that are being read. They take no places of calls yet, so that slow ones keep nobody out."""


class Places:
    """A number of places. Each `with` takes one and gives it back however the block ends, cancellation included.

    in_use: places that are taken now.
    """

    __slots__ = ("_limit", "_message", "_reason", "in_use")

    def __init__(self, limit: int, reason: str, message: str) -> None:
        self.in_use = 0
        self._limit = limit
        self._reason = reason
        self._message = message

    def __enter__(self) -> None:
        """Raises RESOURCE_EXHAUSTED when all places are taken; then none is taken."""
        if self.in_use >= self._limit:
            message = self._message.format(limit=self._limit)
            raise RpcError(Code.RESOURCE_EXHAUSTED, message, reason=self._reason, retry_after=RETRY_SECONDS)
        self.in_use += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.in_use -= 1


class Holding:
    """What one body takes of the bytes that all bodies under way may have; a context that gives it back."""

    __slots__ = ("_limits", "_size")

    def __init__(self, limits: "Limits") -> None:
        self._limits = limits
        self._size = 0

    def take(self, size: int) -> None:
        """So many bytes have come. Raises RESOURCE_EXHAUSTED (TOO_MANY_CALLS) if that is too much for all bodies."""
        if self._limits.body_bytes + size > MAX_BODIES_BYTES:
            message = (
                f"The bodies of requests under way have {MAX_BODIES_BYTES:,} bytes, as many as they may; try again."
            )
            raise RpcError(Code.RESOURCE_EXHAUSTED, message, reason="TOO_MANY_CALLS", retry_after=RETRY_SECONDS)
        self._limits.body_bytes += size
        self._size += size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._limits.body_bytes -= self._size


class MessageRate:
    """A token bucket: `rate` messages per second in the long run, `burst` at once. clock: seconds, monotonic."""

    __slots__ = ("_at", "_burst", "_clock", "_rate", "_tokens", "_where")

    def __init__(
        self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic, where: str = "on this connection"
    ) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._where = where
        self._clock = clock
        self._tokens = float(burst)
        self._at = clock()

    def take(self) -> None:
        """One message has come. Raises RESOURCE_EXHAUSTED (RATE_LIMITED) with the time until the next one may."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            raise RpcError(
                Code.RESOURCE_EXHAUSTED,
                f"Too many messages {self._where}; {self._rate:g} a second may be sent besides payloads within credit.",
                reason="RATE_LIMITED",
                retry_after=(1 - self._tokens) / self._rate,
            )
        self._tokens -= 1


class Limits:
    """The limits of one gateway process. Not shared between gateways.

    body_bytes: of the bodies that are being read now.
    """

    def __init__(self, settings: LimitSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self.body_bytes = 0
        self._settings = settings
        self._clock = clock
        self._connections = Places(
            settings.max_connections,
            "TOO_MANY_CONNECTIONS",
            "{limit} connections are open, as many as [limits] max_connections allows; try again soon.",
        )
        self._beginning = Places(
            settings.max_calls,
            "TOO_MANY_CALLS",
            "{limit} calls wait for their first request, as many as [limits] max_calls allows; try again soon.",
        )
        self._calls = Places(
            settings.max_calls,
            "TOO_MANY_CALLS",
            "{limit} calls are running, as many as [limits] max_calls allows; try again soon.",
        )

    @property
    def max_body_bytes(self) -> int:
        """Bytes of an HTTP request's body at most."""
        return self._settings.max_body_bytes

    @property
    def max_upload_bytes(self) -> int:
        """Bytes of an upload's body at most."""
        return self._settings.max_upload_bytes

    def connection(self) -> Places:
        """A place for a connection or an HTTP request; take it with `with`."""
        return self._connections

    def call(self) -> Places:
        """A place for a call; take it with `with`."""
        return self._calls

    def beginning(self) -> Places:
        """A place for a call whose first request has not come yet: it takes none of those of calls."""
        return self._beginning

    def body(self) -> Holding:
        """For a body that is about to be read."""
        return Holding(self)

    def message_rate(self) -> MessageRate:
        """A fresh allowance for one connection."""
        return MessageRate(self._settings.messages_per_second, self._settings.message_burst, self._clock)

    def call_rate(self) -> MessageRate:
        """A fresh allowance for one call: half of a connection's, so that one call cannot use up all of that."""
        settings = self._settings
        burst = max(1, settings.message_burst // 2)
        return MessageRate(settings.messages_per_second / 2, burst, self._clock, "for this call")
