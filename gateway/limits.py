"""How much the doors let through at once. What is over a limit is refused at once, never queued."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from bus import Code, RpcError
from gateway.identity import Principal
from gateway.settings import LimitSettings

RETRY_SECONDS = 1.0

MAX_STANDINGS = 4096
"""Principals whose use is remembered; over that, those who have no call running are forgotten."""

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


class TokenBucket:
    """So many a second in the long run, `burst` at once. clock: seconds, monotonic."""

    __slots__ = ("_at", "_burst", "_clock", "_tokens", "rate")

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate = rate
        self._burst = burst
        self._clock = clock
        self._tokens = burst
        self._at = clock()

    def take(self) -> float:
        """Take one: 0, or the seconds until there is one again."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self.rate)
        self._at = now
        if self._tokens < 1:
            return (1 - self._tokens) / self.rate
        self._tokens -= 1
        return 0.0


class Standing:
    """What one principal uses of their own limits. calls: running now."""

    __slots__ = ("_bucket", "_clock", "calls")

    def __init__(self, clock: Callable[[], float]) -> None:
        self.calls = 0
        self._clock = clock
        self._bucket: TokenBucket | None = None

    def take(self, name: str, most: int, per_minute: float) -> None:
        """A call begins; 0 is no limit. Raises RESOURCE_EXHAUSTED (TOO_MANY_CALLS, RATE_LIMITED)."""
        if most and self.calls >= most:
            message = f"{name!r} has {most} calls running, as many as its key or [limits] allows; wait for one to end."
            raise RpcError(Code.RESOURCE_EXHAUSTED, message, reason="TOO_MANY_CALLS", retry_after=RETRY_SECONDS)
        if per_minute and (wait := self._rate(per_minute).take()):
            message = f"{name!r} has begun as many calls as its key or [limits] allows: {per_minute:g} a minute."
            raise RpcError(Code.RESOURCE_EXHAUSTED, message, reason="RATE_LIMITED", retry_after=wait)
        self.calls += 1

    def _rate(self, per_minute: float) -> TokenBucket:
        if self._bucket is None or self._bucket.rate != per_minute / 60:
            self._bucket = TokenBucket(per_minute / 60, max(1.0, per_minute), self._clock)
        return self._bucket


class CallPlace:
    """A place for one call, among all calls and among its principal's; a context that gives it back."""

    __slots__ = ("_limits", "_principal", "_standing")

    def __init__(self, limits: "Limits", principal: Principal | None) -> None:
        self._limits = limits
        self._principal = principal
        self._standing: Standing | None = None

    @property
    def in_use(self) -> int:
        """Calls that run now, of all."""
        return self._limits.calls.in_use

    def __enter__(self) -> None:
        """Raises RESOURCE_EXHAUSTED when there is none; then none is taken."""
        places = self._limits.calls
        places.__enter__()
        if self._principal is not None:
            try:
                self._standing = self._limits.standing(self._principal)
            except RpcError:
                places.__exit__(None, None, None)
                raise

    def __exit__(self, *_: object) -> None:
        if self._standing is not None:
            self._standing.calls -= 1
            self._standing = None
        self._limits.calls.__exit__(None, None, None)


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

    __slots__ = ("_bucket", "_where")

    def __init__(
        self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic, where: str = "on this connection"
    ) -> None:
        self._bucket = TokenBucket(rate, float(burst), clock)
        self._where = where

    def take(self) -> None:
        """One message has come. Raises RESOURCE_EXHAUSTED (RATE_LIMITED) with the time until the next one may."""
        if wait := self._bucket.take():
            rate = f"{self._bucket.rate:g} a second may be sent besides payloads within credit"
            message = f"Too many messages {self._where}; {rate}."
            raise RpcError(Code.RESOURCE_EXHAUSTED, message, reason="RATE_LIMITED", retry_after=wait)


class Limits:
    """The limits of one gateway process. Not shared between gateways.

    body_bytes: of the bodies that are being read now. calls: the places of all calls.
    """

    def __init__(self, settings: LimitSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self.body_bytes = 0
        self._standings: dict[str, Standing] = {}
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
        self.calls = Places(
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

    def call(self, principal: Principal | None = None) -> CallPlace:
        """A place for a call of a principal, or for one that counts for nobody; take it with `with`."""
        return CallPlace(self, principal)

    def standing(self, principal: Principal) -> Standing:
        """A call begins: the use of its principal, with it. Raises RESOURCE_EXHAUSTED if that is over their limits."""
        found = self._standings.get(principal.name)
        if found is None:
            if len(self._standings) >= MAX_STANDINGS:
                self._standings = {name: one for name, one in self._standings.items() if one.calls}
            found = self._standings[principal.name] = Standing(self._clock)
        own = self._settings
        most = principal.max_calls or own.max_calls_per_principal
        found.take(principal.name, most, principal.calls_per_minute or own.calls_per_minute)
        return found

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
