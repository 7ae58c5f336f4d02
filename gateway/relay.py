"""A call on its way through a door: frames in, frames out, payloads undecoded.

The sequence numbers on both sides are the same, and the credit is the final consumer's; a door only reads what it must:
the method, and for a routed method the first request's route.
"""

import asyncio
import time
from collections.abc import Callable, Mapping

import structlog

from bus import MethodInfo, RpcError, subjects
from bus.behalf import REQUEST_ID, TOKENS
from bus.call_driver import CallDriver
from bus.errors import call_not_found, resume_refused
from bus.protocol import MAX_NUMBER, AskedAgain, CallerProtocol, Closed, Event, Headed, Received, digest
from bus.responder_protocol import DEFAULT_GRACE_SECONDS, MAX_GRACE_SECONDS
from bus.stream import DEFAULT_WINDOW, MAX_MESSAGE, MAX_PIECE, MAX_WINDOW, RING_BYTES, Outgoing, Pieces
from bus.transports import Message
from gateway import access_log
from gateway.downlink import Batch, Downlink
from gateway.hub import Hub
from gateway.identity import Principal
from gateway.left_calls import LeftCall
from gateway.opening import Opening, does_not_read, route_of
from troupe.rpc.v1 import Close, Credit, Frame, Location, Open, Resume, Status

MAX_PENDING_BYTES = 2 * RING_BYTES + MAX_MESSAGE
"""What may wait for a client; a responder never sends more to one that counts truly what it has taken."""

LOCATE_SECONDS = 1.0
"""How long a call may be unknown before RESUME is refused: its location is written after it has begun."""

log = structlog.get_logger(__name__)


