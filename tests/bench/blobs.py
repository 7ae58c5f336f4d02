"""100 MB up and down over HTTP, beside a bare Starlette app that writes the body to the disk."""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from hub_processes import HubProcesses, Process, free_port, hub_processes, reachable
from table import Table, median

SIZE = 100 * 1000 * 1000
ROUNDS = 5
PIECE = 256 * 1024
WATCH_SECONDS = 0.01
MAX_GROWTH = 24 * 1024 * 1024
"""What a process may grow by while 100 MB pass: a second copy would be four times that."""

MIB = 1024 * 1024


@dataclass
class Cost:
    """Of one transfer: seconds on the clock, CPU seconds of the servers, the largest growth in bytes of each."""

    wall: float
    cpu: float
    growth: list[int]


async def request(port: int, head: str, body: bytes = b"") -> tuple[bytes, int]:
    """One request on a connection of its own: the first bytes of its answer, and how many came after its head."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4 * MIB)
    writer.write(f"{head}\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n\r\n".encode())
    for start in range(0, len(body), PIECE):
        writer.write(body[start : start + PIECE])
        await writer.drain()
    answer = await reader.readuntil(b"\r\n\r\n")
    first, received = b"", 0
    while piece := await reader.read(4 * MIB):
        first = first or piece
        received += len(piece)
    writer.close()
    assert answer.split()[1].startswith(b"2"), answer
    return answer + first[:4096], received


async def measured(processes: Sequence[Process], work: Callable[[], Awaitable[None]]) -> Cost:
    before = [process.rss() for process in processes]
    largest = list(before)

    async def watch() -> None:
        while True:
            for place, process in enumerate(processes):
                largest[place] = max(largest[place], process.rss())
            await asyncio.sleep(WATCH_SECONDS)

    watching = asyncio.create_task(watch())
    cpu, started = sum(process.cpu_seconds() for process in processes), time.perf_counter()
    await work()
    wall = time.perf_counter() - started
    used = sum(process.cpu_seconds() for process in processes) - cpu
    watching.cancel()
    return Cost(wall, used, [most - least for most, least in zip(largest, before, strict=True)])


@dataclass
class Rig:
    """The hub, the bare app, and what goes up."""

    hub: HubProcesses
    bare: Process
    bare_port: int
    content: bytes
    blob: str = ""

    @property
    def own(self) -> list[Process]:
        return [self.hub.processes[name] for name in ("gateway", "blobs", "nats")]

    async def up(self) -> None:
        head = f"POST /v1/blobs HTTP/1.1\r\ncontent-length: {SIZE}\r\ncontent-type: application/octet-stream"
        answer, _ = await request(self.hub.http_port, head, self.content)
        self.blob = json.loads(answer.partition(b"\r\n\r\n")[2])["id"]

    async def down(self) -> None:
        _, received = await request(self.hub.http_port, f"GET /v1/blobs/{self.blob} HTTP/1.1")
        assert received == SIZE, received

    async def remove(self) -> None:
        await request(self.hub.http_port, f"DELETE /v1/blobs/{self.blob} HTTP/1.1")

    async def bare_up(self, query: str) -> None:
        await request(self.bare_port, f"POST /{query} HTTP/1.1\r\ncontent-length: {SIZE}", self.content)

    async def bare_down(self) -> None:
        _, received = await request(self.bare_port, "GET / HTTP/1.1")
        assert received == SIZE


async def main() -> None:
    async with hub_processes("blobs") as hub:
        port = free_port()
        script = str(__file__).replace("blobs.py", "bare_upload.py")
        bare = await hub.start("bare", sys.executable, script, str(port), str(hub.home / "bare"))
        await reachable(port)
        rig = Rig(hub, bare, port, bytes(range(250)) * (SIZE // 250))
        costs = await rounds(rig)
    publish(costs)


async def rounds(rig: Rig) -> dict[str, list[Cost]]:
    costs: dict[str, list[Cost]] = {}
    kinds: list[tuple[str, Sequence[Process], Callable[[], Awaitable[None]]]] = [
        ("up, bare Starlette", [rig.bare], lambda: rig.bare_up("")),
        ("up, bare Starlette and fsync", [rig.bare], lambda: rig.bare_up("?sync")),
        ("up, Troupe", rig.own, rig.up),
        ("down, bare Starlette", [rig.bare], rig.bare_down),
        ("down, Troupe", rig.own, rig.down),
    ]
    for number in range(ROUNDS + 1):
        for name, processes, work in kinds:
            cost = await measured(processes, work)
            if number:  # the first warms up
                costs.setdefault(name, []).append(cost)
        await rig.remove()
    return costs


def publish(costs: dict[str, list[Cost]]) -> None:
    table = Table("blobs", "Blobs: 100 MB over HTTP", ("", "wall", "CPU", "wall / bare", "CPU / bare", "RSS grows by"))
    for name, found in costs.items():
        base = costs[f"{name.split(',')[0]}, bare Starlette"]
        growth = max(max(cost.growth) for cost in found)
        table.rows.append(
            (
                name,
                f"{median([cost.wall for cost in found]) * 1000:,.0f} ms",
                f"{median([cost.cpu for cost in found]) * 1000:,.0f} ms",
                f"{ratio(found, base, 'wall'):.2f}",
                f"{ratio(found, base, 'cpu'):.2f}",
                f"{growth / MIB:.1f} MiB",
            )
        )
        assert "Troupe" not in name or growth <= MAX_GROWTH, f"{name}: a process grew by {growth:,} bytes"
    table.notes += [
        "Asked for: up at most 1.5x of bare Starlette, and no second copy in memory: the benchmark fails where the"
        f" gateway or the actor grows by over {MAX_GROWTH // MIB} MiB.",
        "Troupe answers once the content is hashed (SHA-256) and on the disk (fdatasync), with its row; the bare app"
        " writes and hashes nothing. CPU is that of gateway, actor and NATS server together.",
        f"Medians of {ROUNDS} interleaved rounds and of their ratios; client and servers share the cores.",
    ]
    table.publish()


def ratio(found: list[Cost], base: list[Cost], what: str) -> float:
    return median([getattr(own, what) / getattr(bare, what) for own, bare in zip(found, base, strict=True)])


if __name__ == "__main__":
    asyncio.run(main())
