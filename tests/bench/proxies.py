"""Troupe and a LiteLLM proxy in front of the same made-up upstream: what each adds to it, and what it costs.

Needs LITELLM, the path of a `litellm` command (`pip install 'litellm[proxy]' uvloop` in an environment of its own).
"""

import asyncio
import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hub_processes import HubProcesses, Process, free_port, hub_processes, reachable
from table import Table, median
from token_path import run_json

HERE = Path(__file__).parent
ROUNDS = 3
RATE = 50
TOKENS = 150
STREAMS = (10, 100)
FIGURES = ("ttft", "per_token", "cpu_us", "rss", "pss")


@dataclass
class Contender:
    """A proxy, its port and the processes it consists of."""

    name: str
    port: int
    processes: list[Process]

    def cpu(self) -> float:
        return sum(process.cpu_seconds() for process in self.processes)

    def rss(self) -> int:
        return sum(process.rss() for process in self.processes)

    def pss(self) -> int:
        return sum(process.pss() for process in self.processes)


async def start_upstream(running: HubProcesses) -> int:
    port = free_port()
    await running.start("upstream", sys.executable, str(HERE / "upstream.py"), str(port))
    await reachable(port)
    return port


async def start_litellm(running: HubProcesses, upstream: int, models: list[str]) -> Contender:
    port = free_port()
    entries = [
        {
            "model_name": model,
            "litellm_params": {
                "model": f"openai/{model}",
                "api_base": f"http://127.0.0.1:{upstream}/v1",
                "api_key": "x",
            },
        }
        for model in models
    ]
    config = running.home / "litellm.yaml"
    config.write_text(json.dumps({"model_list": entries, "litellm_settings": {"telemetry": False}}))
    # Neither side asks for keys here; LiteLLM wants that said.
    bare = ("env", "-u", "PYTHONPATH", "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY=true")
    command = (*bare, os.environ["LITELLM"], "--config", str(config), "--port", str(port), "--host", "127.0.0.1")
    process = await running.start("litellm", *command, "--telemetry", "False")
    await reachable(port)
    return Contender("LiteLLM", port, [process])


async def start_troupe(running: HubProcesses, upstream: int, models: list[str]) -> Contender:
    actor = await running.start("actor", sys.executable, str(HERE / "upstream_actor.py"), str(upstream), *models)
    gateway = await running.start_gateway()
    return Contender("Troupe", running.http_port, [gateway, actor, running.processes["nats"]])


async def load(running: HubProcesses, port: int, streams: int, model: str) -> dict[str, Any]:
    return await run_json(running, str(HERE / "openai_load.py"), str(port), str(streams), model)


async def warmed(running: HubProcesses, contender: Contender, model: str) -> None:
    """Until it answers, and then once more for its caches."""
    async with asyncio.timeout(120):
        while True:
            try:
                await load(running, contender.port, 2, model)
            except RuntimeError:
                await asyncio.sleep(0.5)
            else:
                break
    await load(running, contender.port, 10, model)


async def measure(running: HubProcesses, contender: Contender, streams: int, model: str) -> dict[str, float]:
    before = contender.cpu()
    start = time.monotonic()
    result = await load(running, contender.port, streams, model)
    used = contender.cpu() - before
    return {
        "ttft": result["ttft_ms"],
        "per_token": result["delay_ms"],
        "cpu_us": used / result["tokens"] * 1e6,
        "rss": contender.rss() / 2**20,
        "pss": contender.pss() / 2**20,
        "seconds": time.monotonic() - start,
    }


async def main() -> None:
    paced, quick = f"fake-{RATE}-{TOKENS}", "fake-0-20"
    table = Table(
        "proxies",
        f"In front of the same upstream, {RATE} tokens/s per stream, OpenAI streaming",
        ("streams", "", "added to first token", "added per token p50", "CPU per token", "RSS", "PSS"),
        notes=[
            "Added: as seen by the client through the proxy, less the same straight from the upstream in that round. "
            f"Medians of {ROUNDS} interleaved rounds. Troupe is gateway, NATS server and actor together.",
            "Asked for, of LiteLLM's: first token 10 %, per token 50 %, CPU 25 %, RSS 25 %.",
            "RSS of several processes counts the pages that they share (libraries, the interpreter) once for each; PSS "
            "counts them once.",
        ],
    )
    async with hub_processes(gateway=False) as running:
        upstream = await start_upstream(running)
        direct = Contender("upstream", upstream, [running.processes["upstream"]])
        troupe = await start_troupe(running, upstream, [paced, quick])
        litellm = await start_litellm(running, upstream, [paced, quick])
        for contender in (troupe, litellm):
            await warmed(running, contender, quick)
        for streams in STREAMS:
            await compare(running, table, streams, paced, direct, troupe, litellm)
    table.publish()


async def compare(
    running: HubProcesses,
    table: Table,
    streams: int,
    model: str,
    direct: Contender,
    troupe: Contender,
    litellm: Contender,
) -> None:
    added: dict[str, list[dict[str, float]]] = {"Troupe": [], "LiteLLM": []}
    for _ in range(ROUNDS):
        base = await measure(running, direct, streams, model)
        for contender in (troupe, litellm):
            result = await measure(running, contender, streams, model)
            result["ttft"] -= base["ttft"]
            result["per_token"] -= base["per_token"]
            added[contender.name].append(result)
    for name, rows in added.items():
        ttft, per_token, cpu, rss, pss = (median([row[key] for row in rows]) for key in FIGURES)
        table.rows.append(
            (
                str(streams),
                name,
                f"{ttft:.2f} ms",
                f"{per_token:.3f} ms",
                f"{cpu:.0f} µs",
                f"{rss:.0f} MiB",
                f"{pss:.0f} MiB",
            )
        )
    pairs = list(zip(added["Troupe"], added["LiteLLM"], strict=True))
    shares = [median([mine[key] / theirs[key] for mine, theirs in pairs]) for key in FIGURES]
    table.rows.append((str(streams), "Troupe / LiteLLM", *(f"{share:.1%}" for share in shares)))


if __name__ == "__main__":
    asyncio.run(main())
