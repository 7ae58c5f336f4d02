"""Writes a WebSocket's frames, so that its calls take turns."""

import asyncio

from starlette.websockets import WebSocket, WebSocketDisconnect

from bus.stream import REQUEST_WINDOW
from gateway.codec import BinaryForm, JsonForm
from gateway.door_call import DoorCall
from gateway.relay import Relay
from troupe.rpc.v1 import Frame

MAX_BACKLOG = 16 * 1024 * 1024
"""Bytes that may wait for a client that does not read; more ends the connection."""


class Writer:
    """Writes for one connection, in turns: first what the connection itself has to say, then a frame of each call.

    calls: those that are open; one whose CLOSE was written is taken out.
    """

    def __init__(self, websocket: WebSocket, calls: dict[str, DoorCall]) -> None:
        self._websocket = websocket
        self._calls = calls
        self._ready: dict[str, DoorCall] = {}
        self._letters: list[tuple[Frame, BinaryForm | JsonForm]] = []
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def mark(self, call: DoorCall) -> None:
        """The call's relay has something for the client."""
        self._ready[call.call_id] = call
        self._write_soon()

    def forget(self, call: DoorCall) -> None:
        """Nothing more of this call is written."""
        self._ready.pop(call.call_id, None)

    def say(self, frame: Frame, form: BinaryForm | JsonForm) -> None:
        """A frame of the door's own."""
        self._letters.append((frame, form))
        self._write_soon()

    async def flush(self) -> None:
        """Write what there is."""
        while self._ready or self._letters:
            await self._write_turn()

    async def close(self) -> None:
        """Write nothing more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _write_soon(self) -> None:
        self._wake.set()
        if self._task is None:
            self._task = asyncio.create_task(self._write())

    async def _write(self) -> None:
        """Send while there are calls; an idle connection keeps no task."""
        try:
            while self._calls or self._ready or self._letters:
                if not (self._ready or self._letters):
                    self._wake.clear()
                    await self._wake.wait()
                await self._write_turn()
                if self._ready:  # writing need not have waited, and what others have would not come in between
                    await asyncio.sleep(0)
        except (WebSocketDisconnect, ConnectionError, RuntimeError):
            return  # the reader sees the same and cleans up
        finally:
            self._task = None

    async def _write_turn(self) -> None:
        """What the connection has to say, and a frame of each call that has some; what has more stays in line."""
        letters, self._letters = self._letters, []
        for frame, form in letters:
            await self._send(form.encode(frame, None, None))
        ready, self._ready = self._ready, {}
        for call in ready.values():
            if self._calls.get(call.call_id) is call:  # not dropped meanwhile
                await self._write_call(call)

    async def _write_call(self, call: DoorCall) -> None:
        relay = call.relay
        assert relay is not None
        frames = relay.take()
        if relay.has_more:
            self._ready[call.call_id] = call
        for frame in frames:
            await self._send(frame if isinstance(frame, bytes) else self._encoded(call, relay, frame))
        if relay.delivered and self._calls.get(call.call_id) is call:
            del self._calls[call.call_id]
            call.admission.close()

    def _encoded(self, call: DoorCall, relay: Relay, frame: Frame) -> bytes | str | None:
        if call.form.text and frame.more:
            # Who reads text sees whole messages only and cannot grant for the pieces of an unfinished one.
            relay.grant(frame.sequence + REQUEST_WINDOW, 0)
        return call.form.encode(frame, relay.method, call.answers)

    async def _send(self, message: bytes | str | None) -> None:
        if isinstance(message, bytes):
            await self._websocket.send({"type": "websocket.send", "bytes": message})
        elif message is not None:
            await self._websocket.send({"type": "websocket.send", "text": message})
        if self._ready and sum(call.relay.pending_bytes for call in self._ready.values() if call.relay) > MAX_BACKLOG:
            raise ConnectionError("the client does not read")
