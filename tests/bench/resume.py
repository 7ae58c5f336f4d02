"""200 seeded cuts of streams of known text: the client's socket, the gateway (kill -9), the NATS server (kill -9).

Counts tokens lost, doubled and out of order; asked for: none.
"""

import asyncio
import contextlib
import random
import signal
import time
from collections import Counter

import websockets

from hub_processes import HubProcesses, hub_processes
from table import Table
from troupe.echo.v1 import RepeatRequest, RepeatResponse
from troupe.rpc.v1 import Credit, Frame, Open, Resume

CUTS = 200
STREAMS = 8
TOKENS = 3000
INTERVAL_MS = 4
WINDOW = 64
KEY = b"a secret of sixteen or more bytes"

BINARY = websockets.Subprotocol("troupe.v1.binary")


class Reader:
    """A client that comes back until it has everything."""

    def __init__(self, running: HubProcesses, number: int) -> None:
        self._running = running
        self.call_id = f"resume-{number}-{time.monotonic_ns()}"
        self.indexes: list[int] = []
        self.last = 0
        self.epoch = 0
        self.socket: websockets.ClientConnection | None = None
        self.error = ""
        self.resumed = 0

    async def run(self) -> None:
        frame: Frame | None = self._opening()
        while frame is not None:
            try:
                frame = await self._read(frame)
            except (OSError, websockets.WebSocketException, TimeoutError):
                await asyncio.sleep(0.05)
                frame = self._resuming() if self.epoch else self._opening()
                self.resumed += 1

    def _opening(self) -> Frame:
        request = RepeatRequest(count=TOKENS)
        request.interval.FromMilliseconds(INTERVAL_MS)
        opening = Open(
            protocol_version=1, method="troupe.echo.v1.EchoService/Repeat", initial_credit=WINDOW, resume_key=KEY
        )
        payload = [request.SerializeToString()]
        return Frame(call_id=self.call_id, open=opening, payload=payload, sequence=1, half_close=True)

    def _resuming(self) -> Frame:
        resume = Resume(after=self.last, resume_key=KEY, granted=self.last + WINDOW)
        return Frame(call_id=self.call_id, epoch=self.epoch, sequence=1, resume=resume)

    async def _read(self, first: Frame) -> Frame | None:
        """Until the end (None) or a cut (raises); another frame to begin with where the hub asks to come back."""
        url = f"ws://127.0.0.1:{self._running.http_port}/ws"
        async with websockets.connect(
            url, compression=None, subprotocols=[BINARY], proxy=None, open_timeout=5
        ) as socket:
            self.socket = socket
            await socket.send(first.SerializeToString())
            while True:
                async with asyncio.timeout(20):
                    frame = Frame.FromString(await socket.recv(decode=False))
                self.epoch = self.epoch or frame.epoch
                self.indexes += [RepeatResponse.FromString(payload).index for payload in frame.payload]
                self.last = max(self.last, frame.sequence)
                if frame.HasField("close"):
                    self.error = frame.close.status.message
                    return None
                if frame.payload:
                    credit = Credit(granted=self.last + WINDOW, consumed=self.last)
                    await socket.send(Frame(call_id=self.call_id, epoch=self.epoch, credit=credit).SerializeToString())


async def cut(running: HubProcesses, kind: str, readers: list[Reader], rng: random.Random) -> None:
    if kind == "client socket":
        reader = rng.choice(readers)
        if reader.socket is not None:
            reader.socket.transport.abort()
    elif kind == "gateway":
        await running.processes["gateway"].stop(signal.SIGKILL)
        await running.start_gateway()
    else:
        await running.processes["nats"].stop(signal.SIGKILL)
        await running.start_nats()


async def main() -> None:
    cuts: Counter[str] = Counter()
    lost = doubled = disordered = failed = streams = 0
    seed = 0
    async with hub_processes("echo") as running:
        while sum(cuts.values()) < CUTS:
            rng = random.Random(seed)
            readers = [Reader(running, number) for number in range(STREAMS)]
            tasks = [asyncio.create_task(reader.run()) for reader in readers]
            await asyncio.sleep(0.5)
            while not any(task.done() for task in tasks) and sum(cuts.values()) < CUTS:
                kind = rng.choices(("client socket", "gateway", "NATS server"), (6, 2, 2))[0]
                await cut(running, kind, readers, rng)
                cuts[kind] += 1
                await asyncio.sleep(rng.uniform(0.05, 0.6))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(120):
                    await asyncio.gather(*tasks)
            for reader in readers:
                streams += 1
                failed += bool(reader.error) or len(reader.indexes) < TOKENS
                lost += TOKENS - len(set(reader.indexes))
                doubled += len(reader.indexes) - len(set(reader.indexes))
                disordered += sum(
                    after < before for before, after in zip(reader.indexes, reader.indexes[1:], strict=False)
                )
                if reader.error:
                    print("stream ended with:", reader.error)
            seed += 1
    table = Table(
        "resume",
        "Cuts during streams of known text",
        ("cuts", "streams", "tokens", "lost", "doubled", "out of order", "streams that failed"),
        notes=[
            ", ".join(f"{count} × {kind}" for kind, count in cuts.items())
            + f"; seeds 0 to {seed - 1}; asked for: 0, 0, 0."
        ],
    )
    figures = (sum(cuts.values()), streams, streams * TOKENS, lost, doubled, disordered, failed)
    table.rows.append(tuple(f"{figure:,}" for figure in figures))
    table.publish()


if __name__ == "__main__":
    asyncio.run(main())
