"""The responder's side of a call, as a state machine that never awaits; protocol.py has the caller's."""

import hmac
from collections.abc import Mapping

from bus import errors
from bus.errors import Code, RpcError
from bus.protocol import (
    PING_AGAIN_SECONDS,
    PING_SECONDS,
    Cancelled,
    Event,
    Gap,
    HalfClosed,
    Received,
)
from bus.service import check_metadata
from bus.stream import DEFAULT_WINDOW, MAX_WINDOW, REQUEST_WINDOW, Incoming, Outgoing
from troupe.rpc.v1 import Close, Credit, Frame, Open, Pong, Resume, Status

SILENCE_SECONDS = 3 * PING_SECONDS
"""A responder that hears nothing for so long takes its caller for gone."""

DEFAULT_GRACE_SECONDS = 30.0

MAX_GRACE_SECONDS = 600.0

MAX_TRAILERS_BYTES = 8 * 1024

MAX_STATUS_BYTES = 8 * 1024

MAX_MESSAGE_CHARACTERS = 1024

MAX_REASON_CHARACTERS = 64


class ResponderProtocol:
    """The responder's side of one call, from the OPEN that has come to CLOSE, and on until nobody can want it again."""

    def __init__(self, frame: Frame, epoch: int, principal: str, now: float) -> None:
        open_ = frame.open
        self.call_id = frame.call_id
        self.epoch = epoch
        self.principal = principal
        self.events: list[Event] = []
        window = min(open_.initial_credit or DEFAULT_WINDOW, MAX_WINDOW)
        self._preceding = open_.preceding
        self.outgoing = Outgoing(window, open_.preceding)
        self.incoming = Incoming(REQUEST_WINDOW)
        self.headers: dict[str, str] = {}
        self.resumable = bool(open_.resume_key)
        self._window = window
        self._resume_key = open_.resume_key
        self._grace = _grace(open_)
        self._half_closed = False
        self._half_close_at: int | None = None
        self._close: Close | None = None
        self._close_sent = False
        self._controls: list[Frame] = []
        self._credit_due = True
        self._consumed = 0
        self._gap = Gap()
        self._heard = now
        self._confirmed = False
        self._accepted_at = now
        self._detached: float | None = None
        self._left = False
        self._abandoned = False
        self._receive(frame, now)

    # ---- what the application does

    def consume(self, upto: int) -> bool:
        """The application has taken everything up to piece `upto`; True: there is credit to send."""
        self._consumed = max(self._consumed, upto)
        if self._consumed + REQUEST_WINDOW - self.incoming.granted >= REQUEST_WINDOW // 2:
            self._credit_due = self.incoming.grant(self._consumed + REQUEST_WINDOW) or self._credit_due
        return self._credit_due

    def head(self, headers: Mapping[str, str]) -> None:
        """What goes ahead of the answer, as far as it is known. Raises INVALID_ARGUMENT for what cannot travel."""
        check_metadata(headers)
        self.headers = dict(headers)

    def finish(self, error: RpcError | None, trailers: Mapping[str, str] | None = None) -> None:
        """End the call: what was pushed goes out first, except after CANCELLED and DEADLINE_EXCEEDED."""
        if self._close is not None:
            return
        if error is not None and error.code in (Code.CANCELLED, Code.DEADLINE_EXCEEDED):
            self.outgoing.abandon()
        self._close = _fitting(error, trailers or {})

    @property
    def finished(self) -> bool:
        """`finish` was called."""
        return self._close is not None

    @property
    def delivered(self) -> bool:
        """Everything went out, the CLOSE included; it may still be asked for again."""
        return self._close_sent

    def forgettable(self, now: float, kept_until: float) -> bool:
        """Nobody can want the ended call any more."""
        if self._detached is not None:
            return now > max(kept_until, self._detached + self._grace)
        return now > kept_until

    # ---- what happens to it

    def receive(self, frame: Frame, now: float) -> None:
        """A frame of the caller has come. Raises OUT_OF_RANGE, and changes nothing, for a RESUME too far back."""
        if frame.epoch not in (self.epoch, 0):
            return
        if frame.HasField("resume"):
            self._resume(frame.resume)
        elif not self._left:
            self._attach()
        self._heard, self._confirmed = now, True
        try:
            self._receive(frame, now)
        except RpcError as error:
            self._stop(error)

    def _receive(self, frame: Frame, now: float) -> None:
        payload = frame.payload
        if payload and not self._half_closed:
            new = self.incoming.accept(payload, frame.sequence or len(payload), frame.more)
            if new:
                self._gap.close()
                self.events.append(Received(new))
        if frame.half_close and not self._half_closed:
            self._half_close_at = max(frame.sequence, self._half_close_at or 0)
        if self.incoming.misses(frame.sequence) and not self._half_closed:
            if self._gap.due(now):
                self._ask()
        elif (
            self._half_close_at is not None and self.incoming.received >= self._half_close_at and not self._half_closed
        ):
            self._half_closed = True
            self.events.append(HalfClosed())
        self._control(frame, now)

    def _control(self, frame: Frame, now: float) -> None:
        kind = frame.WhichOneof("control")
        if kind == "credit":
            self.outgoing.credit(frame.credit.granted, frame.credit.consumed)
        elif kind == "cancel":
            self._stop(errors.cancelled(), frame.cancel.reason)
        elif kind == "ping":
            self._controls.append(Frame(pong=Pong(nonce=frame.ping.nonce)))
            # Whoever asks may wait for something that was lost.
            self._credit_due, self._close_sent = True, False
        elif kind == "detach":
            self._left = True
            self.detach(now)

    def may_resume(self, resume: Resume) -> bool:
        """Whoever asks opened the call: it knows the key, and the door names the same principal."""
        same = not resume.principal or resume.principal == self.principal
        return same and bool(self._resume_key) and hmac.compare_digest(resume.resume_key, self._resume_key)

    def opened_by(self, open_: Open) -> bool:
        """This OPEN began the call: callers on the bus take a new key for each."""
        return hmac.compare_digest(open_.resume_key, self._resume_key)

    def _resume(self, resume: Resume) -> None:
        granted = resume.granted or resume.after + self._window
        self.outgoing.rewind(resume.after, granted)
        self.outgoing.credit(0, resume.after)
        self._left = False
        self._attach()
        self._close_sent = False
        self._credit_due = True

    def _attach(self) -> None:
        self._detached, self.outgoing.detached = None, False

    def detach(self, now: float) -> None:
        """Nobody listens: go on into the ring, until the grace period is over.

        A caller that left must RESUME; one that was merely not heard of only has to say anything.
        """
        if self._detached is None:
            self._detached = now
            self.outgoing.detached = True

    def caller_lost(self, now: float) -> None:
        """The caller's process is taken for ended, and the call ends with it; were it still there, it would hear so."""
        self.detach(now)
        self._stop(errors.caller_lost())

    def leave(self) -> None:
        """Nobody listens any more, and nobody comes back."""
        self._left, self._detached, self._grace = True, self._accepted_at, 0.0
        self.outgoing.detached = True

    def tick(self, now: float) -> None:
        """Time passes; call it a few times a second."""
        if self._detached is not None:
            if now - self._detached > self._grace and not self.finished:
                self._stop(errors.cancelled("Nobody came back for the call."), "nobody came back")
        elif now - self._heard > SILENCE_SECONDS:
            self.detach(now)
        elif self._gap.expired(now):
            self._stop(
                RpcError(Code.UNAVAILABLE, "A part of the request was lost. Repeat the call.", reason="STREAM_GAP")
            )
        elif self._gap.since is not None and self._gap.due(now):
            self._ask()
        elif not self._confirmed and now - self._accepted_at > PING_AGAIN_SECONDS:
            # The acceptance may have been lost, and without it the caller knows no one to ask.
            self._accepted_at, self._credit_due = now, True

    def _stop(self, error: RpcError, reason: str = "") -> None:
        if not self._abandoned and not self.finished:
            self._abandoned = True
            self.finish(error)
            self.events.append(Cancelled(reason or error.message))

    # ---- what it sends

    @property
    def has_more(self) -> bool:
        """`frames` has left payloads for another turn."""
        return self.outgoing.sendable

    def frames(self) -> list[Frame]:
        """What to send in this turn, in order: at most one frame of payloads, so that calls take turns."""
        if self.outgoing.detached:
            self._controls.clear()
            return []
        batch = self.outgoing.take()
        frames = [] if batch is None else [Frame(sequence=batch.last, payload=batch.pieces, more=batch.more)]
        # The headers go with the first payloads, with each acceptance and with the end: any of them may be lost.
        if self.headers and batch is not None and batch.last - len(batch.pieces) == self._preceding:
            frames[0].headers.update(self.headers)
        if self._close is not None and self.outgoing.idle and not self._close_sent:
            self._close_sent = True
            self._add(frames, Frame(close=self._close, headers=self.headers))
        elif self._credit_due and not self._close_sent:
            credit = Credit(granted=self.incoming.granted, consumed=self._consumed)
            self._add(frames, Frame(credit=credit, headers=self.headers))
        frames += self._controls
        self._controls, self._credit_due = [], False
        for frame in frames:
            frame.call_id = self.call_id
            frame.epoch = self.epoch
            if not frame.sequence:
                frame.sequence = self.outgoing.sent
        return frames

    def _add(self, frames: list[Frame], control: Frame) -> None:
        """Let a control ride on the last payloads; a piece that is continued stays alone."""
        if frames and not frames[-1].more and frames[-1].ByteSize() + control.ByteSize() < 60 * 1024:
            frames[-1].MergeFrom(control)
        else:
            frames.append(control)

    def _ask(self) -> None:
        self._controls.append(Frame(resume=Resume(after=self.incoming.received)))


def _grace(open_: Open) -> float:
    if open_.HasField("grace"):
        return min(max(open_.grace.ToNanoseconds() / 1e9, 0.0), MAX_GRACE_SECONDS)
    return DEFAULT_GRACE_SECONDS


def _fitting(error: RpcError | None, trailers: Mapping[str, str]) -> Close:
    """A CLOSE that fits into a frame, whatever a handler puts into it."""
    if sum(len(key) + len(value) for key, value in trailers.items()) > MAX_TRAILERS_BYTES:
        trailers = {}
        error = error or RpcError(Code.INTERNAL, f"The trailers are over {MAX_TRAILERS_BYTES:,} bytes.")
    status = error.to_status() if error else Status()
    if error and status.ByteSize() > MAX_STATUS_BYTES:
        short = RpcError(
            error.code,
            error.message[:MAX_MESSAGE_CHARACTERS],
            reason=error.reason[:MAX_REASON_CHARACTERS],
            retry_after=error.retry_after,
            reference=error.reference[:MAX_REASON_CHARACTERS],
        )
        status = short.to_status()
    return Close(status=status, trailers=trailers)
