"""Streams chat completions from an OpenAI-compatible server and takes the time. Prints one JSON object.

    python openai_load.py PORT STREAMS MODEL
The upstream writes into each token when it was made (see upstream.py), so a token's delay needs no second clock.
"""

import asyncio
import functools
import json
import re
import statistics
import sys
import time
from typing import cast

import uvloop

_STAMP = re.compile(rb" T(\d+)")


class Stream(asyncio.Protocol):
    """One request on one connection."""

    def __init__(self, body: bytes, done: "asyncio.Future[None]") -> None:
        self._body = body
        self._done = done
        self._tail = b""
        self.sent = 0
        self.first = 0
        self.delays: list[int] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer x\r\nContent-Length: {len(self._body)}\r\n\r\n"
        )
        self.sent = time.monotonic_ns()
        cast(asyncio.Transport, transport).write(head.encode() + self._body)  # uvloop's does not inherit from it

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        data = self._tail + data
        end = data.rfind(b"\n") + 1
        self._tail = data[end:]
        for found in _STAMP.finditer(data, 0, end):
            self.first = self.first or now
            self.delays.append(now - int(found[1]))
        if b"[DONE]" in data and not self._done.done():
            self._done.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(error or ConnectionError("closed before the end"))


async def main() -> None:
    port, count, model = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    body = json.dumps({"model": model, "stream": True, "messages": [{"role": "user", "content": "hi"}]}).encode()
    loop = asyncio.get_running_loop()
    streams: list[Stream] = []
    endings = []
    for _ in range(count):
        done = loop.create_future()
        _, stream = await loop.create_connection(functools.partial(Stream, body, done), "127.0.0.1", port)
        streams.append(stream)
        endings.append(done)
        await asyncio.sleep(0.02)  # people do not arrive together
    async with asyncio.timeout(120.0):
        await asyncio.gather(*endings)
    delays = [delay for stream in streams for delay in stream.delays[1:]]
    firsts = [stream.first - stream.sent for stream in streams]
    print(
        json.dumps(
            {
                "tokens": sum(len(stream.delays) for stream in streams),
                "ttft_ms": statistics.median(firsts) / 1e6,
                "delay_ms": statistics.median(delays) / 1e6,
            }
        )
    )


if __name__ == "__main__":
    uvloop.run(main())
