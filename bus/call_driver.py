"""One call of this process, from the calling side: the protocol, where its responder is, and who waits for it."""

import asyncio
import contextvars
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Protocol

import structlog

from bus import errors, subjects
from bus.caller import Beside
from bus.context import duration, progress_payload
from bus.delivered import Delivered, answers
from bus.errors import Code, RpcError
from bus.kept import Kept
from bus.mailbox import Bell
from bus.protocol import CallerProtocol, Closed, Event, Headed, Received
from bus.pump import Pump
from bus.reminder import Reminder
from bus.resolver import Resolver
from bus.service import Metadata, MethodInfo
from bus.stream import REQUEST_WINDOW, Outgoing, Pieces
from bus.transports import Letter, Message
from bus.waiting import Again, GiveUp, Resolve, Standing, Verdict, Waiting
from troupe.rpc.v1 import Cancel, Frame, Progress

log = structlog.get_logger(__name__)


class CallOwner(Protocol):
    """What a call needs of the channel that it is opened on."""

    process: str
    pump: Pump
    resolver: Resolver | None

    def ended(self, call: "CallDriver") -> None:
        """The call has ended."""

    def meet(self, method: MethodInfo, route: str) -> None:
        """Somebody serves this."""

    def has_met(self, method: MethodInfo, route: str) -> bool:
        """Somebody has served this before."""

    def expected(self, method: MethodInfo, route: str) -> bool | None:
        """Somebody who serves this may come; see Outlook."""

    def lacks(self, method: MethodInfo, route: str) -> str:
        """The part that would serve this and is not installed; see Lacking."""