class Relay(CallDriver):
    """One call between a door and its responder.

    ready: called when `take` has something to give; must not block. binary: the client takes frames as bytes.
    delivered: the CLOSE was given out.
    """

    def __init__(
        self,
        hub: Hub,
        protocol: CallerProtocol,
        method: MethodInfo,
        principal: Principal,
        ready: Callable[["Relay"], None],
        *,
        route: str = "",
        peer: str = "",
        binary: bool = False,
        door: str = "grpc",
    ) -> None:
        super().__init__(hub.channel, protocol, method, route, peer)
        self.resumable = False
        self.delivered = False
        self._door = door
        self._began = time.monotonic()
        self._bytes_in = 0
        self._hub = hub
        self._principal = principal
        self._ready = ready
        self._located = False
        self._told_epoch = 0
        self._binary = binary
        self._wire = b""
        self._downlink = Downlink(protocol.incoming.received)
        self._controls: list[Frame] = []
        self._ahead: Mapping[str, str] | None = None
        self._forwarded_credit = 0
        self._close: Close | None = None

    # ---- beginning

    @classmethod
    def open(
        cls,
        hub: Hub,
        opening: Opening,
        principal: Principal,
        ready: Callable[["Relay"], None],
        *,
        binary: bool = False,
        door: str = "grpc",
    ) -> "Relay":
        """Begin a call.

        Raises UNIMPLEMENTED, PERMISSION_DENIED, INVALID_ARGUMENT, DEADLINE_EXCEEDED, ALREADY_EXISTS.
        """
        asked = opening.frame.open
        method = hub.catalog.method(asked.method)
        principal.require(method.policy.scope)
        route = route_of(method, opening.first, hub.names)
        passed_on, seconds = _pass_on(hub, method, asked, principal)
        protocol = CallerProtocol(opening.frame.call_id, passed_on, time.monotonic())
        self = cls(hub, protocol, method, principal, ready, route=route, binary=binary, door=door)
        self.resumable = bool(asked.resume_key)
        for batch in opening.batches:
            self._bytes_in += sum(map(len, batch.pieces))
            protocol.outgoing.push_pieces(batch.pieces, batch.more)
        if opening.half_closed:
            protocol.half_close()
        hub.channel.enlist(self, seconds)
        return self

    @classmethod
    async def resume(
        cls,
        hub: Hub,
        frame: Frame,
        principal: Principal,
        ready: Callable[["Relay"], None],
        *,
        binary: bool = False,
        door: str = "grpc",
    ) -> "Relay":
        """Continue a call that began elsewhere, or here: then it also goes on if its responder is lost.

        Raises CALL_NOT_FOUND, RESUME_REFUSED.
        """
        location = await _locate(hub, principal.name, frame.call_id)
        if location.resume_key_digest != digest(frame.resume.resume_key):
            raise resume_refused()
        asked = Resume()
        asked.CopyFrom(frame.resume)
        asked.principal = principal.name
        method = hub.catalog.method(location.method)
        protocol = CallerProtocol.resuming(frame.call_id, asked, location.epoch, frame.sequence, time.monotonic())
        peer = subjects.control(location.process, frame.call_id)
        left = _left(hub, principal.name, frame.call_id)
        route = left.kept.route if left is not None else ""
        self = cls(hub, protocol, method, principal, ready, route=route, peer=peer, binary=binary, door=door)
        self.resumable, self._located, self._told_epoch = True, True, frame.epoch
        hub.channel.take_over(self)
        if left is not None:
            self.take_over(left.kept)
            if left.lost:
                protocol.peer_gone(location.process)
        return self

    # ---- from the responder

    @property
    def principal(self) -> str:
        """Who calls."""
        return self._principal.name

    @property
    def pending_bytes(self) -> int:
        """What waits for the client."""
        return self._downlink.size

    @property
    def epoch(self) -> int:
        """The run that answers, as the client knows it: of a call that was opened again, the first that it was told."""
        return self._told_epoch or self.protocol.epoch

    def deliver(self, message: Message, now: float) -> None:
        self._wire = message.payload
        super().deliver(message, now)
        self._wire = b""

    def on_event(self, event: Event) -> None:
        if isinstance(event, Received):
            if event.alone and self._binary and self.epoch == self.protocol.epoch:
                self._downlink.add_wire(self._wire, event.pieces.last, event.pieces.more)
            else:
                self._downlink.add(event.pieces)
            if self.pending_bytes > MAX_PENDING_BYTES:
                self.protocol.cancel("the client does not read", does_not_read())
        elif isinstance(event, AskedAgain):
            self._controls.append(Frame(resume=Resume(after=event.after)))
        elif isinstance(event, Headed):
            self._ahead = event.headers

    def settle(self) -> None:
        super().settle()
        protocol = self.protocol
        if protocol.accepted and not protocol.closed:
            self._pass_on_credit(protocol.outgoing)
        if self.has_more:
            self._ready(self)

    def _pass_on_credit(self, outgoing: Outgoing) -> None:
        if not self._located:
            self._located = True
            self._told_epoch = self._told_epoch or self.protocol.epoch
            # Whoever goes on takes the request anew, and larger: those numbers are none of the client's.
            self._forwarded_credit = MAX_NUMBER if self.protocol.opening.continues else -1
            if self.resumable:
                self._hub.locations.remember(self.call_id, self._location())
        if outgoing.granted > self._forwarded_credit:
            self._forwarded_credit = outgoing.granted
            self._controls.append(Frame(credit=Credit(granted=outgoing.granted, consumed=outgoing.consumed)))

    def _location(self) -> Location:
        return Location(
            process=self.peer.split(".")[1] if self.peer else "",
            epoch=self.protocol.epoch,
            resume_key_digest=digest(self.protocol.opening.resume_key),
            principal=self._principal.name,
            method=self.method.full_name,
        )

    def finish(self, event: Closed) -> None:
        super().finish(event)
        self._write_line(event)
        status = event.error.to_status() if event.error else Status()
        self._close = Close(status=status, trailers=dict(event.trailers))

    def _write_line(self, event: Closed) -> None:
        metadata, tokens = self.protocol.opening.metadata, event.trailers.get(TOKENS, "")
        access_log.write(
            self._door,
            event.error,
            method=self.method.full_name,
            call_id=self.call_id,
            principal=self._principal.name,
            credential_id=self._principal.credential_id,
            request_id=metadata.get(REQUEST_ID, ""),
            trace_id=metadata.get("traceparent", "")[3:35],
            seconds=round(time.monotonic() - self._began, 4),
            bytes_in=self._bytes_in,
            bytes_out=self._downlink.total,
            tokens=int(tokens) if tokens.isdecimal() else None,
        )

    def open_again(self, refusal: RpcError) -> None:
        super().open_again(refusal)
        self._located = False

    # ---- from the door

    def push(self, pieces: Pieces) -> None:
        """More of the caller's pieces, whose numbers were checked."""
        self._bytes_in += sum(map(len, pieces.pieces))
        self.protocol.outgoing.push_pieces(pieces.pieces, pieces.more)
        if self.protocol.talks:
            self._hub.channel.pump.mark(self)

    def half_close(self) -> None:
        """The caller sends nothing more."""
        self.protocol.half_close()
        self.settle()

    def grant(self, granted: int, consumed: int) -> None:
        """The final consumer's credit."""
        self.protocol.grant(granted, consumed)
        if self.protocol.talks:
            self._hub.channel.pump.mark(self)
        self.credited()

    def leave(self) -> None:
        """The client went away: what it can resume goes on, or waits for it; all else is cancelled."""
        self._keep()
        if self.resumable and self.protocol.accepted and not self.protocol.closed:
            self.protocol.detach()
            self.settle()
        else:
            self.cancel("the client went away")

    def _keep(self) -> None:
        """Keep what the call needs to go on, if the client may come back to this door."""
        left = self.left()
        if left is not None and self.resumable and self._told_epoch:
            opening = left.kept.opening
            seconds = opening.grace.ToNanoseconds() / 1e9 if opening.HasField("grace") else DEFAULT_GRACE_SECONDS
            keeping = min(max(seconds, 0.0), MAX_GRACE_SECONDS)
            self._hub.left.keep(self._principal.name, self.call_id, left, keeping)

    def left(self) -> LeftCall | None:
        """The call as another relay may take it over; None: it can do without, or is none that goes on."""
        kept = self.hand_down()
        return None if kept is None else LeftCall(kept, lost=not self.protocol.accepted or self.protocol.closed)

    def shut_down(self) -> None:
        """The gateway ends: what its client can resume goes on, to be asked for at another."""
        self.leave()

    def turn_out(self, error: RpcError) -> None:
        """Whoever calls may not any more: the call ends with this error."""
        self.cancel("the caller's credential is worth nothing any more", error)

    # ---- to the door

    @property
    def has_more(self) -> bool:
        """`take` has something to give."""
        return bool(self._downlink) or bool(self._controls) or self._close is not None or self._ahead is not None

    @property
    def handed(self) -> int:
        """Number of the last piece that was given out."""
        return self._downlink.handed

    def take(self) -> list[Frame | bytes]:
        """What the client gets next: at most one frame of payloads, and the controls that are due.

        A small backlog leaves joined; what does not fit is left for another time, so that calls take turns. Bytes are a
        frame that is handed on as it came; only where `binary`.
        """
        frames: list[Frame | bytes] = [] if self._ahead is None else [self._headers()]
        batch = self._downlink.take()
        if batch is not None and not self._controls and self._close is None:  # nearly always
            return [*frames, batch.wire or self._framed(batch)]
        close = self._last_word()
        if batch is not None:
            if close is not None and not batch.more and batch.size + close.ByteSize() <= MAX_PIECE:
                frames.append(self._with(batch, close))
                close = None
            else:
                frames.append(batch.wire or self._framed(batch))
        controls, self._controls = self._controls, []
        if close is not None:
            controls.append(Frame(close=close))
        for frame in controls:
            frame.call_id, frame.epoch, frame.sequence = self.call_id, self.epoch, self.handed
        return frames + controls

    def take_pieces(self) -> Pieces | None:
        """As `take`, for a door that has no frames: the next pieces, or None if there is nothing but controls."""
        batch = self._downlink.take()
        self._controls.clear()
        self._ahead = None
        self._last_word()
        return None if batch is None else Pieces(batch.pieces, batch.last, batch.more)

    def _headers(self) -> Frame:
        """What goes ahead of the answer, in a frame of its own."""
        headers, self._ahead = self._ahead, None
        return Frame(call_id=self.call_id, epoch=self.epoch, sequence=self.handed, headers=headers)

    def _last_word(self) -> Close | None:
        """The CLOSE, once all pieces were given out; there are no controls any more then."""
        if self._close is None or self._downlink:
            return None
        close, self._close = self._close, None
        self._controls.clear()
        self.delivered = True
        return close

    def _with(self, batch: Batch, close: Close) -> Frame | bytes:
        if batch.wire:  # what is set in one of two joined frames is set in the whole
            return batch.wire + Frame(close=close).SerializeToString()
        frame = self._framed(batch)
        frame.close.CopyFrom(close)
        return frame

    def _framed(self, batch: Batch) -> Frame:
        return Frame(
            call_id=self.call_id,
            epoch=self.epoch,
            sequence=batch.last,
            payload=batch.pieces,
            more=batch.more,
        )


