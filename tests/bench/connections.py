"""What an idle WebSocket costs the gateway, with 1,000 of them beside 50 streams that run."""

import asyncio
import contextlib
import sys

import websockets

from hub_processes import HubProcesses, hub_processes
from table import Table
from token_path import load

IDLE = 1000
ACTIVE = 50
STREAM_TOKENS = 500
INTERVAL_MS = 20.0

BINARY = websockets.Subprotocol("troupe.v1.binary")


async def main() -> None:
    table = Table(
        "connections",
        f"{IDLE:,} idle WebSockets beside {ACTIVE} streams of 50 tokens/s",
        (
            "gateway RSS before",
            "with idle connections",
            "per idle connection",
            "stream p50 before",
            "stream p50 beside them",
        ),
        notes=["Asked for: at most 40 KiB per idle connection. RSS is of the gateway's process."],
    )
    async with hub_processes("echo") as running:
        gateway = running.processes["gateway"]
        await load(running, "ws", ACTIVE, 100, INTERVAL_MS)
        alone = await load(running, "ws", ACTIVE, STREAM_TOKENS, INTERVAL_MS)
        before = gateway.rss()
        async with contextlib.AsyncExitStack() as stack:
            await open_idle(running, stack)
            after = gateway.rss()
            beside = await load(running, "ws", ACTIVE, STREAM_TOKENS, INTERVAL_MS)
        per_connection = (after - before) / IDLE / 1024
        row = (f"{before / 2**20:.1f} MiB", f"{after / 2**20:.1f} MiB", f"{per_connection:.1f} KiB")
        table.rows.append((*row, f"{alone['p50_us']:,.0f} µs", f"{beside['p50_us']:,.0f} µs"))
    table.publish()


async def open_idle(running: HubProcesses, stack: contextlib.AsyncExitStack) -> None:
    url = f"ws://127.0.0.1:{running.http_port}/ws"
    for _ in range(IDLE):
        connecting = websockets.connect(url, compression=None, subprotocols=[BINARY], proxy=None)
        await stack.enter_async_context(connecting)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
