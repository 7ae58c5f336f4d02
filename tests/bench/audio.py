"""Sound through the WebSocket, 640 bytes up and down every 20 ms, alone and beside uploads of 100 MB."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import psutil

from hub_processes import HubProcesses, hub_processes
from table import Table, median
from token_path import run_json

HERE = Path(__file__).parent
ROUNDS = 3
SECONDS = 4.0
SESSIONS = (10, 100)
BESIDE = ("alone", "100 MB beside it", "100 MB on one's connection")
SAMPLE_SECONDS = 0.1
FULL_PERCENT = 95.0
WATCHED = ("gateway", "nats", "converse")


class Cores:
    """Looks at all cores ten times a second."""

    def __init__(self) -> None:
        self._samples: list[bool] = []

    async def watch(self) -> None:
        psutil.cpu_percent(percpu=True)
        while True:
            await asyncio.sleep(SAMPLE_SECONDS)
            self._samples.append(min(psutil.cpu_percent(percpu=True)) >= FULL_PERCENT)

    def full(self) -> float:
        """The share of time in which no core had anything left."""
        return sum(self._samples) / max(1, len(self._samples))


async def measure(running: HubProcesses, sessions: int, beside: str) -> dict[str, Any]:
    """One round: delays, and the CPU time of each process."""
    port = str(running.http_port)
    cores = Cores()
    upload = None
    if beside == BESIDE[1]:
        seconds = str(SECONDS + 3.0)
        upload = asyncio.create_task(run_json(running, str(HERE / "audio_load.py"), "upload", port, seconds))
        await asyncio.sleep(1.0)
    watching = asyncio.create_task(cores.watch())
    before = {name: running.processes[name].cpu_seconds() for name in WATCHED}
    same = "upload" if beside == BESIDE[2] else "alone"
    command = ("sound", port, str(sessions), str(SECONDS), same)
    found = await run_json(running, str(HERE / "audio_load.py"), *command)
    for name in WATCHED:
        found[f"{name}_us"] = (running.processes[name].cpu_seconds() - before[name]) / found["exchanges"] * 1e6
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    found["client_us"] = found["cpu"] / found["exchanges"] * 1e6
    found["client_share"] = found["cpu"] / (SECONDS + 1.0)
    found["full"] = cores.full()
    if upload is not None:
        found["uploads"] = (await upload)["uploads"]
    return found


def row(sessions: int, beside: str, rounds: list[dict[str, Any]], alone: list[dict[str, Any]]) -> tuple[str, ...]:
    def middle(key: str) -> float:
        return median([one[key] for one in rounds])

    ratio = median([one["p99_ms"] / other["p99_ms"] for one, other in zip(rounds, alone, strict=True)])
    uploads = [seconds for one in rounds for seconds in one["uploads"]]
    return (
        f"{sessions}, {beside}",
        f"{middle('p50_ms'):.2f} ms",
        f"{middle('p99_ms'):.2f} ms",
        "" if rounds is alone else f"{ratio:.2f}",
        f"{middle('full'):.0%}",
        *([f"{middle(f'{name}_us'):.0f} µs" for name in WATCHED] if rounds is alone else [""] * len(WATCHED)),
        f"{middle('client_share'):.0%}",
        f"{median(uploads):.1f} s" if uploads else "",
    )


async def main() -> None:
    table = Table(
        "audio",
        "Sound: 640 bytes up and down every 20 ms, through the WebSocket",
        (
            "sessions",
            "round trip p50",
            "p99",
            "p99 / alone",
            "all cores full",
            *(f"{name}, CPU per exchange" for name in WATCHED),
            "client's share of a core",
            "an upload took",
        ),
        notes=[
            "Asked for: p99 beside an upload at most 1.5 of that alone, at 10 sessions.",
            f"Medians of {ROUNDS} interleaved rounds of {SECONDS:g} s; ratios are of each round's neighbours. An "
            "exchange is one frame up and its answer down; its time counts from the client's timer. Uploads follow one "
            "another as long as the sound lasts, to a process of their own. Client, gateway, NATS and actors share "
            "the cores.",
        ],
    )
    found: dict[tuple[int, str], list[dict[str, Any]]] = {}
    async with hub_processes() as running:
        for method in ("Converse", "Collect"):
            await running.start(method.lower(), sys.executable, str(HERE / "audio_actor.py"), method)
        await asyncio.sleep(2.0)
        await measure(running, 10, BESIDE[2])
        for _ in range(ROUNDS):
            for sessions in SESSIONS:
                for beside in BESIDE:
                    found.setdefault((sessions, beside), []).append(await measure(running, sessions, beside))
    for (sessions, beside), rounds in found.items():
        table.rows.append(row(sessions, beside, rounds, found[(sessions, BESIDE[0])]))
    table.publish()


if __name__ == "__main__":
    asyncio.run(main())