def _pass_on(hub: Hub, method: MethodInfo, asked: Open, principal: Principal) -> tuple[Open, float | None]:
    """The OPEN as it goes on over the bus, and the seconds that the call has."""
    timeout = asked.timeout.ToNanoseconds() / 1e9 if asked.HasField("timeout") else None
    metadata = {key: value for key, value in asked.metadata.items() if not key.startswith("troupe-")}
    if REQUEST_ID in metadata and not access_log.request_id(metadata[REQUEST_ID]):
        del metadata[REQUEST_ID]
    metadata |= principal.behalf.metadata()
    window = min(asked.initial_credit or DEFAULT_WINDOW, MAX_WINDOW)
    opening, seconds = hub.channel.opening(method, timeout=timeout, metadata=metadata, window=window)
    opening.protocol_version = asked.protocol_version
    if asked.resume_key:
        opening.resume_key = asked.resume_key
        opening.ClearField("grace")
        if asked.HasField("grace"):
            opening.grace.CopyFrom(asked.grace)
    return opening, seconds


def _left(hub: Hub, principal: str, call_id: str) -> LeftCall | None:
    """What this gateway knows of a call whose client comes back, or comes while its last connection seems to live."""
    known = hub.channel.known(call_id)
    if isinstance(known, Relay) and known.principal == principal:
        return known.left()
    return hub.left.take(principal, call_id)


async def _locate(hub: Hub, principal: str, call_id: str) -> Location:
    """Where the principal's call lives. A call that has just begun may not be written down yet."""
    ends = time.monotonic() + LOCATE_SECONDS
    while True:
        location = await hub.locations.get(principal, call_id)
        if location is not None:
            return location
        if time.monotonic() > ends:
            raise call_not_found(call_id)
        await asyncio.sleep(0.05)
