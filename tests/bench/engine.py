"""The llama engine against llama-server and `llama-cpp-python[server]`: same file, same kernels, one thread each.

Troupe's model process is measured as it runs in a hub, with the bus and the contract around the engine. All processes
stay up during the whole measurement and take turns; what counts is the CPU time that each uses for the same tokens.
Settings by environment: TROUPE_BENCH_ROUNDS (3), TROUPE_BENCH_TOKENS (32 per answer), TROUPE_BENCH_CACHE.
"""

import asyncio
import json
import os
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
from google.protobuf.json_format import ParseDict

import rivals
from actors.model.launcher import Subprocess, SubprocessLauncher
from bus.channel import Channel
from bus.transports.nats import NatsTransport
from hub_processes import HubProcesses, free_port, hub_processes, reachable
from table import Table, median
from troupe.chat.v1 import ChatServiceClient, CompleteRequest

LEVELS = (1, 2, 4, 8, 16)
SLOTS = max(LEVELS)
PROMPT_WORDS = 8
CONTEXT = 512
"""Tokens of one call; the rivals get as much for each of their slots."""
SAMPLING = {"temperature": 0.8, "top_k": 40, "top_p": 0.95, "min_p": 0.05}
ENDS = (0, 1, 2)
"""Ids of the model's control tokens, which are barred so that every answer has its full length."""

Ask = Callable[[str, int, int], Awaitable[float]]
"""Prompt, tokens and seed to seconds until the first token; returns when the answer is complete."""


@dataclass
class Contender:
    """A server, its process, and how to ask it."""

    name: str
    pid: int
    ask: Ask
    levels: tuple[int, ...] = LEVELS
    rates: dict[int, list[float]] = field(default_factory=dict)
    """Tokens per CPU second by concurrency, one for each round."""
    first: dict[int, list[float]] = field(default_factory=dict)
    """Seconds to the first token, the median of each round."""
    walls: dict[int, list[float]] = field(default_factory=dict)
    """Tokens per second."""

    def cpu(self) -> float:
        times = psutil.Process(self.pid).cpu_times()
        return times.user + times.system

    async def measure(self, level: int, tokens: int, seed: int) -> None:
        before, began = self.cpu(), time.perf_counter()
        asked = (self.ask(prompt(seed + number), tokens, seed + number) for number in range(level))
        first = await asyncio.gather(*asked)
        self.rates.setdefault(level, []).append(level * tokens / (self.cpu() - before))
        self.walls.setdefault(level, []).append(level * tokens / (time.perf_counter() - began))
        self.first.setdefault(level, []).append(statistics.median(first))


def prompt(number: int) -> str:
    """Words that no other prompt begins with."""
    return " ".join(f"w{number * 7919 + place * 104729}" for place in range(PROMPT_WORDS))


@asynccontextmanager
async def troupe(running: HubProcesses, model: Path) -> AsyncIterator[Contender]:
    environment = {**running.environment, "TROUPE_ACTORS_LLAMA_THREADS": "1", "TROUPE_ACTORS_LLAMA_SLOTS": str(SLOTS)}
    environment |= {
        "TROUPE_ACTORS_LLAMA_CONTEXT": str(CONTEXT),
        "TROUPE_ACTORS_LLAMA_CACHE_TOKENS": str(CONTEXT * SLOTS),
    }
    process = await SubprocessLauncher("actors.llama.worker", environment).launch("model", model, "bench")
    watch = asyncio.create_task(_ready(process))
    await asyncio.wait_for(watch, 120)
    transport = await NatsTransport.connect(environment["NATS_URL"], "bench")
    client = ChatServiceClient(Channel(transport))

    async def ask(text: str, tokens: int, seed: int) -> float:
        given = {"model": "model", "prompt": text, "max_tokens": tokens}
        sampling = {**SAMPLING, "seed": seed, "logit_bias": dict.fromkeys(map(str, ENDS), -100)}
        request = ParseDict({**given, "sampling": sampling}, CompleteRequest())
        began, first, count = time.perf_counter(), 0.0, 0
        async for response in client.complete(request):
            count += response.delta.tokens
            first = first or (time.perf_counter() - began if response.HasField("delta") else 0.0)
        assert count == tokens, f"{count} tokens came"
        return first

    yield Contender("Troupe", process.pid, ask)
    process.terminate()
    await process.ended()
    await transport.close()


async def _ready(process: Subprocess) -> None:
    async for report in process.reports():
        if report.state == "ready":
            return
    raise RuntimeError(f"the model's process does not serve: {await process.ended()}")


@asynccontextmanager
async def http_server(
    running: HubProcesses, name: str, command: list[str], bar: dict[str, object], levels: tuple[int, ...] = LEVELS
) -> AsyncIterator[Contender]:
    port = free_port()
    process = await running.start(name.replace(" ", "-"), *command, "--port", str(port))
    await reachable(port)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=600) as client:
        await _healthy(client)

        async def ask(text: str, tokens: int, seed: int) -> float:
            body = {"model": "x", "prompt": text, "max_tokens": tokens, "seed": seed, "stream": True, **SAMPLING, **bar}
            began, first, reason = time.perf_counter(), 0.0, ""
            async with client.stream("POST", "/v1/completions", json=body) as response:
                response.raise_for_status()
                async for choice in _choices(response):
                    first = first or time.perf_counter() - began
                    reason = choice.get("finish_reason") or reason
            assert reason == "length", f"{name} ended an answer by {reason!r}"
            return first

        yield Contender(name, process.pid, ask, levels)


