"""A client process that opens streams at a door, counts tokens and takes their time. Prints one JSON object.

python load.py ws|grpc PORT STREAMS COUNT INTERVAL_MS
"""

import array
import asyncio
import functools
import json
import os
import resource
import sys
import time
from typing import Any

import uvloop

from plain_socket import PlainSocket
from troupe.echo.v1 import RepeatRequest, RepeatResponse
from troupe.rpc.v1 import Credit, Frame, Open

WINDOW = 256
TIMEOUT_SECONDS = 120.0
METHOD = "troupe.echo.v1.EchoService/Repeat"


class Tally:
    """What all streams of this process have received."""

    def __init__(self, streams: int) -> None:
        self.delays = array.array("q")
        self.frames = 0
        self.first = 0.0
        self.last = 0.0
        self.open = streams
        self.done = asyncio.Event()

    def take(self, payload: bytes) -> None:
        now = time.monotonic_ns()
        self.last = time.perf_counter()
        if not self.first:
            self.first = self.last
        self.delays.append(now - RepeatResponse.FromString(payload).made_at_monotonic_ns)

    def ended(self) -> None:
        self.open -= 1
        if not self.open:
            self.done.set()

    def report(self) -> dict[str, Any]:
        delays = sorted(self.delays)
        count = len(delays)
        used = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "received": count,
            "frames": self.frames,
            "seconds": self.last - self.first,
            "p50_us": delays[count // 2] / 1e3,
            "p99_us": delays[int(count * 0.99)] / 1e3,
            "cpu": used.ru_utime + used.ru_stime,
        }


def request(count: int, interval_ms: float) -> RepeatRequest:
    asked = RepeatRequest(count=count)
    asked.interval.FromNanoseconds(int(interval_ms * 1e6))
    return asked


class Stream(PlainSocket):
    """One WebSocket with one call."""

    def __init__(self, tally: Tally, number: int, asked: RepeatRequest) -> None:
        super().__init__()
        self._tally = tally
        self._call_id = f"bench-{os.getpid()}-{number}"
        self._asked = asked
        self._granted = WINDOW
        self._received = 0

    def begin(self) -> None:
        opening = Open(protocol_version=1, method=METHOD, initial_credit=WINDOW)
        payload = [self._asked.SerializeToString()]
        self.send(Frame(call_id=self._call_id, open=opening, sequence=1, payload=payload, half_close=True))

    def on_frame(self, frame: Frame) -> None:
        self._tally.frames += 1
        for payload in frame.payload:
            self._tally.take(payload)
        self._received += len(frame.payload)
        if self._granted - self._received <= WINDOW // 2:
            self._granted = self._received + WINDOW
            credit = Credit(granted=self._granted, consumed=self._received)
            self.send(Frame(call_id=self._call_id, credit=credit))
        if frame.HasField("close"):
            assert frame.close.status.code == 0, frame.close
            self._tally.ended()


async def websocket(port: int, streams: int, asked: RepeatRequest) -> Tally:
    tally = Tally(streams)
    loop = asyncio.get_running_loop()
    for number in range(streams):
        await loop.create_connection(functools.partial(Stream, tally, number, asked), "127.0.0.1", port)
    async with asyncio.timeout(TIMEOUT_SECONDS):
        await tally.done.wait()
    return tally


async def grpc_door(port: int, streams: int, asked: RepeatRequest) -> Tally:
    import grpc

    tally = Tally(streams)
    options = (("grpc.use_local_subchannel_pool", 1),)
    channels: list[Any] = [grpc.aio.insecure_channel(f"127.0.0.1:{port}", options) for _ in range(min(streams, 4))]

    async def one(number: int) -> None:
        call = channels[number % len(channels)].unary_stream(f"/{METHOD}")(asked.SerializeToString())
        async for payload in call:
            tally.frames += 1
            tally.take(payload)
        tally.ended()

    await asyncio.gather(*(one(number) for number in range(streams)))
    return tally


async def main() -> None:
    door, port, streams, count, interval = sys.argv[1], *sys.argv[2:6]
    asked = request(int(count), float(interval))
    run = grpc_door if door == "grpc" else websocket
    tally = await run(int(port), int(streams), asked)
    print(json.dumps(tally.report()), flush=True)
    os._exit(0)


if __name__ == "__main__":
    uvloop.run(main())
