"""Switching between models: cold request to first token, A B A B, and several clients on both with room for one.

Troupe runs as a whole hub whose stage holds one of the two models. Beside it: llama-swap's way, a llama-server that is
stopped and another one that is started, asked through a queue in front of it; and `llama-cpp-python[server]` with both
models in its configuration. All are asked the same by the same client over HTTP, in turn, in each round.

Settings by environment: TROUPE_BENCH_ROUNDS (3), TROUPE_BENCH_CACHE. The real models are those in the cache's folder
`models`, as `troupe models pull` puts them into a home: smollm2-135m.gguf and gemma3-270m.gguf.
"""

import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

import rivals
from actors.llama.catalog import SHIPPED
from actors.llama.settings import LlamaSettings, physical_cores
from actors.llama.shelf import LlamaShelf
from actors.model.launcher import SubprocessLauncher
from actors.model.needs import work_of
from hub_processes import ROOT, free_port, reachable
from table import Table, median
from troupe.model.v1 import UnloadModelRequest
from troupe_client import connect

CONTEXT, SLOTS = 1024, 2
TOKENS = 8
"""Of each answer: so few that the switch is what counts."""
SWITCHES = 6
"""Of A B A B in one round."""
CLIENTS, CALLS = 4, 3
"""Clients under load, half of them on each model, and how many calls each makes one after the other."""
ENDS = (0, 1, 2)
"""Ids of the random model's control tokens, barred so that every answer has its full length."""
READY_SECONDS = 180.0
POLL_SECONDS = 0.02
"""Between two looks at a llama-server's health. llama-swap itself looks less often."""
CALM_SECONDS = 3.0
"""Between two measurements, for everybody alike: a hub that has just switched prepares for the next switch."""
PROMPT = "The hub answers in a moment, and then it is"

Ask = Callable[[str], Awaitable[float]]
"""A model's name to seconds until its first token; returns when the answer is complete."""


@dataclass
class Contender:
    """A way to serve two models with memory for one. unload: let nothing be loaded, where it can."""

    name: str
    ask: Ask
    unload: Callable[[], Awaitable[None]]
    pid: Callable[[], int]
    figures: dict[str, list[float]] = field(default_factory=dict)

    def note(self, figure: str, value: float) -> None:
        self.figures.setdefault(figure, []).append(value)

    def memory(self) -> int:
        """Bytes of its processes, pages that are shared counted in parts."""
        total = 0
        with suppress(psutil.NoSuchProcess):
            whole = psutil.Process(self.pid())
            for one in (whole, *whole.children(recursive=True)):
                with suppress(psutil.Error):
                    total += one.memory_full_info().pss
        return total


async def measure(contender: Contender, names: Sequence[str]) -> None:
    """One round of one contender."""
    first, second = names
    await contender.unload()
    await asyncio.sleep(CALM_SECONDS)
    base = contender.memory()
    contender.note("cold", await contender.ask(first))
    loaded = contender.memory()
    began = time.perf_counter()
    for number in range(SWITCHES):
        await asyncio.sleep(CALM_SECONDS)
        contender.note("switch", await contender.ask((second, first)[number % 2]))
    contender.note("abab", time.perf_counter() - began - SWITCHES * CALM_SECONDS)
    began, waits = time.perf_counter(), list[float]()

    async def client(number: int) -> None:
        for _ in range(CALLS):
            waits.append(await contender.ask(names[number % 2]))

    await asyncio.gather(*map(client, range(CLIENTS)))
    contender.note("load", time.perf_counter() - began)
    contender.note("wait", median(waits))
    contender.note("longest", max(waits))
    await contender.unload()
    await asyncio.sleep(CALM_SECONDS)
    contender.note("loaded", loaded / 2**20)
    contender.note("base", base / 2**20)
    contender.note("left", (contender.memory() - base) / 2**20)


# ---- how each is asked


def asking(client: httpx.AsyncClient, more: dict[str, object]) -> Ask:
    async def ask(model: str) -> float:
        body = {"model": model, "prompt": PROMPT, "max_tokens": TOKENS, "temperature": 0, "stream": True, **more}
        began, first = time.perf_counter(), 0.0
        async with client.stream("POST", "/v1/completions", json=body) as response:
            if response.is_error:
                raise RuntimeError((await response.aread()).decode())
            async for line in response.aiter_lines():
                data = line.removeprefix("data: ")
                if data.startswith("{") and any("text" in each for each in json.loads(data).get("choices", [])):
                    first = first or time.perf_counter() - began
        assert first, f"{model} said nothing"
        return first

    return ask


# ---- Troupe


CONFIG = """
[supervisor]
actors = ["gpu", "models", "llama"]

[log]
level = "warning"

[actors.llama]
preload = []
context = {context}
cache_tokens = {cells}
slots = {slots}
threads = {threads}

[[actors.gpu.devices]]
name = "small"
kind = "fixed"
memory = {memory}
"""


