"""Does memory grow? 50 streams for 10 minutes, ever new calls; RSS of gateway, actor and NATS server over time.

SOAK_SECONDS makes it shorter or longer.
"""

import asyncio
import os
import time

from hub_processes import hub_processes
from table import Table
from token_path import load

SECONDS = float(os.environ.get("SOAK_SECONDS", "600"))
STREAMS = 50
TOKENS = 500
INTERVAL_MS = 20.0
MARKS = 6


async def main() -> None:
    names = ("gateway", "echo", "nats")
    marks: list[tuple[float, list[float], int]] = []
    tokens = 0
    async with hub_processes("echo") as running:
        await load(running, "ws", STREAMS, TOKENS, INTERVAL_MS)
        start = time.monotonic()
        while (elapsed := time.monotonic() - start) < SECONDS or not marks:
            if elapsed >= SECONDS / MARKS * len(marks):
                marks.append((elapsed, [running.processes[name].rss() / 2**20 for name in names], tokens))
            tokens += (await load(running, "ws", STREAMS, TOKENS, INTERVAL_MS))["received"]
        marks.append((elapsed, [running.processes[name].rss() / 2**20 for name in names], tokens))
    table = Table(
        "soak",
        f"Soak: {STREAMS} streams of 50 tokens/s for {SECONDS / 60:.0f} minutes",
        ("after", *(f"{name} RSS" for name in names), "tokens so far"),
        notes=[f"Each stream has {TOKENS} tokens and is followed by the next on a new connection. Asked for: flat."],
    )
    for elapsed, rss, count in marks:
        table.rows.append((f"{elapsed:.0f} s", *(f"{value:.1f} MiB" for value in rss), f"{count:,}"))
    table.publish()


if __name__ == "__main__":
    asyncio.run(main())