async def _healthy(client: httpx.AsyncClient) -> None:
    async with asyncio.timeout(120):
        while (await client.get("/v1/models")).status_code != httpx.codes.OK:
            await asyncio.sleep(0.1)


async def _choices(response: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    async for line in response.aiter_lines():
        data = line.removeprefix("data: ")
        if data.startswith("{"):
            for choice in json.loads(data).get("choices", []):
                yield choice


async def main() -> None:
    """Measure all of them in turn and publish the table."""
    rounds, tokens = (
        int(os.environ.get(f"TROUPE_BENCH_{name}", value)) for name, value in (("ROUNDS", 3), ("TOKENS", 32))
    )
    model, server, python = rivals.model(), rivals.llama_server(), rivals.python_server()
    cells = str(CONTEXT * SLOTS)
    native = [str(server), "-m", str(model), "-t", "1", "-tb", "1", "-np", str(SLOTS), "-c", cells, "--no-webui"]
    wrapped = [
        str(python),
        "-m",
        "llama_cpp.server",
        "--model",
        str(model),
        "--n_threads",
        "1",
        "--n_threads_batch",
        "1",
    ]
    async with hub_processes(gateway=False) as running, AsyncExitStack() as stack:
        contenders = [
            await stack.enter_async_context(troupe(running, model)),
            await stack.enter_async_context(http_server(running, "llama-server", native, {"ignore_eos": True})),
            await stack.enter_async_context(
                http_server(running, "llama-server, unified", [*native, "--kv-unified"], {"ignore_eos": True})
            ),
            await stack.enter_async_context(
                http_server(
                    running,
                    "llama-cpp-python[server]",
                    [*wrapped, "--n_ctx", str(CONTEXT), "--interrupt_requests", "false"],
                    {"logit_bias": dict.fromkeys(map(str, ENDS), -100)},
                    (SLOTS,),
                )
            ),
        ]
        await take_turns(contenders, rounds, tokens)
    publish(contenders, rounds, tokens)


async def take_turns(contenders: list[Contender], rounds: int, tokens: int) -> None:
    """Every contender at every level, round by round; the first round warms up and does not count."""
    for number in range(rounds + 1):
        for level in LEVELS:
            for contender in contenders[:: 1 if number % 2 else -1]:
                if level in contender.levels:
                    await contender.measure(level, tokens, 1000 * number + level)
            if number == 0:
                for contender in contenders:
                    contender.rates.clear()
                    contender.first.clear()
                    contender.walls.clear()
        print(f"round {number} of {rounds} done", flush=True)


def publish(contenders: list[Contender], rounds: int, tokens: int) -> None:
    ours, split, unified, wrapped = contenders
    columns = (
        "Concurrent",
        "Troupe, tokens/CPU-s",
        "llama-server",
        "ratio",
        "with --kv-unified",
        "ratio",
        "Troupe, first token",
        "llama-server",
        "ratio",
    )
    table = Table("engine", "Engine: 0.5 B random weights in Q8_0, one thread", columns)
    for level in LEVELS:
        mine = median(ours.rates[level])
        row = [str(level), f"{mine:.2f}"]
        for theirs in (median(split.rates[level]), median(unified.rates[level])):
            row += [f"{theirs:.2f}", f"{mine / theirs:.3f}"]
        first, their_first = median(ours.first[level]), median(split.first[level])
        table.rows.append([*row, f"{first:.2f} s", f"{their_first:.2f} s", f"{first / their_first:.2f}"])
    table.notes.append(
        "Asked for: tokens per CPU-second at least 0.97 of llama-server's, at 16 no later first token and 1.9 times "
        "llama-cpp-python[server]."
    )
    table.notes.append(
        "llama-server gives each slot a fixed sixteenth of the cache here; with --kv-unified any slot may use all of "
        "it, as in Troupe."
    )
    slow = median(wrapped.walls[SLOTS])
    fast = median(ours.walls[SLOTS])
    cpu = median(ours.rates[SLOTS]) / median(wrapped.rates[SLOTS])
    method = f"prompts of {PROMPT_WORDS} words that differ, {tokens} tokens per answer"
    table.notes.append(f"Medians of {rounds} interleaved rounds; {method}.")
    rates = f"llama-cpp-python[server] makes {slow:.2f} tokens/s and Troupe {fast:.2f}"
    table.notes.append(
        f"At {SLOTS} concurrent, {rates}: {fast / slow:.2f} times as many; per CPU second {cpu:.2f} times."
    )
    table.notes.append("Troupe's figures include its bus and its contract, but not the NATS server's own CPU time.")
    table.publish()


if __name__ == "__main__":
    asyncio.run(main())
