"""What happens around every call that a process serves: one concern, one interceptor."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from bus.context import Context
from bus.service import MethodInfo


class Served(Protocol):
    """A call as an interceptor sees it."""

    method: MethodInfo

    context: Context
    """What the handler knows, too."""

    started_at: float
    """On the clock of time.monotonic."""

    on_sent: Callable[[], None] | None
    """Hears of each message that goes out; must not block."""


Next = Callable[[Served], Awaitable[None]]
"""The rest of the chain, the handler at its end. Raises what the handler raises."""


class Interceptor(Protocol):
    """Wraps the handling of a call."""

    async def __call__(self, call: Served, proceed: Next) -> None:
        """Await `proceed(call)` once, or raise RpcError to refuse the call.

        `call.on_sent` may be set.
        """


def chained(interceptors: tuple[Interceptor, ...], handler: Next) -> Next:
    """The first interceptor is the outermost."""
    for interceptor in reversed(interceptors):
        handler = _bind(interceptor, handler)
    return handler


def _bind(interceptor: Interceptor, proceed: Next) -> Next:
    async def around(call: Served) -> None:
        await interceptor(call, proceed)

    return around
