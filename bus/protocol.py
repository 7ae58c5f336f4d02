"""A call as two state machines that never await: frames and time go in, events and frames come out.

This is the caller's, and what it shares with the responder's in responder_protocol.py. The rules are those of
docs/wire.md. A driver (channel.py, server.py) owns a machine, feeds it, takes `events` and sends what `frames()`
returns. Time is any clock in seconds; it is only compared with itself.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from bus import errors
from bus.errors import Code, RpcError
from bus.stream import DEFAULT_WINDOW, MAX_WINDOW, REQUEST_WINDOW, Incoming, Outgoing, Pieces
from troupe.rpc.v1 import Cancel, Credit, Frame, Open, Ping, Pong, Resume

PROTOCOL_VERSION = 1

ACCEPT_SECONDS = 4.0
"""A responder that shows nothing of itself for so long after OPEN has not got it, or hangs: it accepts at once."""

REACCEPT_SECONDS = 1.5
"""The same for an OPEN that was sent before the bus was away, counted from its return: acceptance is said again."""

PING_SECONDS = 5.0
"""A caller that has heard or said nothing for so long asks; after the same time without any answer the peer is lost."""

PING_AGAIN_SECONDS = 1.0
"""Between two questions whether the peer is there, and between two acceptances of a call that nobody confirms."""

MISSING_SECONDS = 3.0
"""How long a peer may be off the bus, for example while the NATS server restarts."""

RETRY_SECONDS = 0.25
"""Between two questions for what is missing."""

GAP_SECONDS = 10.0
"""How long a gap may stay open."""

MAX_NUMBER = 2**62
"""Sequence numbers that peers name stay below, so that nothing that is added to them overflows."""

CREDIT_PIECES = 32
"""Pieces after which credit goes out at the latest, also in a wide window: the sender's ring waits for it."""


class Received(NamedTuple):
    """Pieces came, in order and for the first time.

    alone: the frame that brought them held them all and nothing else, so that its bytes are theirs.
    """

    pieces: Pieces
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Headed:
    """What the responder says ahead of its answer; again when it says more. Before the first pieces unless lost."""

    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class HalfClosed:
    """The caller sends nothing more."""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The caller stopped the call, or nobody came back for it."""

    reason: str


@dataclass(frozen=True, slots=True)
class AskedAgain:
    """The peer asks for what came after piece `after`, which is no longer here."""

    after: int


@dataclass(frozen=True, slots=True)
class Closed:
    """The call has ended; `error` is None if it succeeded. Comes exactly once."""

    error: RpcError | None
    trailers: Mapping[str, str] = field(default_factory=dict)


Event = Received | Headed | HalfClosed | Cancelled | AskedAgain | Closed


def digest(resume_key: bytes) -> bytes:
    """What is kept of a resume key outside the call's own process."""
    return hashlib.sha256(resume_key).digest()


class Gap:
    """Asks for what is missing until it came or time is over."""

    __slots__ = ("asked", "since")

    def __init__(self) -> None:
        self.since: float | None = None
        self.asked = 0.0

    def due(self, now: float) -> bool:
        """It is time to ask (again)."""
        if self.since is None:
            self.since = now
        elif now - self.asked < RETRY_SECONDS:
            return False
        self.asked = now
        return True

    def expired(self, now: float) -> bool:
        return self.since is not None and now - self.since > GAP_SECONDS

    def close(self) -> None:
        self.since = None


