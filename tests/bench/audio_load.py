"""A client process that speaks and listens in many sessions, or uploads. Prints one JSON object.

python audio_load.py sound PORT SESSIONS SECONDS alone|upload      (upload: also one, on the first session's connection)
python audio_load.py upload PORT SECONDS
"""

import array
import asyncio
import collections
import json
import os
import resource
import socket
import sys
import time

import uvloop

from plain_socket import PlainSocket
from troupe.echo.v1 import CollectRequest, ConverseRequest
from troupe.rpc.v1 import Credit, Frame, Open

INTERVAL_SECONDS = 0.02
SOUND = ConverseRequest(text="x" * 637).SerializeToString()
"""640 bytes: 20 ms of 16-bit sound at 16 kHz."""
WINDOW = 8
PIECE = CollectRequest(text="x" * 47_000).SerializeToString()
UPLOAD_PIECES = 100_000_000 // len(PIECE)
SERVICE = "troupe.echo.v1.EchoService"
WARM_SECONDS = 0.5
LATEST_SECONDS = 60.0
MAX_UNSENT_BYTES = 128 * 1024


class Call:
    """One call on a connection."""

    def __init__(self, connection: "Connection", name: str) -> None:
        self.connection = connection
        self.call_id = f"audio-{os.getpid()}-{name}"
        self.sent = 0
        self.granted = 0

    def say(self, **fields: object) -> None:
        self.connection.send(Frame(call_id=self.call_id, **fields))  # type: ignore[arg-type]  # fields of a frame

    def on_frame(self, frame: Frame) -> None:
        if frame.HasField("credit"):
            self.granted = max(self.granted, frame.credit.granted)


class Sound(Call):
    """Says something every 20 ms and takes the time until it comes back, also while it may not be said for credit."""

    def __init__(self, connection: "Connection", name: str, tally: "Tally", frames: int, offset: float) -> None:
        super().__init__(connection, name)
        self._tally = tally
        self._left = frames
        self._offset = offset
        self._due: collections.deque[float] = collections.deque()
        self._unsaid = 0
        self._received = 0

    def begin(self) -> None:
        method = f"{SERVICE}/Converse"
        self.say(open=Open(protocol_version=1, method=method, initial_credit=WINDOW))
        self._loop = asyncio.get_running_loop()
        self._next = self._loop.time() + self._offset
        self._loop.call_at(self._next, self._tick)

    def _tick(self) -> None:
        self._due.append(time.perf_counter())  # uvloop's own clock counts milliseconds
        self._unsaid += 1
        self._speak()
        self._left -= 1
        if self._left:
            self._next += INTERVAL_SECONDS
            self._loop.call_at(self._next, self._tick)

    def _speak(self) -> None:
        while self._unsaid and self.sent < self.granted:
            self.sent += 1
            self._unsaid -= 1
            self.say(sequence=self.sent, payload=[SOUND])

    def on_frame(self, frame: Frame) -> None:
        super().on_frame(frame)
        now = time.perf_counter()
        for _ in range(len(frame.payload)):
            self._tally.delays.append(now - self._due.popleft())
        before, self._received = self._received, self._received + len(frame.payload)
        if self._received // 2 > before // 2:
            self.say(credit=Credit(granted=self._received + WINDOW, consumed=self._received))
        if self._unsaid:
            self._speak()
        if not self._left and not self._due and not self._tally.ended(self.call_id):
            self.say(sequence=self.sent, half_close=True)


