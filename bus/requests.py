"""What a typed call sends: one request, or a stream of them."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from bus.call import Call
from bus.errors import RpcError
from bus.service import MethodInfo


@dataclass(frozen=True, slots=True)
class Requests:
    """The requests of a call: one that may be sent again, or a stream that may not."""

    single: bytes = b""
    stream: AsyncIterator[bytes] | None = None


def single(request: Any) -> Requests:
    """One request message."""
    return Requests(single=request.SerializeToString())


def chain(first: Any, rest: AsyncIterator[Any]) -> Requests:
    """A first request, unless it is None, and those that follow."""

    async def payloads() -> AsyncIterator[bytes]:
        if first is not None:
            yield first.SerializeToString()
        async for request in rest:
            yield request.SerializeToString()

    return Requests(stream=payloads())


async def peek(method: MethodInfo, requests: AsyncIterator[Any]) -> tuple[Any, AsyncIterator[Any], str]:
    """The first request (which names the route) and the rest."""
    if not method.policy.route_by:
        return None, requests, ""
    first = await anext(requests, None)
    return first, requests, method.route_of(first) if first is not None else ""


async def begin(call: Call, requests: Requests) -> "asyncio.Task[None] | None":
    """Send the only request; a stream of them is sent by the task that is returned, which the caller has to `reap`."""
    if requests.stream is not None:
        return asyncio.create_task(send_all(call, requests.stream))
    await call.send(requests.single)
    call.half_close()
    return None


async def send_all(call: Call, requests: AsyncIterator[bytes]) -> None:
    """Send requests as they come. What breaks them off cancels the call and is raised."""
    try:
        async for payload in requests:
            await call.send(payload)
    except Exception as error:
        call.cancel("the requests broke off", error if isinstance(error, RpcError) else None)
        raise
    call.half_close()


async def reap(sender: "asyncio.Task[None]") -> None:
    """Stop sending. Raises what broke the requests off, unless the call tells it already."""
    sender.cancel()
    await asyncio.wait([sender])
    error = None if sender.cancelled() else sender.exception()
    if error is not None and not isinstance(error, RpcError):
        raise error
