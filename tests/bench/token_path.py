"""Producer to client through bus and gateway: delay when paced, rate when not, against NATS itself in the same run."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from hub_processes import HubProcesses, Process, hub_processes
from table import Table, median

HERE = Path(__file__).parent
ROUNDS = 3
PACED_SECONDS = 4
INTERVAL_MS = 20.0
UNPACED_TOKENS = 200_000
SINK_MESSAGES = 200_000
FLUSHED_TOKENS = 60_000
FLUSHED = 1e-6
"""Milliseconds between two tokens that make the actor give each to the bus by itself, and wait for nothing."""


async def run_json(hub: HubProcesses, *command: str) -> dict[str, Any]:
    """What a helper process prints last, as JSON."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdout=asyncio.subprocess.PIPE, env=hub.environment
    )
    out, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{command} ended with {process.returncode}")
    return dict(json.loads(out.decode().strip().splitlines()[-1]))


async def load(hub: HubProcesses, door: str, streams: int, count: int, interval: float) -> dict[str, Any]:
    port = hub.grpc_port if door == "grpc" else hub.http_port
    return await run_json(hub, str(HERE / "load.py"), door, str(port), str(streams), str(count), str(interval))


async def round_trip(hub: HubProcesses) -> float:
    return float((await run_json(hub, str(HERE / "raw_nats.py"), "rtt", str(hub.nats_port), "2000"))["p50_us"])


async def sink_rate(hub: HubProcesses) -> float:
    """Messages per second that a subscriber receives, one token each."""
    command = (sys.executable, str(HERE / "raw_nats.py"), "sink", str(hub.nats_port), str(SINK_MESSAGES))
    sink = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, env=hub.environment)
    assert sink.stdout is not None
    await sink.stdout.readline()
    flood = (sys.executable, str(HERE / "raw_nats.py"), "flood", str(hub.nats_port), str(SINK_MESSAGES))
    await (await asyncio.create_subprocess_exec(*flood, env=hub.environment)).wait()
    line = await sink.stdout.readline()
    await sink.wait()
    return float(json.loads(line)["rate"])


async def taken_rate(hub: HubProcesses, streams: int, total: int, interval: float) -> float:
    """Tokens per second of the same streams, at a nats-py subscriber that only receives."""
    command = (str(HERE / "raw_nats.py"), "take", str(hub.nats_port), str(total), str(streams), str(interval))
    return float((await run_json(hub, *command))["rate"])


async def start_echo(hub: HubProcesses) -> Process:
    process = await hub.start("echo-raw", sys.executable, str(HERE / "raw_nats.py"), "echo", str(hub.nats_port))
    await asyncio.sleep(1.0)
    return process


async def paced(hub: HubProcesses, table: Table) -> None:
    """Interleaved rounds of: raw round trip, then each door and number of streams."""
    found: dict[tuple[str, int], list[tuple[float, float, float]]] = {}
    count = int(PACED_SECONDS * 1000 / INTERVAL_MS)
    for _ in range(ROUNDS):
        for streams in (1, 10, 100):
            raw = await round_trip(hub)
            for door in ("ws", "grpc"):
                result = await load(hub, door, streams, count, INTERVAL_MS)
                found.setdefault((door, streams), []).append((result["p50_us"], result["p99_us"], raw))
    for (door, streams), rows in sorted(found.items(), key=lambda item: (item[0][1], item[0][0] != "ws")):
        p50, p99, raw = (median([row[index] for row in rows]) for index in range(3))
        ratio = median([row[0] / row[2] for row in rows])
        websocket = [row[0] for row in found[("ws", streams)]]
        to_websocket = median([mine[0] / theirs for mine, theirs in zip(rows, websocket, strict=True)])
        table.rows.append(
            (
                f"{door}, {streams} streams",
                f"{p50:,.0f} µs",
                f"{p99:,.0f} µs",
                f"{raw:,.0f} µs",
                f"{ratio:.2f}",
                f"{to_websocket:.2f}" if door == "grpc" else "",
            )
        )


async def unpaced(hub: HubProcesses, table: Table) -> None:
    """Interleaved rounds of: the two sinks that only receive, and the whole path."""
    kinds = [
        (f"one message per token, {streams} stream{'s' * (streams > 1)}", streams, FLUSHED_TOKENS, FLUSHED)
        for streams in (1, 10, 100)
    ] + [
        (f"backlog coalesced, {streams} stream{'s' * (streams > 1)}", streams, UNPACED_TOKENS, 0.0)
        for streams in (1, 10, 100)
    ]
    found: dict[str, list[tuple[float, float, float]]] = {}
    for _ in range(ROUNDS):
        raw = await sink_rate(hub)
        for label, streams, total, interval in kinds:
            taken = await taken_rate(hub, streams, FLUSHED_TOKENS, FLUSHED)
            result = await load(hub, "ws", streams, total // streams, interval)
            found.setdefault(label, []).append((result["received"] / result["seconds"], taken, raw))
    for label, rows in found.items():
        rate, taken, raw = (median([row[index] for row in rows]) for index in range(3))
        to_taken, to_raw = (median([row[0] / row[index] for row in rows]) for index in (1, 2))
        table.rows.append(
            (label, f"{rate:,.0f}/s", f"{taken:,.0f}/s", f"{to_taken:.2f}", f"{raw:,.0f}/s", f"{to_raw:.2f}")
        )


async def main() -> None:
    delays = Table(
        "token_path_paced",
        "Token path, 50 tokens/s per stream: producer to client",
        ("door", "p50", "p99", "NATS round trip p50", "p50 / round trip", "p50 / WebSocket"),
        notes=[
            "Asked for: WebSocket at most 4 round trips, gRPC at most 2x the WebSocket. Medians of "
            f"{ROUNDS} interleaved rounds of {PACED_SECONDS} s; client, gateway, NATS and actor share the cores."
        ],
    )
    rates = Table(
        "token_path_unpaced",
        "Token path, as fast as it goes: tokens at the WebSocket client",
        ("", "tokens", "receive-only sink", "tokens / sink", "bare NATS", "tokens / bare"),
        notes=[
            "Asked for: one to one at least 0.45 of a receive-only sink, coalesced at least 1.",
            "Receive-only sink: a nats-py subscriber in the place of gateway and client, which gets the same streams "
            "from the same actor, one message per token. Bare NATS: a subscriber that gets as many messages from a "
            "process that does nothing but publish.",
            "One message per token is what the actor gives to the bus; what piles up on the way is joined there too.",
        ],
    )
    async with hub_processes("echo") as running:
        await start_echo(running)
        await load(running, "ws", 1, 100, 1.0)
        await paced(running, delays)
        await unpaced(running, rates)
    delays.publish()
    rates.publish()


if __name__ == "__main__":
    asyncio.run(main())
