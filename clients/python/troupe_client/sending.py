"""Requests that are sent while the answer is awaited."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, Self

import grpc

from bus.caller import Beside
from troupe_client.failures import ConnectionLost, requests_lost, rpc_error
from troupe_client.metadata import told


class Sender:
    """Sends requests while the answer is awaited; the call ends with it."""

    def __init__(self, call: Any, requests: AsyncIterator[Any]) -> None:
        self._call = call
        self._sent = 0
        self._received = 0
        self._task = asyncio.create_task(self._send(requests))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._call.cancel()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _send(self, requests: AsyncIterator[Any]) -> None:
        try:
            async for request in requests:
                if not await self._unless_ended(self._call.write, request.SerializeToString()):
                    return
                self._sent += 1
        except Exception:
            self._call.cancel()
            raise
        await self._unless_ended(self._call.done_writing)

    async def _unless_ended(self, send: Callable[..., Awaitable[None]], *payload: bytes) -> bool:
        """False if the call has ended: how it did is told by its answer."""
        try:
            await send(*payload)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return False
        return True

    async def watch(self, answer: Coroutine[Any, Any, Any]) -> Any:
        """The answer. Raises what the requests raised, if that is why there is none; RequestsLost."""
        try:
            found = await answer
            self._received += 1
            return found
        except ConnectionLost as error:
            raise requests_lost(error, self._sent, self._received) from None
        except asyncio.CancelledError:
            if self._task.done() and not self._task.cancelled() and (failure := self._task.exception()):
                raise failure from None
            raise


async def answer(call: Any, beside: Beside) -> Any:
    """What the call answers, its failure as RpcError."""
    try:
        found = await call
    except grpc.aio.AioRpcError as error:
        beside.trailers = told(error.trailing_metadata())
        raise rpc_error(error) from None
    beside.headers = told(await call.initial_metadata())
    beside.trailers = told(await call.trailing_metadata())
    return found


async def read(call: Any, beside: Beside) -> Any:
    """The next answer, its failure as RpcError; something else than bytes at the end."""
    try:
        found = await call.read()
    except grpc.aio.AioRpcError as error:
        beside.trailers = told(error.trailing_metadata())
        raise rpc_error(error) from None
    beside.headers = beside.headers or told(await call.initial_metadata())
    if not isinstance(found, bytes):
        beside.trailers = told(await call.trailing_metadata())
    return found