def room_for_one(home: Path, settings: LlamaSettings, names: Sequence[str]) -> int:
    """Bytes of a device that holds either model and not both."""
    shelf = LlamaShelf(home, settings, SubprocessLauncher(""))
    entries = shelf.entries()
    sizes = []
    for name in names:
        variant = work_of("llama", name, shelf.needs(entries[name])).variants[0]
        sizes.append(max(size.bytes for size in variant.sizes))
    return int((max(sizes) + min(sizes) / 2) / 0.8)


@asynccontextmanager
async def troupe(folder: Path, files: Sequence[Path]) -> AsyncIterator[Contender]:
    home, http, grpc = folder / "home", free_port(), free_port()
    (home / "models").mkdir(parents=True)
    names = [file.stem for file in files]
    for file in files:
        (home / "models" / file.name).symlink_to(file)
    settings = LlamaSettings(context=CONTEXT, cache_tokens=CONTEXT * SLOTS, slots=SLOTS, threads=physical_cores())
    memory = room_for_one(home, settings, names)
    sizes = {"context": CONTEXT, "cells": CONTEXT * SLOTS, "slots": SLOTS, "threads": physical_cores()}
    (home / "troupe.toml").write_text(CONFIG.format(memory=memory, **sizes))
    path = os.pathsep.join([str(ROOT), str(ROOT / "proto" / "gen"), str(ROOT / "clients" / "python")])
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli", "--config", str(home / "troupe.toml"), "up", "--home", str(home)),
        *("--http-port", str(http), "--grpc-port", str(grpc)),
        env={**os.environ, "PYTHONPATH": path},
        stdout=asyncio.subprocess.DEVNULL,
        cwd=ROOT,
    )
    try:
        await reachable(http)
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(http_client(http))
            await healthy(client, "/readyz")

            hub = await stack.enter_async_context(connect(f"127.0.0.1:{grpc}"))

            async def unload() -> None:
                for name in names:
                    await hub.models.unload_model(UnloadModelRequest(name=name))

            yield Contender("Troupe", asking(client, {}), unload, lambda: process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()


async def healthy(client: httpx.AsyncClient, path: str) -> None:
    async with asyncio.timeout(READY_SECONDS):
        while True:
            with suppress(httpx.TransportError):
                if (await client.get(path)).status_code == httpx.codes.OK:
                    return
            await asyncio.sleep(POLL_SECONDS)


def http_client(port: int) -> httpx.AsyncClient:
    # A connection for each call: one that is kept may be closed by a server that is about to be stopped.
    limits = httpx.Limits(max_keepalive_connections=0)
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=600, limits=limits)


# ---- llama-swap's way


class Swapping:
    """A llama-server at a time, behind a queue.

    Calls for the model that runs join it, unless somebody waits for another one: then the server finishes what it has,
    is stopped, and the other one is started.
    """

    def __init__(self, program: Path, files: Sequence[Path], log: Path) -> None:
        self._program = program
        self._files = {file.stem: file for file in files}
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self._client: httpx.AsyncClient | None = None
        self._model = ""
        self._running = 0
        self._turn = asyncio.Lock()
        self._idle = asyncio.Condition()

    async def ask(self, model: str) -> float:
        began = time.perf_counter()
        async with self._turn:  # first come, first served
            if model != self._model:
                async with self._idle:
                    await self._idle.wait_for(lambda: not self._running)
                await self.stop()
                await self._start(model)
            self._running += 1
        waited = time.perf_counter() - began
        try:
            assert self._client is not None
            return waited + await asking(self._client, {"cache_prompt": True, "ignore_eos": True})(model)
        finally:
            self._running -= 1
            async with self._idle:
                self._idle.notify_all()

    async def stop(self) -> None:
        if self._client is not None:
            await self._client.aclose()
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()
        self._client, self._process, self._model = None, None, ""

    async def _start(self, model: str) -> None:
        port, threads = free_port(), str(physical_cores())
        command = [str(self._program), "-m", str(self._files[model]), "--port", str(port), "--no-webui"]
        sizes = ["-t", threads, "-tb", threads, "-np", str(SLOTS), "-c", str(CONTEXT * SLOTS)]
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(*command, *sizes, stdout=log, stderr=log)
        self._client, self._model = http_client(port), model
        await healthy(self._client, "/health")

    def pid(self) -> int:
        return self._process.pid if self._process is not None else 0


@asynccontextmanager
async def llama_swap(folder: Path, files: Sequence[Path]) -> AsyncIterator[Contender]:
    own = Swapping(rivals.llama_server(), files, folder / "llama-server.log")
    try:
        yield Contender("llama-server, stopped and started", own.ask, own.stop, own.pid)
    finally:
        await own.stop()


# ---- llama-cpp-python[server]


