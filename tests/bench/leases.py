"""What the stage adds to a loaded model: the first token of a chat, in a hub that leases memory and in one without.

Two hubs of this checkout with troupe-tiny loaded, asked in turns through OpenAI's door, by one client and by ten.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from hub_processes import HubProcesses, hub_processes
from ratios import verdict
from table import Table, median

ROUNDS = 12
CALLS = 20
"""Of each client in each round."""
REQUEST = {
    "model": "troupe-tiny",
    "messages": [{"role": "user", "content": "What is a lease?"}],
    "max_tokens": 4,
    "stream": True,
}


async def first_token(client: httpx.AsyncClient) -> float:
    """Seconds until a token has come."""
    began = time.perf_counter()
    found = 0.0
    async with client.stream("POST", "/v1/chat/completions", json=REQUEST) as response:
        response.raise_for_status()
        async for line in response.aiter_lines():
            if not found and '"content":"' in line:
                found = time.perf_counter() - began
    return found


async def asked(client: httpx.AsyncClient, clients: int) -> list[float]:
    """Seconds to the first token of all calls of so many clients at once."""

    async def one() -> list[float]:
        return [await first_token(client) for _ in range(CALLS)]

    return [seconds for each in await asyncio.gather(*(one() for _ in range(clients))) for seconds in each]


@asynccontextmanager
async def hub(*actors: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a hub with these actors, whose model is loaded."""
    async with hub_processes(*actors) as running, httpx.AsyncClient(base_url=_address(running), timeout=60) as client:
        async with asyncio.timeout(60):
            while (await client.post("/v1/chat/completions", json=REQUEST | {"stream": False})).status_code != 200:
                await asyncio.sleep(0.5)
        yield client


def _address(running: HubProcesses) -> str:
    return f"http://127.0.0.1:{running.http_port}"


async def main() -> None:
    table = Table(
        "leases",
        "What the stage adds to the first token of a loaded model",
        ("clients at once", "without", "with", "with / without", "noise", "rounds"),
        notes=[
            "troupe-tiny with one slot, through OpenAI's door; the median of each round, in turns. A call of a loaded "
            "model goes to its process as before; the stage hears that it is used, at most once a second."
        ],
    )
    async with hub("llama", "models") as plain, hub("gpu", "llama", "models") as leased:
        for clients in (1, 10):
            before, after = [], []
            for _ in range(ROUNDS):
                before.append(median(await asked(plain, clients)))
                after.append(median(await asked(leased, clients)))
            found = verdict(after, before)
            figures = (f"{median(before) * 1e3:.2f} ms", f"{median(after) * 1e3:.2f} ms", f"{found.ratio:.3f}")
            table.rows.append((str(clients), *figures, f"{found.noise:.3f}", str(ROUNDS)))
    table.publish()


if __name__ == "__main__":
    asyncio.run(main())
