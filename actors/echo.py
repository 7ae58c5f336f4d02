"""Says back what it hears."""

import asyncio
import time
from collections.abc import AsyncIterator

from bus import Code, Context, RpcError, invalid
from troupe.echo.v1 import (
    CollectRequest,
    CollectResponse,
    ConverseRequest,
    ConverseResponse,
    EchoRequest,
    EchoResponse,
    EchoService,
    FailRequest,
    FailResponse,
    RepeatRequest,
    RepeatResponse,
)

MAX_TEXT = 1024 * 1024
MAX_PIECE = 32 * 1024
MAX_COUNT = 1_000_000
MAX_INTERVAL_SECONDS = 60.0


class EchoActor(EchoService):
    """One method per stream shape, and one that fails."""

    async def echo(self, request: EchoRequest, ctx: Context) -> EchoResponse:
        _check_length(request.text, MAX_TEXT)
        return EchoResponse(text=request.text)

    async def repeat(self, request: RepeatRequest, ctx: Context) -> AsyncIterator[RepeatResponse]:
        _check_length(request.text, MAX_PIECE)
        if request.count > MAX_COUNT:
            raise invalid(f"count is {request.count:,}; at most {MAX_COUNT:,} are repeated.", "count")
        interval = _interval(request)
        text = request.text or "token"
        due = time.monotonic()
        for index in range(request.count):
            yield RepeatResponse(text=text, index=index, made_at_monotonic_ns=time.monotonic_ns())
            due += interval
            if interval:
                await asyncio.sleep(max(0.0, due - time.monotonic()))
            elif index % 64 == 63:
                await asyncio.sleep(0)

    async def collect(self, requests: AsyncIterator[CollectRequest], ctx: Context) -> CollectResponse:
        texts: list[str] = []
        size = 0
        async for request in requests:
            _check_length(request.text, MAX_PIECE)
            size += len(request.text.encode())
            if size > MAX_TEXT:
                raise invalid(f"All pieces together are over {MAX_TEXT:,} bytes.", "text", reason="MESSAGE_TOO_LARGE")
            texts.append(request.text)
        return CollectResponse(text=" ".join(texts), count=len(texts))

    async def converse(self, requests: AsyncIterator[ConverseRequest], ctx: Context) -> AsyncIterator[ConverseResponse]:
        index = 0
        async for request in requests:
            _check_length(request.text, MAX_PIECE)
            yield ConverseResponse(text=request.text, index=index)
            index += 1

    async def fail(self, request: FailRequest, ctx: Context) -> FailResponse:
        if not 1 <= request.code <= 16:
            raise invalid(f"code is {request.code}; gRPC's error codes are 1 to 16.", "code")
        raise RpcError(Code(request.code), request.message, reason=request.reason or "ECHO_FAILURE")


def _interval(request: RepeatRequest) -> float:
    seconds = request.interval.ToNanoseconds() / 1e9
    if not 0 <= seconds <= MAX_INTERVAL_SECONDS:
        raise invalid(f"interval is {seconds:g} s; it may be 0 to {MAX_INTERVAL_SECONDS:g} s.", "interval")
    return seconds


def _check_length(text: str, limit: int) -> None:
    size = len(text.encode())
    if size > limit:
        raise invalid(f"text is {size:,} bytes; at most {limit:,} are echoed.", "text", reason="MESSAGE_TOO_LARGE")