class CallDriver(ABC):
    """One call of this process: the protocol, where its responder is, and who waits for it.

    It outlives its protocol: it may be opened again (bus/waiting.py), with a protocol for each attempt, as long as
    nothing was answered, or, where the method goes on, with what was delivered appended to its request. So what was
    sent is kept, and what was delivered. Subclasses say what is done with the pieces that come.
    on_progress: told what the call waits for where its own answer cannot say so. Must not block.
    """

    def __init__(
        self,
        owner: CallOwner,
        protocol: CallerProtocol,
        method: MethodInfo,
        route: str = "",
        peer: str = "",
        beside: Beside | None = None,
    ) -> None:
        self.protocol = protocol
        self.method = method
        self.route = route
        self.peer = peer
        self.marked = False
        self.error: RpcError | None = None
        self.closed = False
        self.closed_at = 0.0
        self.attempt = 0
        self.beside = beside or Beside()
        self.deadline: asyncio.TimerHandle | None = None
        self.traced: Callable[[RpcError | None], None] | None = None
        self.on_progress: Callable[[Progress], None] | None = None
        self._owner = owner
        self._subject = subjects.call(method.service, method.name, route)
        self._reply = subjects.reply(owner.process, protocol.call_id)
        self._bell = Bell()
        self._waiting: Waiting | None = None
        self._reopening: asyncio.Task[None] | None = None
        self._met = False
        self._stopped = False
        self._answered = False
        self._renewed = False
        self._request: bytes | None = None
        self._taken_over = False
        field = method.continuation_field
        self._delivered = Delivered(field) if field and protocol.repeatable else None

    @property
    def call_id(self) -> str:
        """Names the call on the wire."""
        return self.protocol.call_id

    @property
    def headers(self) -> Metadata:
        """What the responder has said ahead of its answer."""
        return self.beside.headers

    @property
    def trailers(self) -> Metadata:
        """What it has said at the end."""
        return self.beside.trailers

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
            self._owner.pump.mark(self)

    def deliver(self, message: Message, now: float) -> None:
        """Something came for this call's newest attempt."""
        if message.no_responders:
            self.protocol.no_responders(now)
        else:
            frame = Frame.FromString(message.payload)
            if message.reply and self.protocol.epoch in (0, frame.epoch):
                self.peer = message.reply
            self.protocol.receive(frame, now)
            if not self._met and self.protocol.accepted:
                self._met = True
                self._owner.meet(self.method, self.route)
        self.settle()

    def settle(self) -> None:
        """Act on what the protocol has found out."""
        while self.protocol.events:  # what is done about one may cause another
            events, self.protocol.events = self.protocol.events, []
            for event in events:
                if isinstance(event, Received):
                    self._note(event.pieces)
                    self.on_event(event)
                elif isinstance(event, Closed):
                    self._end(event)
                elif isinstance(event, Headed):
                    self.beside.headers = dict(event.headers)
                    self.on_event(event)
                else:
                    self.on_event(event)
        if not self.marked and self.protocol.talks:
            self._owner.pump.mark(self)
        self._bell.ring()

    def _note(self, pieces: Pieces) -> None:
        if not self._renewed:
            self._renewed = answers(pieces)
            self._answered = self._answered or self._renewed
        if self._delivered is not None:
            self._delivered.take(pieces)

    @abstractmethod
    def on_event(self, event: Event) -> None:
        """Pieces or headers came, or the responder asks for what this process no longer has."""

    # ---- the end, or another attempt

    def _end(self, event: Closed) -> None:
        if event.error is None or self._stopped or not self.protocol.repeatable:
            self.finish(event)
            return
        if self._waiting is None:
            self._waiting = Waiting(self.method, self.route, resolvable=self._owner.resolver is not None)
        verdict = self._waiting.refused(event.error, self._standing(), time.monotonic())
        if isinstance(verdict, GiveUp):
            self.finish(Closed(verdict.error, event.trailers))
            return
        opening = self.protocol.opening
        opening.preceding = max(opening.preceding, self.protocol.incoming.received)
        # Of nobody's context: this may run in that of whoever reads the connection.
        work = self._open_after(verdict, event.error)
        self._reopening = asyncio.create_task(work, context=contextvars.Context())

    def _standing(self) -> Standing:
        delivered = self._delivered
        return Standing(
            accepted=self.protocol.accepted,
            heard=self.protocol.incoming.received > self.protocol.opening.preceding,
            answered=self._answered,
            renewed=self._renewed,
            continuable=delivered is not None and not delivered.obstacle,
            obstacle=delivered.obstacle if delivered is not None else "",
            expected=self._met or self._owner.expected(self.method, self.route),
            served=self._met or self._taken_over or self._owner.has_met(self.method, self.route),
            lacks=self._owner.lacks(self.method, self.route),
            told=self.method.server_streaming or self.on_progress is not None,
        )

    async def _open_after(self, verdict: Again | Resolve, refusal: RpcError) -> None:
        try:
            await self._wait(verdict)
            await self._granted()
            self.open_again(refusal)
        except RpcError as error:
            self._reopening = None
            self.finish(Closed(error))
        except Exception:
            failure = RpcError(Code.INTERNAL, "Something went wrong inside the hub; its log tells what.")
            log.exception("call.unresolved", method=self.method.full_name, reference=failure.reference)
            self._reopening = None
            self.finish(Closed(failure))
        self.settle()

    async def _wait(self, verdict: Verdict) -> None:
        """Return when the call may be opened again. Raises the error that it ends with instead."""
        assert self._waiting is not None
        while True:
            if isinstance(verdict, GiveUp):
                raise verdict.error
            if verdict.note:
                self.tell(Progress(state=Progress.STATE_QUEUED, note=verdict.note))
            await asyncio.sleep(verdict.after)
            if isinstance(verdict, Again):
                return
            try:
                await self._resolve()
            except RpcError as error:
                verdict = self._waiting.unresolved(error, self._standing(), time.monotonic())
            else:
                return

    async def _granted(self) -> None:
        """Return when another responder may send something: an OPEN cannot say that it may not."""
        protocol = self.protocol
        while protocol.incoming.granted <= protocol.opening.preceding:
            await self.changed()

    async def _resolve(self) -> None:
        assert self._owner.resolver is not None
        progress = self._owner.resolver(self.method, self.route, dict(self.protocol.opening.metadata))
        reminder = Reminder(self.tell)
        try:
            async for told in progress:
                reminder.tell(told)
        finally:
            reminder.stop()
            await progress.aclose()

    def tell(self, progress: Progress) -> None:
        """Say what the call waits for, in its own answer if it can, ahead of all that the responder says."""
        protocol = self.protocol
        if not self.method.server_streaming:
            if self.on_progress is not None:
                self.on_progress(progress)
        elif protocol.opening.preceding + 1 < protocol.incoming.granted:  # the responder's first needs credit too
            protocol.opening.preceding += 1
            self.on_event(Received(Pieces([progress_payload(progress)], protocol.opening.preceding)))
            self.settle()

    def credited(self) -> None:
        """The reader has given credit: a call that waits for it is opened again."""
        if self._reopening is not None:
            self._bell.ring()

    def open_again(self, refusal: RpcError) -> None:
        """With the time that is left, all that was sent before, and what was delivered.

        Raises the refusal where what was sent is gone, CONTINUATION_UNSUPPORTED where it grew too large.
        """
        opening = self.protocol.opening
        if self.deadline is not None:
            left = self.deadline.when() - asyncio.get_running_loop().time()
            opening.timeout.CopyFrom(duration(max(0.001, left)))
        if self._answered or self._taken_over:
            self._append_delivered(refusal)
        protocol = self.protocol.again(time.monotonic())
        if protocol is None:
            raise refusal
        self._reopening = None
        self.protocol, self.peer = protocol, ""
        self.attempt += 1
        self._renewed = False
        self._reply = subjects.reply(self._owner.process, self.call_id, self.attempt)
        self._owner.pump.mark(self)

    def _append_delivered(self, refusal: RpcError) -> None:
        assert self._delivered is not None
        request = self._whole_request()
        if request is None:
            raise refusal
        outgoing = Outgoing(REQUEST_WINDOW)
        outgoing.push(self._delivered.appended_to(request))
        self.protocol.outgoing = outgoing
        self.protocol.opening.continues = self._answered

    def _whole_request(self) -> bytes | None:
        """As the caller sent it; None if it is not all here."""
        if self._request is None:
            self._request = self.protocol.outgoing.whole()
        return self._request

    # ---- handing it over

    def hand_down(self) -> Kept | None:
        """What another driver of this call needs to go on with it; None: nobody could. This one is to end then."""
        request = self._whole_request() if self._delivered is not None and not self.closed else None
        if request is None or self._delivered is None:
            return None
        ends_at = None if self.deadline is None else self.deadline.when()
        return Kept(self.protocol.opening, self.route, self.attempt, request, self._delivered, ends_at)

    def take_over(self, kept: Kept) -> None:
        """Go on with the call if its responder is lost. Its reader has what the protocol has received, and no more."""
        protocol = self.protocol
        kept.opening.preceding = protocol.incoming.received
        protocol.take_up(kept.opening)
        self._request, self._delivered, self._taken_over = kept.request, kept.delivered, True
        self._answered = kept.delivered.cut(protocol.incoming.received)
        # Attempts are counted on: the next one's frames are none of one before.
        self.attempt = kept.attempt
        self._reply = subjects.reply(self._owner.process, self.call_id, self.attempt)
        if kept.ends_at is not None:
            loop = asyncio.get_running_loop()
            self.deadline = loop.call_at(kept.ends_at, self.cancel, "deadline", errors.deadline_exceeded())

    def displace(self) -> None:
        """Somebody else has taken the call over: it ends here with RESUMED_ELSEWHERE."""
        if self._reopening is not None:
            self.cancel("resumed elsewhere", errors.resumed_elsewhere())
        else:
            self.protocol.hand_over()
            self.settle()

    def finish(self, event: Closed) -> None:
        """The call is over, as `event` says."""
        self._delivered = None
        self.closed, self.closed_at = True, time.monotonic()
        self.error = event.error
        if event.trailers:
            self.beside.trailers = dict(event.trailers)
        if self.deadline is not None:
            self.deadline.cancel()
        self._owner.ended(self)

    async def changed(self) -> None:
        """Return when something has happened."""
        await self._bell.rung()

    async def answered(self) -> None:
        """Return when the responder has accepted the call or the call has ended."""
        while not self.protocol.accepted and not self.closed:
            await self.changed()

    def cancel(self, reason: str = "", error: RpcError | None = None) -> None:
        """Stop the call. It ends here at once, with `error` or CANCELLED; the responder is told.

        Ended calls are left alone.
        """
        if self._reopening is not None:
            self._reopening.cancel()
            self._reopening = None
            self.finish(Closed(error or errors.cancelled()))
        elif not self.closed:
            self._stopped = True
            self.protocol.cancel(reason, error)
        self.settle()

    def shut_down(self) -> None:
        """This process ends: nobody waits here any more."""
        self.cancel("the caller shuts down")


def stop_stranger(message: Message) -> tuple[str, bytes] | None:
    """Where and how to stop an attempt that was given up and now shows itself; None if there is no need."""
    frame = Frame.FromString(message.payload)
    if not message.reply or message.no_responders or frame.HasField("close"):
        return None
    cancel = Frame(call_id=frame.call_id, epoch=frame.epoch, cancel=Cancel(reason="opened again"))
    return message.reply, cancel.SerializeToString()