@asynccontextmanager
async def python_server(folder: Path, files: Sequence[Path]) -> AsyncIterator[Contender]:
    port = free_port()
    threads = {"n_threads": physical_cores(), "n_threads_batch": physical_cores()}
    models = [{"model": str(file), "model_alias": file.stem, "n_ctx": CONTEXT, **threads} for file in files]
    # It has no way to have no model: a third one, small, stands for that.
    nothing = {"model": str(SHIPPED / "troupe-tiny.gguf"), "model_alias": "nothing", "n_ctx": 256}
    config = {"host": "127.0.0.1", "port": port, "interrupt_requests": False, "models": [nothing, *models]}
    (folder / "server.json").write_text(json.dumps(config))
    with (folder / "python-server.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *(str(rivals.python_server()), "-m", "llama_cpp.server", "--config_file", str(folder / "server.json")),
            stdout=log,
            stderr=log,
            env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        )
    try:
        await reachable(port)
        async with http_client(port) as client:
            await healthy(client, "/v1/models")
            ask = asking(client, {"logit_bias": dict.fromkeys(map(str, ENDS), -100)})

            async def unload() -> None:
                await ask("nothing")

            yield Contender("llama-cpp-python[server]", ask, unload, lambda: process.pid)
    finally:
        process.terminate()
        await process.wait()


# ---- the table


def pairs() -> list[tuple[str, list[Path]]]:
    """What is switched between, by title."""
    random = rivals.model()
    twin = random.with_name("random-0.5b-twin.gguf")
    if not twin.exists():
        shutil.copyfile(random, twin)  # a file of its own: its pages are not those of the other one
    found = [("two of 0.5 B, random, Q8_0", [random, twin])]
    real = [rivals.cache() / "models" / name for name in ("smollm2-135m.gguf", "gemma3-270m.gguf")]
    if all(path.exists() for path in real):
        found.append(("smollm2-135m and gemma3-270m", real))
    return found


async def main() -> None:
    """Measure each pair and publish the table."""
    rounds = int(os.environ.get("TROUPE_BENCH_ROUNDS", "3"))
    columns = (
        "models", "served by", "cold, first token", "switch, first token", f"{SWITCHES} switches",
        f"{CLIENTS} clients, {CLIENTS * CALLS} calls", "their first token, median", "longest",
        "memory: unloaded", "loaded", "more when unloaded again",
    )  # fmt: skip
    table = Table("switching", "Switching between two models with room for one", columns)
    for title, files in pairs():
        contenders = await measured(files, rounds)
        rows(table, title, contenders)
    table.notes += [
        "Asked for: at most 0.5 of both others. Medians of all switches of "
        f"{rounds} interleaved rounds; weights are in the page cache. Answers have {TOKENS} tokens, contexts {CONTEXT} "
        f"tokens, {SLOTS} at a time, {physical_cores()} threads.",
        "llama-server is stopped with SIGTERM and started as llama-swap does; its health is asked for every "
        f"{POLL_SECONDS * 1000:.0f} ms, its end and its queue cost nothing here. llama-cpp-python[server] holds one of "
        "its models at a time in one process, and answers one call at a time; unloaded it has troupe-tiny.",
        f"Between two switches {CALM_SECONDS:g} s pass, for everybody; under load nothing waits. Memory is that of all "
        "processes, the hub's own and its spare process included, in MiB; pages of files count.",
    ]
    table.publish()


async def measured(files: Sequence[Path], rounds: int) -> list[Contender]:
    names = [file.stem for file in files]
    with tempfile.TemporaryDirectory(prefix="troupe-bench-") as folder:
        async with AsyncExitStack() as stack:
            ways = (troupe, llama_swap, python_server)
            contenders = [await stack.enter_async_context(way(Path(folder), files)) for way in ways]
            for number in range(rounds + 1):
                for contender in contenders[:: 1 if number % 2 else -1]:
                    await measure(contender, names)
                    if number == 0:  # it warms up
                        contender.figures.clear()
                    print(number, contender.name, {k: [round(x, 2) for x in v] for k, v in contender.figures.items()})
            return contenders


def rows(table: Table, title: str, contenders: Sequence[Contender]) -> None:
    kinds = ("cold", "switch", "abab", "load", "wait", "longest")
    figures = [{kind: median(each.figures[kind]) for kind in each.figures} for each in contenders]
    for each, found in zip(contenders, figures, strict=True):
        seconds = [f"{found[kind]:.2f} s" for kind in kinds]
        memory = [f"{found[kind]:.0f}" for kind in ("base", "loaded", "left")]
        table.rows.append((title, each.name, *seconds, *memory))
    for other, found in zip(contenders[1:], figures[1:], strict=True):
        shares = [f"{figures[0][kind] / found[kind]:.2f}" for kind in kinds]
        table.rows.append((title, f"Troupe / {other.name}", *shares, "", "", ""))


if __name__ == "__main__":
    asyncio.run(main())
