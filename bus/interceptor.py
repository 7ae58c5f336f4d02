"""What happens around every call that a process serves: one concern, one interceptor."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from bus.server_call import ServerCall

Next = Callable[["ServerCall"], Awaitable[None]]
"""The rest of the chain, the handler at its end. Raises what the handler raises."""


class Interceptor(Protocol):
    """Wraps the handling of a call."""

    async def __call__(self, call: "ServerCall", proceed: Next) -> None:
        """Await `proceed(call)` once, or raise RpcError to refuse the call.

        `call.on_sent` may be set to hear of each message that goes out; it must not block.
        """


def chained(interceptors: tuple[Interceptor, ...], handler: Next) -> Next:
    """The first interceptor is the outermost."""
    for interceptor in reversed(interceptors):
        handler = _bind(interceptor, handler)
    return handler


def _bind(interceptor: Interceptor, proceed: Next) -> Next:
    async def around(call: "ServerCall") -> None:
        await interceptor(call, proceed)

    return around
