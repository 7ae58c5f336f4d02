"""The WebSocket door: many calls on a connection, binary frames or JSON text, reconnect with resume."""

import asyncio
import contextlib
import re
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import structlog
from starlette.types import Message as AsgiMessage
from starlette.websockets import WebSocket, WebSocketDisconnect

from bus import Code, MethodInfo, RpcError, invalid
from bus.opening import version_mismatch
from bus.protocol import PROTOCOL_VERSION
from bus.stream import MAX_FRAME, REQUEST_WINDOW, Incoming, Pieces
from gateway import access_log
from gateway.access import Pass
from gateway.codec import BinaryForm, JsonForm, MalformedFrame, payload_of
from gateway.door_call import DoorCall
from gateway.hub import Hub
from gateway.opening import FIRST_REQUEST_SECONDS, Opening, does_not_wait, request_missing
from gateway.relay import Relay
from gateway.websocket_writer import Writer
from troupe.rpc.v1 import Close, Credit, Frame, Pong

BINARY = "troupe.v1.binary"
JSON = "troupe.v1.json"
KEY_PREFIX = "troupe.key."

DOOR = "websocket"
"""As the access log calls it."""

MAX_TEXT = 6 * 1024 * 1024
"""Characters of one JSON frame, whose messages are not in pieces."""

MAX_REASON_BYTES = 123

CLOSE_INVALID = 1007
CLOSE_POLICY = 1008
CLOSE_TOO_BIG = 1009
CLOSE_TRY_LATER = 1013

_CALL_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")

log = structlog.get_logger(__name__)


async def serve_websocket(websocket: WebSocket, hub: Hub) -> None:
    """Serve one connection until it ends. What its client can resume goes on; its other calls are cancelled."""
    offered = websocket.scope.get("subprotocols", [])
    form = next((name for name in offered if name in (BINARY, JSON)), None)
    try:
        admitted = await hub.access.admit(_authorization(websocket, offered), websocket.headers.get("x-api-key"))
        admission = hub.limits.connection()
        admission.__enter__()
    except RpcError as error:
        await _turn_away(websocket, form, error)
        return
    with contextlib.ExitStack() as stack:
        stack.push(admission)
        await websocket.accept(subprotocol=form)
        connection = Connection(websocket, hub, admitted, BinaryForm() if form == BINARY else JsonForm())
        stack.enter_context(hub.doors.websocket.holding(connection))
        await connection.run()


def _authorization(websocket: WebSocket, offered: list[str]) -> str | None:
    """The Authorization header, or, from browsers, which cannot set one, a subprotocol."""
    header = websocket.headers.get("authorization")
    keys = [name.removeprefix(KEY_PREFIX) for name in offered if name.startswith(KEY_PREFIX)]
    return header or (f"Bearer {keys[0]}" if keys else None)


async def _turn_away(websocket: WebSocket, form: str | None, error: RpcError) -> None:
    """Tell why: browsers do not show the status of a refused handshake, so accept, say it, and close."""
    access_log.write(DOOR, error, peer=access_log.peer(websocket.client))
    await websocket.accept(subprotocol=form)
    frame = Frame(close=Close(status=error.to_status()))
    if form == BINARY:
        await websocket.send_bytes(frame.SerializeToString())
    else:
        await websocket.send_text(JsonForm().encode(frame, None, None) or "")
    code = CLOSE_TRY_LATER if error.code is Code.RESOURCE_EXHAUSTED else CLOSE_POLICY
    await websocket.close(code, reason=_close_reason(error))


def _close_reason(error: RpcError) -> str:
    """As much of the message as a close frame holds, which has 125 bytes with its code."""
    return error.message.encode()[:MAX_REASON_BYTES].decode(errors="ignore")


class Flood(Exception):
    """More messages than any mistake of a call explains: the connection's fault."""


