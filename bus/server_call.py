"""One call that this process serves: what has come, what goes out, and the handler that stands between."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from bus import errors, subjects
from bus.context import Context
from bus.errors import Code, RpcError
from bus.protocol import Cancelled, HalfClosed, Received
from bus.responder_protocol import ResponderProtocol
from bus.service import MethodInfo
from bus.stream import Assembler
from bus.transports import Letter
from troupe.rpc.v1 import Frame

if TYPE_CHECKING:
    from bus.server import Server

MAX_SECONDS = 366 * 24 * 3600.0
"""A longer deadline is taken for this one."""


class ServerCall:
    """One call that this process serves."""

    def __init__(
        self, server: "Server", protocol: ResponderProtocol, method: MethodInfo, frame: Frame, reply: str
    ) -> None:
        self.protocol = protocol
        self.method = method
        self.reply = reply
        self.marked = False
        self.ended_at = 0.0
        self.kept_bytes = 0
        self.started_at = time.monotonic()
        self.on_sent: Callable[[], None] | None = None
        self.on_retired: Callable[[], None] | None = None
        self.task: asyncio.Task[RpcError | None] | None = None
        self.deadline: asyncio.TimerHandle | None = None
        metadata = dict(frame.open.metadata)
        seconds = min(frame.open.timeout.ToNanoseconds() / 1e9, MAX_SECONDS) if frame.open.HasField("timeout") else None
        self.seconds = seconds
        self.context = Context(
            protocol.call_id,
            method,
            metadata,
            deadline=None if seconds is None else self.started_at + seconds,
            send=self._push,
        )
        self._server = server
        self._control = subjects.control(server.process, protocol.call_id)
        self._assembler = Assembler()
        self._requests: deque[tuple[bytes, int]] = deque()
        self._newest = 0
        self._half_closed = False
        self._headed = False
        self._waiting: list[asyncio.Future[None]] = []

    def outgoing(self) -> Iterator[Letter]:
        if self.context.headers and not self._headed:
            self._head_early()
        for frame in self.protocol.frames():
            yield self.reply, frame.SerializeToString(), self._control
        if self.protocol.has_more:
            self._server.pump.mark(self)
        elif self.over:
            self._server.retire(self)

    @property
    def over(self) -> bool:
        """The handler has returned, and everything went out or nobody listens."""
        done = self.task is not None and self.task.done()
        return done and (self.protocol.delivered or self.protocol.outgoing.detached)

    def settle(self) -> None:
        """Act on what the protocol has found out."""
        events, self.protocol.events = self.protocol.events, []
        for event in events:
            if isinstance(event, Received):
                self._collect(event)
            elif isinstance(event, HalfClosed):
                self._half_closed = True
            elif isinstance(event, Cancelled) and self.task is not None:
                self.task.cancel()
        self._server.pump.mark(self)
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def _collect(self, event: Received) -> None:
        try:
            messages = self._assembler.feed(event.pieces)
        except RpcError as error:
            self.fail(error)
            return
        self._requests.extend(messages)
        self._newest = event.pieces.last
        # Credit for the pieces of a message that is not whole yet, but never past messages that nobody has taken.
        if not self._requests:
            self.protocol.consume(event.pieces.last)

    def fail(self, error: RpcError) -> None:
        """End the call with an error and stop its handler."""
        self.protocol.finish(error)
        if self.task is not None:
            self.task.cancel()
        self._server.pump.mark(self)

    def release(self) -> None:
        """Nobody wants the call any more: let go of what points back at it, so that its memory is free at once."""
        self.task, self.deadline, self.on_sent, self.on_retired = None, None, None, None

    async def _changed(self) -> None:
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future

    async def send(self, message: bytes) -> None:
        """Send one response message; waits for credit. Raises CANCELLED once the call has ended."""
        await self._push(message)
        if self.on_sent is not None:
            self.on_sent()

    async def _push(self, message: bytes) -> None:
        protocol = self.protocol
        if not protocol.outgoing.ready:
            await self._credit()
        if protocol.finished:
            raise errors.cancelled()
        if not self._headed:
            self._head()
        protocol.outgoing.push(message)
        self._server.pump.mark(self)

    def _head_early(self) -> None:
        """What the handler has said at once goes with the acceptance; what cannot travel is told with the message."""
        with suppress(RpcError):
            self.protocol.head(self.context.headers)

    def _head(self) -> None:
        """With the first message the headers are fixed. Raises INTERNAL for what cannot travel."""
        self._headed = True
        try:
            self.protocol.head(self.context.headers)
        except RpcError as error:
            raise RpcError(Code.INTERNAL, f"The handler's headers cannot be sent: {error.message}") from error

    async def _credit(self) -> None:
        """Return when another message may be pushed, or the call has ended."""
        protocol = self.protocol
        self._server.stalls += not protocol.finished
        while not protocol.outgoing.ready and not protocol.finished:
            await self._changed()

    async def requests(self) -> AsyncIterator[Any]:
        """The decoded requests, as they come. Raises INVALID_ARGUMENT for bytes that are no request."""
        while True:
            if self._requests:
                payload, last = self._requests.popleft()
                self.protocol.consume(last if self._requests else self._newest)
                self._server.pump.mark(self)
                yield self._decode(payload)
            elif self._half_closed:
                return
            else:
                await self._changed()

    async def request(self) -> Any:
        """The only request of a method that takes one."""
        async with aclosing(self.requests()) as requests:  # type: ignore[type-var]  # mypy: AsyncIterator of a generator
            async for request in requests:
                return request
        raise errors.invalid(
            f"{self.method.full_name} needs one {self.method.request.DESCRIPTOR.full_name}; none came."
        )

    def _decode(self, payload: bytes) -> Any:
        try:
            return self.method.request.FromString(payload)
        except DecodeError as error:
            name = self.method.request.DESCRIPTOR.full_name
            raise errors.invalid(f"The payload is no {name}: {error}.", reason="MALFORMED_FRAME") from error


async def invoke(call: ServerCall, function: Callable[..., Any]) -> None:
    """Run the actor's method: what it yields or returns goes out."""
    argument = call.requests() if call.method.client_streaming else await call.request()
    if not call.method.server_streaming:
        response = await function(argument, call.context)
        await call.send(response.SerializeToString())
        return
    async with aclosing(function(argument, call.context)) as responses:
        async for response in responses:
            await call.send(response.SerializeToString())
