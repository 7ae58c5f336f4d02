"""What NATS itself does here, by nats-py: round trip, and sinks that only receive. Prints one JSON object.

python raw_nats.py echo PORT | rtt PORT COUNT | sink PORT COUNT | flood PORT COUNT | take PORT COUNT STREAMS INTERVAL_MS
"""

import asyncio
import json
import sys
import time

import nats
import uvloop
from nats.aio.client import Client
from nats.aio.msg import Msg

from bus import subjects
from troupe.echo.v1 import RepeatRequest
from troupe.rpc.v1 import Credit, Frame, Open

WINDOW = 256
METHOD = "troupe.echo.v1.EchoService/Repeat"
PAYLOAD = b"x" * 72  # a frame with one token


async def echo(client: Client, count: int) -> None:
    async def answer(message: Msg) -> None:
        await client.publish(message.reply, message.data)

    await client.subscribe("bench.echo", cb=answer)
    await client.flush()
    print("ready", flush=True)
    await asyncio.Event().wait()


async def rtt(client: Client, count: int) -> None:
    answered = asyncio.Event()

    async def take(message: Msg) -> None:
        answered.set()

    await client.subscribe("bench.reply", cb=take)
    await client.flush()
    delays = []
    for _ in range(count):
        answered.clear()
        start = time.perf_counter()
        await client.publish("bench.echo", PAYLOAD, "bench.reply")
        await answered.wait()
        delays.append(time.perf_counter() - start)
        await asyncio.sleep(0.001)
    delays.sort()
    print(json.dumps({"p50_us": delays[len(delays) // 2] * 1e6, "p99_us": delays[int(len(delays) * 0.99)] * 1e6}))


async def sink(client: Client, count: int) -> None:
    received, start, done = 0, 0.0, asyncio.Event()

    async def take(message: Msg) -> None:
        nonlocal received, start
        start = start or time.perf_counter()
        received += 1
        if received == count:
            done.set()

    await client.subscribe("bench.sink", cb=take, pending_msgs_limit=10 * count)
    await client.flush()
    print("ready", flush=True)
    await done.wait()
    print(json.dumps({"rate": received / (time.perf_counter() - start)}), flush=True)


async def take(client: Client, count: int) -> None:
    """A sink for Troupe's own streams: opens them on the bus, gives credit, counts tokens and does nothing else."""
    streams, interval = int(sys.argv[4]), float(sys.argv[5])
    asked = RepeatRequest(count=count // streams)
    asked.interval.FromNanoseconds(int(interval * 1e6))
    received, closed, start, done = [0] * streams, 0, 0.0, asyncio.Event()
    granted = [WINDOW] * streams

    async def frame_came(message: Msg) -> None:
        nonlocal start, closed
        start = start or time.perf_counter()
        frame = Frame.FromString(message.data)
        number = int(frame.call_id.rpartition("-")[2])
        received[number] += len(frame.payload)
        if granted[number] - received[number] <= WINDOW // 2:
            granted[number] = received[number] + WINDOW
            credit = Credit(granted=granted[number], consumed=received[number])
            given = Frame(call_id=frame.call_id, epoch=frame.epoch, credit=credit)
            await client.publish(message.reply, given.SerializeToString(), message.subject)
        if frame.HasField("close"):
            assert frame.close.status.code == 0, frame.close
            closed += 1
            if closed == streams:
                done.set()

    await client.subscribe("reply.bench-sink.*", cb=frame_came)
    await client.flush()
    for number in range(streams):
        call_id = f"sink-{time.monotonic_ns()}-{number}"
        opening = Open(protocol_version=1, method=METHOD, initial_credit=WINDOW)
        frame = Frame(call_id=call_id, open=opening, sequence=1, payload=[asked.SerializeToString()], half_close=True)
        subject = subjects.call("troupe.echo.v1.EchoService", "Repeat")
        await client.publish(subject, frame.SerializeToString(), subjects.reply("bench-sink", call_id))
    async with asyncio.timeout(120):
        await done.wait()
    print(json.dumps({"rate": sum(received) / (time.perf_counter() - start)}), flush=True)


async def flood(client: Client, count: int) -> None:
    for number in range(count):
        await client.publish("bench.sink", PAYLOAD)
        if number % 64 == 63:
            await client.flush()
    await client.flush()


async def main() -> None:
    role, port, count = sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 0
    client = await nats.connect(f"nats://127.0.0.1:{port}")
    await {"echo": echo, "rtt": rtt, "sink": sink, "flood": flood, "take": take}[role](client, count)
    await client.close()


if __name__ == "__main__":
    uvloop.run(main())