class Connection:
    """One client's connection."""

    def __init__(self, websocket: WebSocket, hub: Hub, admitted: Pass, form: BinaryForm | JsonForm) -> None:
        self._websocket = websocket
        self._form = form
        self._hub = hub
        self._pass = admitted
        admitted.refused = self._turn_out
        self._calls: dict[str, DoorCall] = {}
        self._rate = hub.limits.message_rate()
        self._excess = hub.limits.message_rate()
        self._binary, self._json = BinaryForm(), JsonForm()
        self._writer = Writer(websocket, self._calls)
        self._last_words: tuple[int, str] | None = None
        self._flooded = RpcError(Code.RESOURCE_EXHAUSTED, "")

    # ---- from the client

    async def run(self) -> None:
        """Read until the client goes away or breaks a rule of the connection."""
        try:
            while self._last_words is None:
                message = await self._websocket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                self._take(message)
        except (WebSocketDisconnect, ConnectionError):
            return
        finally:
            await self._end()

    @property
    def waiting_bytes(self) -> int:
        """What its calls have for the client, which has not been written to the connection."""
        return sum(call.relay.pending_bytes for call in self._calls.values() if call.relay is not None)

    def _take(self, message: AsgiMessage) -> None:
        try:
            text = message.get("text")
            if text is None:
                self._take_binary(message["bytes"])
            else:
                self._take_text(text)
        except MalformedFrame as error:
            self._hang_up(CLOSE_INVALID, invalid(str(error), reason="MALFORMED_FRAME"))
        except RpcError as error:
            self._hang_up(CLOSE_TOO_BIG, error)
        except Flood:
            self._hang_up(CLOSE_POLICY, self._flooded)

    def _take_binary(self, data: bytes) -> None:
        frame = self._binary.decode(data)
        if len(data) > MAX_FRAME:
            self._too_large(frame, len(data))
        else:
            self._guarded(frame, self._binary, [])

    def _too_large(self, frame: Frame, size: int) -> None:
        """Ends the call that it belongs to, or else, raising MESSAGE_TOO_LARGE, the connection."""
        error = RpcError(
            Code.RESOURCE_EXHAUSTED,
            f"A frame of {size:,} bytes is over the limit of {MAX_FRAME:,}; split the message with `more`.",
            reason="MESSAGE_TOO_LARGE",
        )
        call = self._calls.get(frame.call_id)
        if call is None and not (frame.HasField("open") and _CALL_ID.fullmatch(frame.call_id)):
            raise error
        self._count(call)
        self._refuse(frame.call_id, call, error, self._binary)

    def _take_text(self, text: str) -> None:
        if len(text) > MAX_TEXT:
            raise RpcError(
                Code.RESOURCE_EXHAUSTED,
                f"A frame of {len(text):,} characters is over the limit of {MAX_TEXT:,}.",
                reason="MESSAGE_TOO_LARGE",
            )
        frame, payloads = self._json.decode(text)
        self._guarded(frame, self._json, payloads)

    def _guarded(self, frame: Frame, form: BinaryForm | JsonForm, payloads: list[Any]) -> None:
        """A call's own mistake ends that call and nothing else."""
        before = self._calls.get(frame.call_id)
        try:
            self._dispatch(frame, form, payloads, before)
        except RpcError as error:
            call = self._calls.get(frame.call_id)
            first = call is before and error.reason == "CALL_EXISTS"  # it was there first and goes on
            self._refuse(frame.call_id, None if first else call, error, form)

    def _refuse(self, call_id: str, call: DoorCall | None, error: RpcError, form: BinaryForm | JsonForm) -> None:
        """Tell of a mistake, which ends the call if it has a place here."""
        if call is not None:
            del self._calls[call_id]
            self._drop(call, may_return=False)
        self._answer(call_id, error, form)

    def _dispatch(self, frame: Frame, form: BinaryForm | JsonForm, payloads: list[Any], call: DoorCall | None) -> None:
        kind = frame.WhichOneof("control")
        if call is not None and call.relay is not None and kind is None and self._flows(call, frame, payloads):
            return
        if not self._count(call) and kind in ("open", "resume"):
            raise self._flooded
        if not _CALL_ID.fullmatch(frame.call_id):
            raise invalid("callId is 1 to 64 of the characters A-Z a-z 0-9 _ -; choose one for each call.", "call_id")
        if kind == "open":
            self._open(frame, form, payloads)
        elif kind == "resume" and not (call is not None and frame.resume.resume_key == b""):
            self._resume(frame, form)
        elif call is not None:
            self._continue(call, frame, kind, payloads)
        elif kind == "ping":
            raise RpcError(Code.NOT_FOUND, f"No call {frame.call_id!r} is open here.", reason="CALL_NOT_FOUND")
        # All else are late words for a call that has just ended.

    def _count(self, call: DoorCall | None) -> bool:
        """A message came that no credit bounds; False if the connection has no room for more calls now.

        An open call answers for itself. Raises RATE_LIMITED for it, and Flood where so much more comes.
        """
        try:
            self._rate.take()
        except RpcError as error:
            self._flooded = error
            try:
                self._excess.take()
            except RpcError:
                raise Flood from error
            if call is None:
                return False
        if call is not None:
            call.rate.take()
        return True

    def _open(self, frame: Frame, form: BinaryForm | JsonForm, payloads: list[Any]) -> None:
        if frame.call_id in self._calls:
            raise RpcError(
                Code.ALREADY_EXISTS, f"The call {frame.call_id!r} is open; choose another id.", reason="CALL_EXISTS"
            )
        if frame.open.protocol_version != PROTOCOL_VERSION:
            raise version_mismatch(frame.open.protocol_version)
        call = self._admit(frame, form)
        self._feed(call, frame, payloads)

    def _admit(self, frame: Frame, form: BinaryForm | JsonForm) -> DoorCall:
        """Give the call its places, on the hub and on this connection.

        Raises UNAUTHENTICATED where the connection's key is worth nothing any more, RESOURCE_EXHAUSTED.
        """
        self._pass.check()
        limit = self._hub.settings.limits.max_calls_per_connection
        if len(self._calls) >= limit:
            raise RpcError(
                Code.RESOURCE_EXHAUSTED,
                f"This connection has {limit} open calls, as many as it may.",
                reason="TOO_MANY_CALLS",
                retry_after=1.0,
            )
        call = DoorCall(frame.call_id, form, Opening(frame), self._hub.limits.call_rate())
        call.admission.enter_context(self._hub.limits.call(self._pass.principal))
        self._calls[call.call_id] = call
        return call

    def _feed(self, call: DoorCall, frame: Frame, payloads: list[Any]) -> None:
        """Payloads and half-close before the call has begun, which it does with its first request."""
        assert call.opening is not None
        method = self._hub.catalog.method(call.opening.frame.open.method)
        for batch in self._pieces(call, method, frame, payloads):
            call.gather(batch)
        call.opening.half_closed = frame.half_close
        if opening := call.whole():
            ready = partial(self._has_output, call)
            call.begun(
                Relay.open(self._hub, opening, self._pass.principal, ready, binary=not call.form.text, door=DOOR)
            )
        else:
            self._await_rest(call)

    def _await_rest(self, call: DoorCall) -> None:
        """The first request is so large that more frames have to come for it, but not at any time."""
        if call.patience is None:
            call.patience = asyncio.get_running_loop().call_later(FIRST_REQUEST_SECONDS, self._give_up, call)
        call.incoming.grant(call.incoming.received + REQUEST_WINDOW)
        credit = Credit(granted=call.incoming.granted, consumed=call.incoming.received)
        self._writer.say(Frame(call_id=call.call_id, credit=credit), call.form)

    def _give_up(self, call: DoorCall) -> None:
        if self._calls.get(call.call_id) is call:
            self._refuse(call.call_id, call, request_missing(), call.form)

    def _flows(self, call: DoorCall, frame: Frame, payloads: list[Any]) -> bool:
        """Payloads of a call that runs, and its half-close with them; False if they are not within its credit."""
        relay = call.relay
        assert relay is not None
        call.incoming.grant(relay.protocol.outgoing.granted)
        within = call.incoming.received < call.incoming.granted
        batches = list(self._pieces(call, relay.method, frame, payloads))
        for batch in batches:
            relay.push(batch)
        if batches and frame.half_close:
            relay.half_close()
        return within and bool(batches)

    def _pieces(self, call: DoorCall, method: MethodInfo, frame: Frame, payloads: list[Any]) -> Iterator[Pieces]:
        """What is new of a frame. Raises STREAM_GAP, CREDIT_EXCEEDED, INVALID_ARGUMENT."""
        if isinstance(call.form, JsonForm):
            for value in payloads:
                if call.relay is not None and call.relay.protocol.outgoing.full:
                    raise does_not_wait()
                pieces = payload_of(method, value)
                call.incoming.received += len(pieces)
                first = call.incoming.received - len(pieces) + 1
                for index, piece in enumerate(pieces):
                    yield Pieces([piece], first + index, more=index < len(pieces) - 1)
        elif frame.payload:
            payload = frame.payload[:]
            last = frame.sequence or call.incoming.received + len(payload)
            if last - len(payload) > call.incoming.received:
                expected = call.incoming.received + 1
                raise invalid(f"Payload {expected} is missing before sequence {last}.", "sequence", "STREAM_GAP")
            new = call.incoming.accept(payload, last, frame.more)
            if new is not None:
                yield new

    def _continue(self, call: DoorCall, frame: Frame, kind: str | None, payloads: list[Any]) -> None:
        relay = call.relay
        if relay is not None:
            if kind is not None:  # else it was tried before
                self._flows(call, frame, payloads)
            if frame.half_close:
                relay.half_close()
        elif call.opening is None:
            call.keep(frame)
        elif frame.payload or payloads or frame.half_close:
            self._feed(call, frame, payloads)
        if kind == "cancel":
            self._cancel(call, frame.cancel.reason)
        elif kind == "ping":
            pong = Frame(call_id=call.call_id, sequence=relay.handed if relay else 0, pong=Pong(nonce=frame.ping.nonce))
            self._writer.say(pong, call.form)
        elif relay is not None and kind == "credit":
            relay.grant(frame.credit.granted, frame.credit.consumed)
        elif relay is not None and kind == "detach":
            del self._calls[call.call_id]
            self._drop(call)

    def _cancel(self, call: DoorCall, reason: str) -> None:
        if call.relay is not None:
            call.relay.cancel(reason)
        else:
            raise RpcError(Code.CANCELLED, "The call was cancelled before it had begun.", reason="CANCELLED")

    def _resume(self, frame: Frame, form: BinaryForm | JsonForm) -> None:
        before = self._calls.pop(frame.call_id, None)
        if before is not None:
            self._drop(before)
        call = self._admit(frame, form)
        call.opening = None
        call.incoming = Incoming(REQUEST_WINDOW, frame.sequence)
        call.task = asyncio.create_task(self._find(call, frame))

    async def _find(self, call: DoorCall, frame: Frame) -> None:
        try:
            ready = partial(self._has_output, call)
            relay = await Relay.resume(
                self._hub, frame, self._pass.principal, ready, binary=not call.form.text, door=DOOR
            )
        except RpcError as error:
            self._calls.pop(call.call_id, None)
            call.admission.close()
            self._answer(call.call_id, error, call.form)
            return
        call.begun(relay)
        relay.settle()
        for early in call.early:
            self._guarded(early, call.form, [])
        call.early.clear()

    # ---- to the client

    def _has_output(self, call: DoorCall, _: Relay) -> None:
        if self._calls.get(call.call_id) is not call:
            return  # dropped: its client has left it, or was told why it ends
        self._writer.mark(call)

    def _answer(self, call_id: str, error: RpcError, form: BinaryForm | JsonForm) -> None:
        who = self._pass.principal
        access_log.write(
            DOOR,
            error,
            peer=access_log.peer(self._websocket.client),
            call_id=call_id[:64],
            principal=who.name,
            credential_id=who.credential_id,
        )
        self._writer.say(Frame(call_id=call_id, close=Close(status=error.to_status())), form)

    def _hang_up(self, code: int, error: RpcError) -> None:
        """The connection itself is at fault: say why, and end it."""
        self._answer("", error, self._form)
        self._last_words = (code, _close_reason(error))

    def _turn_out(self, error: RpcError) -> None:
        """The connection's credential has ended, and with it the calls that run; no new ones are taken."""
        for call in list(self._calls.values()):
            if call.relay is not None:
                call.relay.turn_out(error)
            else:
                self._refuse(call.call_id, call, error, call.form)

    # ---- the end

    def _drop(self, call: DoorCall, *, may_return: bool = True) -> None:
        """Let go of a call; its client may come back for it, unless it broke the call's rules."""
        self._writer.forget(call)
        call.admission.close()
        call.end_patience()
        if call.task is not None:
            call.task.cancel()
        if call.relay is None:
            return
        if may_return:
            call.relay.leave()
        else:
            call.relay.cancel("the caller broke the call's rules")

    async def _end(self) -> None:
        self._pass.refused = None
        calls = list(self._calls.values())
        self._calls.clear()
        if self._last_words is not None:
            await self._say_goodbye(*self._last_words)
        for call in calls:
            self._drop(call)
        await self._writer.close()

    async def _say_goodbye(self, code: int, reason: str) -> None:
        with contextlib.suppress(WebSocketDisconnect, ConnectionError, RuntimeError, TimeoutError):
            async with asyncio.timeout(5.0):
                await self._writer.flush()
                await self._websocket.close(code, reason=reason)
        log.info("websocket.refused", code=code, reason=reason, at=time.time())
