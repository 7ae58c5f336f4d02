"""One call that this process serves: what has come, what goes out, and the handler that stands between."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, suppress
from typing import Any, Protocol

from google.protobuf.message import DecodeError

from bus import errors, subjects
from bus.context import Context
from bus.errors import Code, RpcError
from bus.mailbox import Bell, Mailbox
from bus.protocol import Cancelled, HalfClosed, Received
from bus.pump import Pump
from bus.reader import SingleReader
from bus.responder_protocol import ResponderProtocol
from bus.service import Metadata, MethodInfo
from bus.transports import Letter
from troupe.rpc.v1 import Open

MAX_SECONDS = 366 * 24 * 3600.0
"""A longer deadline is taken for this one."""


class ServerCallOwner(Protocol):
    """What a call needs of the server that it came to."""

    process: str
    pump: Pump
    stalls: int

    def retire(self, call: "ServerCall") -> None:
        """The call is over."""


class ServerCall:
    """One call that this process serves."""

    def __init__(
        self,
        owner: ServerCallOwner,
        protocol: ResponderProtocol,
        method: MethodInfo,
        opening: Open,
        metadata: Metadata,
        reply: str,
    ) -> None:
        self.protocol = protocol
        self.method = method
        self.marked = False
        self.ended_at = 0.0
        self.kept_bytes = 0
        self.started_at = time.monotonic()
        self.on_sent: Callable[[], None] | None = None
        self.on_retired: Callable[[ServerCall], None] | None = None
        self.task: asyncio.Task[None] | None = None
        self.deadline: asyncio.TimerHandle | None = None
        seconds = min(opening.timeout.ToNanoseconds() / 1e9, MAX_SECONDS) if opening.HasField("timeout") else None
        self.seconds = seconds
        self.context = Context(
            protocol.call_id,
            method,
            metadata,
            deadline=None if seconds is None else self.started_at + seconds,
            send=self._push,
            offer=self._offer,
        )
        self.attach(reply)
        self._owner = owner
        self._control = subjects.control(owner.process, protocol.call_id)
        self._mailbox = Mailbox()
        self._bell = Bell()
        self._half_closed = False
        self._headed = False

    def attach(self, reply: str) -> None:
        """What goes out goes to this subject from now on."""
        self.reply = reply
        self.context.attach(subjects.process_of(reply))

    def outgoing(self) -> Iterator[Letter]:
        if self.context.headers and not self._headed:
            self._head_early()
        for frame in self.protocol.frames():
            yield self.reply, frame.SerializeToString(), self._control
        if self.protocol.has_more:
            self._owner.pump.mark(self)
        elif self.over:
            self._owner.retire(self)

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
        self._owner.pump.mark(self)
        self._bell.ring()

    def _collect(self, event: Received) -> None:
        try:
            self.protocol.consume(self._mailbox.put(event.pieces))
        except RpcError as error:
            self.fail(error)

    def fail(self, error: RpcError) -> None:
        """End the call with an error and stop its handler."""
        self.protocol.finish(error)
        if self.task is not None:
            self.task.cancel()
        self._owner.pump.mark(self)

    def supersede(self) -> None:
        """The caller has opened the call again: nothing of this attempt goes out any more, and its handler stops."""
        self.protocol.leave()
        self.protocol.finish(errors.cancelled("The call was opened again."))
        if self.task is not None:
            self.task.cancel()

    def release(self) -> None:
        """Nobody wants the call any more: let go of what points back at it, so that its memory is free at once."""
        self.task, self.deadline, self.on_sent, self.on_retired = None, None, None, None

    async def send(self, message: bytes) -> None:
        """Send one response message; waits for credit. Raises CANCELLED once the call has ended."""
        await self._push(message)
        if self.on_sent is not None:
            self.on_sent()

    def sent(self, message: bytes) -> bool:
        """As `send`, where that need not wait; False: nothing was sent. Raises INTERNAL: headers that cannot travel."""
        if not self._offer(message):
            return False
        if self.on_sent is not None:
            self.on_sent()
        return True

    async def _push(self, message: bytes) -> None:
        while not self._offer(message):
            if self.protocol.finished:
                raise errors.cancelled()
            await self._credit()

    def _head_early(self) -> None:
        """What the handler has said at once goes with the acceptance; what cannot travel is told with the message."""
        with suppress(RpcError):
            self.protocol.head(self.context.headers)

    def _head(self) -> None:
        """With the first message the headers are fixed. Raises INTERNAL for what cannot travel."""
        self._headed = True
        if not self.context.headers:
            return
        try:
            self.protocol.head(self.context.headers)
        except RpcError as error:
            raise RpcError(Code.INTERNAL, f"The handler's headers cannot be sent: {error.message}") from error

    async def _credit(self) -> None:
        """Return when another message may be pushed, or the call has ended."""
        protocol = self.protocol
        self._owner.stalls += not protocol.finished
        while not protocol.outgoing.ready and not protocol.finished:
            await self._bell.rung()

    def _offer(self, message: bytes) -> bool:
        """Send a response message if there is credit for it now and the call has not ended."""
        protocol = self.protocol
        if protocol.finished or not protocol.outgoing.ready:
            return False
        if not self._headed:
            self._head()
        protocol.outgoing.push(message)
        if not self.marked:
            self._owner.pump.mark(self)
        return True

    def requests(self) -> SingleReader[Any]:
        """The decoded requests, as they come, for one task. Raises INVALID_ARGUMENT for bytes that are no request."""
        return SingleReader(self._requests())

    async def _requests(self) -> AsyncGenerator[Any, None]:
        while await self._arrived():
            yield self._next()

    async def request(self) -> Any:
        """The only request of a method that takes one."""
        if not self._mailbox and not await self._arrived():
            raise errors.invalid(
                f"{self.method.full_name} needs one {self.method.request.DESCRIPTOR.full_name}; none came."
            )
        return self._next()

    async def _arrived(self) -> bool:
        """Return when a request is there (True), or when none will come."""
        while not self._mailbox:
            if self._half_closed:
                return False
            await self._bell.rung()
        return True

    def _next(self) -> Any:
        payload, consumed = self._mailbox.take()
        if self.protocol.consume(consumed):
            self._owner.pump.mark(self)
        return self._decode(payload)

    def _decode(self, payload: bytes) -> Any:
        try:
            return self.method.request.FromString(payload)
        except DecodeError as error:
            name = self.method.request.DESCRIPTOR.full_name
            raise errors.invalid(f"The payload is no {name}: {error}.", reason="MALFORMED_FRAME") from error


async def invoke(function: Callable[..., Any], call: ServerCall) -> None:
    """Run the actor's method: what it yields or returns goes out."""
    argument = call.requests() if call.method.client_streaming else await call.request()
    if not call.method.server_streaming:
        response = await function(argument, call.context)
        await call.send(response.SerializeToString())
        return
    async with aclosing(function(argument, call.context)) as responses:
        async for response in responses:
            message = response.SerializeToString()
            if not call.sent(message):
                await call.send(message)