class Upload(Call):
    """Uploads 100 MB after 100 MB as fast as credit allows, and as a client should: what else its connection has to say
    comes in between, and nothing piles up in the system's buffers.
    """

    def __init__(self, connection: "Connection") -> None:
        super().__init__(connection, "upload-0")
        self.seconds: list[float] = []
        self.saying = False

    def begin(self) -> None:
        self.call_id = f"audio-{os.getpid()}-upload-{len(self.seconds)}"
        self.connection.calls[self.call_id] = self
        self.sent = self.granted = 0
        self._started = time.perf_counter()
        self.say(open=Open(protocol_version=1, method=f"{SERVICE}/Collect"))

    def on_frame(self, frame: Frame) -> None:
        super().on_frame(frame)
        if not self.saying:
            self.go_on()
        if frame.HasField("close"):
            assert frame.close.status.code == 0, frame.close
            self.seconds.append(time.perf_counter() - self._started)
            self.begin()

    def go_on(self) -> None:
        """Say one piece, and the next in another turn of the loop."""
        self.saying = self.sent < min(self.granted, UPLOAD_PIECES) and not self.connection.full
        if self.saying:
            self.sent += 1
            self.say(sequence=self.sent, payload=[PIECE], half_close=self.sent == UPLOAD_PIECES)
            asyncio.get_running_loop().call_soon(self.go_on)


class Connection(PlainSocket):
    """One WebSocket with some calls."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: dict[str, Sound | Upload] = {}
        self.full = False

    def pause_writing(self) -> None:
        self.full = True

    def resume_writing(self) -> None:
        self.full = False
        for call in self.calls.values():
            if isinstance(call, Upload) and not call.saying:
                call.go_on()

    def begin(self) -> None:
        plain = self._transport.get_extra_info("socket")
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, MAX_UNSENT_BYTES)
        for call in list(self.calls.values()):
            call.begin()

    def on_frame(self, frame: Frame) -> None:
        self.calls[frame.call_id].on_frame(frame)


class Tally:
    """What all sessions of this process have seen."""

    def __init__(self, sessions: int) -> None:
        self.delays = array.array("d")
        self.done = asyncio.Event()
        self._sessions = sessions
        self._ended: set[str] = set()

    def ended(self, call_id: str) -> bool:
        """A session has heard all; True if that was known."""
        known = call_id in self._ended
        self._ended.add(call_id)
        if len(self._ended) == self._sessions:
            self.done.set()
        return known

    def report(self, sessions: int) -> dict[str, float]:
        warm = sessions * int(WARM_SECONDS / INTERVAL_SECONDS)
        delays = sorted(self.delays[warm:])
        return {
            "exchanges": len(self.delays),
            "p50_ms": delays[len(delays) // 2] * 1e3,
            "p99_ms": delays[int(len(delays) * 0.99)] * 1e3,
            "cpu": sum(resource.getrusage(resource.RUSAGE_SELF)[:2]),
        }


async def connect(port: int, connection: Connection) -> None:
    await asyncio.get_running_loop().create_connection(lambda: connection, "127.0.0.1", port)


async def sound(port: int, sessions: int, seconds: float, *, upload: bool) -> dict[str, object]:
    tally = Tally(sessions)
    frames = int((seconds + WARM_SECONDS) / INTERVAL_SECONDS)
    beside: Upload | None = None
    for number in range(sessions):
        connection = Connection()
        offset = 0.2 + INTERVAL_SECONDS * number / sessions
        call = Sound(connection, str(number), tally, frames, offset)
        connection.calls[call.call_id] = call
        if upload and not number:
            beside = Upload(connection)
            connection.calls[beside.call_id] = beside
        await connect(port, connection)
    async with asyncio.timeout(seconds + LATEST_SECONDS):
        await tally.done.wait()
    return {**tally.report(sessions), "uploads": beside.seconds if beside else []}


async def uploads(port: int, seconds: float) -> dict[str, object]:
    connection = Connection()
    call = Upload(connection)
    connection.calls[call.call_id] = call
    await connect(port, connection)
    await asyncio.sleep(seconds)
    return {"uploads": call.seconds}


async def main() -> None:
    kind, port, *rest = sys.argv[1:]
    if kind == "upload":
        report = await uploads(int(port), float(rest[0]))
    else:
        report = await sound(int(port), int(rest[0]), float(rest[1]), upload=rest[2] == "upload")
    print(json.dumps(report), flush=True)
    os._exit(0)


if __name__ == "__main__":
    uvloop.run(main())