class CallerProtocol:
    """The caller's side of one call, from OPEN (or from RESUME, see `resuming`) to CLOSE."""

    def __init__(self, call_id: str, open_: Open, now: float) -> None:
        self.call_id = call_id
        self.epoch = 0
        self.events: list[Event] = []
        self.outgoing = Outgoing(REQUEST_WINDOW)
        self.incoming = Incoming(open_.initial_credit or DEFAULT_WINDOW, open_.preceding)
        self.window = open_.initial_credit or DEFAULT_WINDOW
        self._stride = max(1, min(self.window // 2, CREDIT_PIECES))
        self.consumed = open_.preceding
        self.closed = False
        self.accepted = False
        self.opening = open_
        self.repeatable = True
        self._open: Open | None = open_
        self._resume_key = open_.resume_key
        self._principal = ""
        self._controls: list[Frame] = []
        self._last_words: Frame | None = None
        self._half_close: bool | None = None
        self._credit_due = False
        self._answered = False
        self._headers: dict[str, str] = {}
        self._gap = Gap()
        self._opened = now
        self._heard = now
        self._said = now
        self._spoke = False
        self._missing: float | None = None
        self._pinged: float | None = None
        self._returned: float | None = None

    @classmethod
    def resuming(cls, call_id: str, resume: Resume, epoch: int, sent: int, now: float) -> "CallerProtocol":
        """Take over a call whose consumer has everything up to `resume.after` and had sent `sent` pieces itself.

        Raises OUT_OF_RANGE (RESUME_OUT_OF_RANGE) for numbers that no call reaches.
        """
        if max(resume.after, resume.granted, sent) >= MAX_NUMBER:
            raise RpcError(Code.OUT_OF_RANGE, "No call has that many payloads.", reason="RESUME_OUT_OF_RANGE")
        window = max(1, min(resume.granted - resume.after, MAX_WINDOW)) if resume.granted else DEFAULT_WINDOW
        self = cls(call_id, Open(initial_credit=window, resume_key=resume.resume_key, preceding=resume.after), now)
        self._open = None
        self.repeatable = False
        self.accepted = True
        self.epoch = epoch
        self.outgoing = Outgoing(0, sent)
        self._principal = resume.principal
        self._ask(now)
        return self

    def take_up(self, opening: Open) -> None:
        """The call was opened so elsewhere: after `resuming`, it may be opened again too, once its request is here."""
        self.opening = opening
        self.repeatable = True
        self.half_close()

    def again(self, now: float) -> "CallerProtocol | None":
        """Another attempt at a call that has ended unanswered, with all that was sent; None if that is gone.

        Pieces that were told in the answer's direction meanwhile are in `opening.preceding`.
        """
        opening, granted = self.opening, self.incoming.granted
        opening.initial_credit = max(1, min(granted - opening.preceding, MAX_WINDOW))
        again = CallerProtocol(self.call_id, opening, now)
        try:
            self.outgoing.rewind(0, REQUEST_WINDOW)
        except RpcError:
            return None
        again.outgoing = self.outgoing
        again.window, again._stride = self.window, self._stride
        again.incoming.grant(granted)
        again._half_close = None if self._half_close is None else False
        return again if self.repeatable else None

    # ---- what the application does

    def half_close(self) -> None:
        """Nothing more will be pushed into `outgoing`."""
        if self._half_close is None:
            self._half_close = False

    def cancel(self, reason: str, error: RpcError | None = None) -> None:
        """Stop the call: it ends here at once, with `error` or CANCELLED, and the responder is told."""
        if not self.closed:
            self.repeatable = False
            self.outgoing.abandon()
            self._lose(reason, error or errors.cancelled())

    def _lose(self, reason: str, error: RpcError) -> None:
        """The call ends here; what was to be sent is kept for another attempt."""
        self._say_last(Frame(cancel=Cancel(reason=reason[:256])))
        self._close(error)

    def detach(self) -> None:
        """The consumer went away and may come back through someone else: leave the call to its responder."""
        if not self.closed:
            frame = Frame()
            frame.detach.SetInParent()
            self._say_last(frame)
            self._close(errors.cancelled("The consumer went away; the call can be resumed."))

    def hand_over(self) -> None:
        """Someone else resumes the call: say nothing more to the responder."""
        if not self.closed:
            self._close(errors.resumed_elsewhere())

    def consume(self, upto: int) -> bool:
        """The application has taken everything up to piece `upto`; True: there is credit to send.

        That is so when half the window is used.
        """
        self.consumed = max(self.consumed, upto)
        if self.consumed + self.window - self.incoming.granted >= self._stride:
            self.grant(self.consumed + self.window, self.consumed)
        return self._credit_due

    def grant(self, granted: int, consumed: int) -> None:
        """Pass on the credit that a final consumer gives."""
        granted, consumed = min(granted, MAX_NUMBER), min(consumed, MAX_NUMBER)
        self.consumed = max(self.consumed, consumed)
        self._credit_due = self.incoming.grant(granted) or self._credit_due

    # ---- what happens to it

    def receive(self, frame: Frame, now: float) -> None:
        """A frame of the responder has come."""
        if not self._same_run(frame):
            return
        self._heard, self._missing, self._pinged, self.accepted = now, None, None, True
        if self.closed:
            if frame.HasField("close"):
                self._last_words = None  # the responder knows
            else:
                self._repeat_last_words(now)
            return
        try:
            self._receive(frame, now)
        except RpcError as error:
            self.cancel("protocol error", error)

    def _receive(self, frame: Frame, now: float) -> None:
        kind = frame.WhichOneof("control")
        if (kind is not None or not self._answered) and frame.headers:
            self._head(dict(frame.headers))
        if payload := frame.payload:
            self._answered = True
            new = self.incoming.accept(payload, frame.sequence, frame.more)
            if new:
                self._gap.close()
                alone = kind is None and new.pieces is payload and frame.epoch == self.epoch
                self.events.append(Received(new, alone and frame.call_id == self.call_id))
        if self.incoming.misses(frame.sequence):
            if self._gap.due(now):
                self._ask(now)
        elif kind == "close":
            status = frame.close.status
            self._close(RpcError.from_status(status) if status.code else None, dict(frame.close.trailers))
            return
        self._control(frame, kind)

    def _head(self, headers: dict[str, str]) -> None:
        if headers != self._headers:
            self._headers = headers
            self.events.append(Headed(headers))

    def _control(self, frame: Frame, kind: str | None) -> None:
        if kind == "credit":
            self.outgoing.credit(frame.credit.granted, frame.credit.consumed)
        elif kind == "ping":
            self._controls.append(Frame(pong=Pong(nonce=frame.ping.nonce)))
        elif kind == "resume":
            self._rewind(frame.resume.after)

    def _rewind(self, after: int) -> None:
        try:
            self.outgoing.rewind(after)
        except RpcError:
            self.events.append(AskedAgain(after))
        else:
            self._half_close = None if self._half_close is None else False

    def no_responders(self, now: float) -> None:
        """The bus says that nobody listens where the last frame went."""
        if self.closed:
            return
        if not self.accepted:
            message = "Nobody serves this call now. See /readyz or `troupe models` for what is served."
            self._close(RpcError(Code.UNAVAILABLE, message, reason="NO_RESPONDERS", retry_after=1.0))
        elif self._missing is None:
            self._missing = now

    @property
    def opened(self) -> bool:
        """The OPEN has gone out."""
        return self._open is None

    def peer_gone(self, process: str) -> None:
        """The responder's process has lost its connection for good."""
        if not self.closed:
            self._close(errors.peer_lost(process, "has ended"))

    def reconnected(self, now: float) -> None:
        """The own connection was interrupted: ask for what may have been lost meanwhile, the OPEN included."""
        if not self.closed and self.accepted:
            self._ask(now)
        elif not self.closed and self._open is None:
            self._returned = now

    def forgive(self, seconds: float) -> None:
        """This process itself stood still for so long: nobody is to blame for what was not heard meanwhile."""
        self._opened += seconds
        self._heard += seconds
        self._said += seconds
        self._missing = None if self._missing is None else self._missing + seconds
        self._returned = None if self._returned is None else self._returned + seconds
        self._pinged = None if self._pinged is None else self._pinged + seconds
        self._gap.since = None if self._gap.since is None else self._gap.since + seconds

    def tick(self, now: float) -> None:
        """Time passes; call it a few times a second."""
        if self.closed:
            return
        if self._spoke:
            self._said, self._spoke = now, False
        if not self.accepted:
            if self._returned is not None and now - self._returned > REACCEPT_SECONDS:
                self._lose("not accepted", errors.bus_interrupted())
            elif now - self._opened > ACCEPT_SECONDS:
                self._lose("not accepted", errors.peer_lost("", "did not accept the call"))
        elif self._missing is not None and now - self._missing > MISSING_SECONDS:
            self._lose("missing", errors.peer_lost("", "is no longer on the bus"))
        elif self._gap.expired(now):
            lost = "A part of the answer was lost. Repeat the call."
            self._lose("gap", RpcError(Code.UNAVAILABLE, lost, reason="STREAM_GAP"))
        elif self._missing is not None or self._gap.since is not None:
            if self._gap.asked + RETRY_SECONDS <= now:
                self._gap.asked = now
                self._ask(now)
        else:
            self._check_silence(now)

    def _check_silence(self, now: float) -> None:
        quiet = now - min(self._heard, self._said) > PING_SECONDS
        if now - self._heard > 2 * PING_SECONDS and self._pinged is not None:
            self._lose("silence", errors.peer_lost("", "does not answer"))
        elif quiet and (self._pinged is None or now - self._pinged > PING_AGAIN_SECONDS):
            self._pinged = now
            # The credit goes along because the last one may have been lost, and then both sides wait.
            self._credit_due = True
            self._controls.append(Frame(ping=Ping(nonce=1)))

    # ---- what it sends

    @property
    def has_last_words(self) -> bool:
        """The call was ended here, and its responder may have to be told again."""
        return self._last_words is not None

    @property
    def talks(self) -> bool:
        """There may be something to send."""
        if self._open is not None:
            return not self.closed
        if not self.accepted:
            return False
        waits = self._credit_due or bool(self._controls) or self._half_close is False
        return waits or not self.outgoing.idle

    @property
    def has_more(self) -> bool:
        """`frames` has left payloads for another turn."""
        return self.accepted and not self.closed and self.outgoing.sendable

    def frames(self) -> list[Frame]:
        """What to send in this turn, in order: at most one frame of payloads, so that calls take turns.

        An OPEN goes to the method's subject, all others to the responder.
        """
        frames: list[Frame] = []
        if self._open is not None:
            if self.closed:  # stopped before it began: nobody needs to know
                return frames
            frames.append(self._opening(self._open))
            self._open = None
        if not self.accepted:
            return frames
        if not self.closed:
            frames += self._data()
        if self._credit_due and not self.closed:
            frames.append(Frame(credit=Credit(granted=self.incoming.granted, consumed=self.consumed)))
        frames += self._controls
        self._controls, self._credit_due = [], False
        for frame in frames:
            self._address(frame)
        self._spoke = self._spoke or bool(frames)
        return frames

    def _data(self) -> list[Frame]:
        batch = self.outgoing.take()
        frames = [] if batch is None else [Frame(sequence=batch.last, payload=batch.pieces, more=batch.more)]
        if self._half_close is False and self.outgoing.idle:
            self._half_close = True
            if not frames:
                frames.append(Frame())
        return frames

    def _opening(self, open_: Open) -> Frame:
        frame = Frame(open=open_)
        first = self.outgoing.take()
        if first:
            frame.payload.extend(first.pieces)
            frame.more = first.more
        if self._half_close is False and self.outgoing.idle:
            self._half_close = True
        self._address(frame)
        return frame

    def _address(self, frame: Frame) -> None:
        frame.call_id = self.call_id
        frame.epoch = self.epoch
        if not frame.sequence:
            frame.sequence = self.outgoing.sent
        # Said in every later frame too, since the first one may be lost; never before the last payload.
        frame.half_close = bool(self._half_close) and frame.sequence == self.outgoing.last

    def _same_run(self, frame: Frame) -> bool:
        if not self.epoch:
            self.epoch = frame.epoch
        return frame.epoch in (self.epoch, 0)

    def _ask(self, now: float) -> None:
        self._gap.asked = now
        resume = Resume(after=self.incoming.received, resume_key=self._resume_key, principal=self._principal)
        resume.granted = self.incoming.granted
        self._controls.append(Frame(resume=resume))

    def _say_last(self, frame: Frame) -> None:
        self._last_words = frame
        self._controls.append(frame)

    def _repeat_last_words(self, now: float) -> None:
        """The responder still talks: it may not have got the CANCEL or DETACH."""
        if self._last_words is not None and not self._controls and now - self._gap.asked > RETRY_SECONDS:
            self._gap.asked = now
            self._controls.append(self._last_words)

    def _close(self, error: RpcError | None, trailers: Mapping[str, str] | None = None) -> None:
        self.closed = True
        self.events.append(Closed(error, trailers or {}))
