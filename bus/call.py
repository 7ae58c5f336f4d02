"""One call of this process, from the calling side: the protocol, where its responder is, and who waits for it."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from bus import subjects
from bus.errors import Code, RpcError
from bus.protocol import AskedAgain, CallerProtocol, Closed, Event, Headed, Received
from bus.service import Metadata, MethodInfo
from bus.stream import Assembler, Pieces
from bus.transports import Letter, Message
from troupe.rpc.v1 import Frame

if TYPE_CHECKING:
    from bus.channel import Channel


class CallDriver(ABC):
    """One call of this process: the protocol, where its responder is, and who waits for it.

    Subclasses say what is done with the pieces that come.
    """

    def __init__(self, channel: "Channel", protocol: CallerProtocol, subject: str, peer: str = "") -> None:
        self.protocol = protocol
        self.peer = peer
        self.marked = False
        self.error: RpcError | None = None
        self.closed = False
        self.closed_at = 0.0
        self.headers: Metadata = {}
        self.trailers: Metadata = {}
        self.deadline: asyncio.TimerHandle | None = None
        self.traced: Callable[[RpcError | None], None] | None = None
        self._channel = channel
        self._subject = subject
        self._reply = subjects.reply(channel.process, protocol.call_id)
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def call_id(self) -> str:
        """Names the call on the wire."""
        return self.protocol.call_id

    @property
    def accepted(self) -> bool:
        """The responder has shown itself."""
        return self.protocol.accepted

    @property
    def no_responders(self) -> bool:
        """The call ended because nobody serves it."""
        return self.error is not None and self.error.reason == "NO_RESPONDERS"

    def outgoing(self) -> Iterator[Letter]:
        for frame in self.protocol.frames():
            yield (self._subject if frame.HasField("open") else self.peer), frame.SerializeToString(), self._reply
        if self.protocol.has_more:
            self._channel.pump.mark(self)

    def deliver(self, message: Message, now: float) -> None:
        """Something came for this call."""
        if message.no_responders:
            self.protocol.no_responders(now)
        else:
            if message.reply:
                self.peer = message.reply
            self.protocol.receive(Frame.FromString(message.payload), now)
        self.settle()

    def settle(self) -> None:
        """Act on what the protocol has found out."""
        while self.protocol.events:  # what is done about one may cause another
            events, self.protocol.events = self.protocol.events, []
            for event in events:
                if isinstance(event, Closed):
                    self._end(event)
                elif isinstance(event, Headed):
                    self.headers = dict(event.headers)
                    self.on_event(event)
                else:
                    self.on_event(event)
        if self.protocol.talks:
            self._channel.pump.mark(self)
        if self._waiting:
            self.wake()

    @abstractmethod
    def on_event(self, event: Event) -> None:
        """Pieces came, or the responder asks for what this process no longer has."""

    def _end(self, event: Closed) -> None:
        self.closed, self.closed_at = True, time.monotonic()
        self.error, self.trailers = event.error, dict(event.trailers)
        if self.deadline is not None:
            self.deadline.cancel()
        self._channel.ended(self)

    def wake(self) -> None:
        """Let everyone who waits look again."""
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def changed(self) -> None:
        """Return when something has happened."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future

    async def answered(self) -> None:
        """Return when the responder has accepted the call or the call has ended."""
        while not self.protocol.accepted and not self.closed:
            await self.changed()

    def cancel(self, reason: str = "", error: RpcError | None = None) -> None:
        """Stop the call. It ends here at once, with `error` or CANCELLED; the responder is told.

        Ended calls are left alone.
        """
        self.protocol.cancel(reason, error)
        self.settle()


class Call(CallDriver):
    """A call of whole messages as bytes. Iterate it for the answers; credit follows what was taken."""

    def __init__(self, channel: "Channel", protocol: CallerProtocol, subject: str, method: MethodInfo) -> None:
        super().__init__(channel, protocol, subject)
        self.method = method
        self._assembler = Assembler()
        self._messages: deque[tuple[bytes, int]] = deque()
        self._newest = 0

    def on_event(self, event: Event) -> None:
        if isinstance(event, Received):
            self._collect(event.pieces)
        elif isinstance(event, AskedAgain):
            self.protocol.cancel(
                "lost",
                RpcError(Code.UNAVAILABLE, "A part of the request was lost. Repeat the call.", reason="STREAM_GAP"),
            )

    def _collect(self, pieces: Pieces) -> None:
        try:
            messages = self._assembler.feed(pieces)
        except RpcError as error:
            self.protocol.cancel("message too large", error)
            return
        self._messages.extend(messages)
        self._newest = pieces.last
        # Credit for the pieces of a message that is not whole yet, but never past messages that nobody has taken.
        if not self._messages:
            self.protocol.consume(pieces.last)

    async def send(self, message: bytes) -> None:
        """Send one request message; waits for credit. Raises the call's error if it has ended with one."""
        while not self.protocol.outgoing.ready and not self.closed:
            await self.changed()
        if self.closed:
            if self.error:
                raise self.error
            return
        self.protocol.outgoing.push(message)
        self._channel.pump.mark(self)

    def half_close(self) -> None:
        """No further request messages."""
        self.protocol.half_close()
        self._channel.pump.mark(self)

    def __aiter__(self) -> "Call":
        return self

    async def __anext__(self) -> bytes:
        while not self._messages:
            if self.closed:
                if self.error:
                    raise self.error
                raise StopAsyncIteration
            await self.changed()
        message, last = self._messages.popleft()
        self.protocol.consume(last if self._messages else self._newest)
        if self.protocol.talks:
            self._channel.pump.mark(self)
        return message
