"""What the hub is to hold for ten people on one machine, each line met or not.

A hub of its own with one device of a fixed budget that holds one of two models, A and B: ten people ask A at once for a
chat completion of 64 tokens through OpenAI's door; then A and B are asked in turn, and each has to make room for the
other; all the while what the stage says of its device is noted. On a machine with an NVIDIA card the models are
blueprints of 8 B parameters in Q4 on the card, else smollm2-135m as the hub fetches it, or troupe-tiny where it cannot.
Settings by environment: TROUPE_BENCH_ROUNDS (5), TROUPE_BENCH_SWITCHES (10), TROUPE_BENCH_MODEL (a GGUF file).
"""

import asyncio
import contextlib
import os
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from actors.llama.catalog import SHIPPED
from actors.llama.settings import LlamaSettings
from actors.llama.shelf import LlamaShelf
from actors.model.launcher import SubprocessLauncher
from actors.model.needs import work_of
from bus import RpcError
from forge.architectures import Sizes, llama
from hub_processes import free_port
from table import Table
from troupe.gpu.v1 import DeviceKind, WatchRequest
from troupe.weights.v1 import PullModelRequest
from troupe_client import Hub, connect

PEOPLE, TOKENS = 10, 64
ANSWER_SECONDS, SWITCH_SECONDS, CAP = 2.0, 5.0, 0.8
ROUNDS = int(os.environ.get("TROUPE_BENCH_ROUNDS", "5"))
SWITCHES = int(os.environ.get("TROUPE_BENCH_SWITCHES", "10"))
FETCHED = "smollm2-135m"
START_SECONDS, FETCH_SECONDS, CALL_SECONDS = 180.0, 600.0, 300.0
ROOM = 1.3
"""Times what one model takes that the device may give: never both."""
CARD = Path("/proc/driver/nvidia/gpus")
EIGHT = Sizes(layers=32, width=4096, feed_forward=14336, heads=32, kv_heads=8, head_width=128, vocabulary=4096)
"""Of a model with 8 B parameters."""
NO_END = {"0": -100, "1": -100, "2": -100}
"""The ends of a turn of these models, barred so that each answer has its full length."""
SETTINGS = """
[supervisor]
actors = ["gpu", "models", "llama", "weights"]

[models]
health_seconds = 0

[actors.weights]
fetch = false

[actors.llama]
preload = []
"""
DEVICE = """
[[actors.gpu.devices]]
name = "budget"
kind = "fixed"
memory = {memory}
"""


@dataclass
class Seen:
    """What the stage has said of its devices: the largest share of the budget, and by how many looks."""

    most: float = 0.0
    looks: int = 0
    device: str = ""


@dataclass
class Measured:
    """Seconds, and what was seen."""

    answers: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    switches: list[float] = field(default_factory=list)
    seen: Seen = field(default_factory=Seen)
    load: float = 0.0


@asynccontextmanager
async def hub(home: Path, settings: str) -> AsyncIterator[tuple[Hub, int]]:
    """A hub in a home of its own: a client, and its HTTP port."""
    (home / "troupe.toml").write_text(settings)
    http, grpc = free_port(), free_port()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli", "--config", str(home / "troupe.toml"), "up", "--home", str(home)),
        *("--http-port", str(http), "--grpc-port", str(grpc)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHONUTF8": "1"},
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_SECONDS):
            while b"Processes" not in (line := await process.stdout.readline()):
                if not line:
                    raise RuntimeError("the hub has ended before it served")
        reading = asyncio.create_task(process.stdout.read(), name="what the hub says")
        async with connect(f"127.0.0.1:{grpc}") as client:
            yield client, http
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()


async def model(home: Path) -> tuple[Path, str]:
    """The file of both models, and a sentence about it."""
    folder = home / "models"
    folder.mkdir(exist_ok=True)
    given = os.environ.get("TROUPE_BENCH_MODEL")
    if given:
        return Path(given), f"The models are two copies of {Path(given).name}."
    if CARD.exists() and any(CARD.iterdir()):
        path = home / "eight.gguf"
        llama(EIGHT).write(path)
        return path, "The models are two of 8 B parameters with empty weights on the card; this was not tried before."
    with contextlib.suppress(RpcError, TimeoutError):
        async with asyncio.timeout(FETCH_SECONDS), hub(home, SETTINGS) as (client, _):
            async for _ in client.weights.pull_model(PullModelRequest(source=FETCHED)):
                continue
        return folder / f"{FETCHED}.gguf", f"The models are {FETCHED} and a copy of it, on the processor."
    return SHIPPED / "troupe-tiny.gguf", f"{FETCHED} could not be fetched: the models are two copies of troupe-tiny."


def size_of(home: Path, name: str) -> int:
    """What a model takes of a fixed device, as its family says."""
    shelf = LlamaShelf(home, LlamaSettings(), SubprocessLauncher(""))
    variant = work_of("llama", name, shelf.needs(shelf.entries()[name])).variants[0]
    return max(size.bytes for size in variant.sizes)


async def watch(client: Hub, seen: Seen) -> None:
    """Note what the stage says, until cancelled."""
    while True:
        with contextlib.suppress(RpcError):
            async for response in client.stage.watch(WatchRequest(machine="local")):
                for device in response.devices:
                    used = device.leased_bytes + (
                        device.others_bytes if device.kind != DeviceKind.DEVICE_KIND_FIXED else 0
                    )
                    seen.most = max(seen.most, used / max(1, device.total_bytes))
                    seen.device = device.name
                    seen.looks += 1
        await asyncio.sleep(0.2)


async def ask(http: httpx.AsyncClient, name: str, number: int) -> tuple[float, int]:
    """One completion: seconds, and tokens."""
    question = f"Person {number} asks: tell me a long story about the number {number * 7919}."
    began = time.perf_counter()
    answer = await http.post(
        "/v1/chat/completions",
        json={
            "model": name,
            "messages": [{"role": "user", "content": question}],
            "max_tokens": TOKENS,
            "logit_bias": NO_END,
        },
    )
    seconds = time.perf_counter() - began
    answer.raise_for_status()
    return seconds, int(answer.json()["usage"]["completion_tokens"])


async def first_token(http: httpx.AsyncClient, name: str) -> float:
    """Seconds to the first piece of an answer."""
    body = {"model": name, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4, "stream": True}
    began = time.perf_counter()
    found = 0.0
    async with http.stream("POST", "/v1/chat/completions", json={**body, "logit_bias": NO_END}) as response:
        response.raise_for_status()
        async for line in response.aiter_lines():
            if not found and '"content":"' in line.replace('": "', '":"') and '"content":""' not in line:
                found = time.perf_counter() - began
    return found or time.perf_counter() - began


async def measure(client: Hub, port: int, found: Measured) -> None:
    watching = asyncio.create_task(watch(client, found.seen), name="watch of the stage")
    try:
        base = f"http://127.0.0.1:{port}"
        limits = httpx.Limits(max_connections=2 * PEOPLE)
        async with httpx.AsyncClient(base_url=base, timeout=CALL_SECONDS, limits=limits) as http:
            await ask(http, "a", 0)
            for turn in range(ROUNDS):
                asked = (ask(http, "a", turn * PEOPLE + number + 1) for number in range(PEOPLE))
                for seconds, tokens in await asyncio.gather(*asked):
                    found.answers.append(seconds)
                    found.tokens.append(tokens)
            for turn in range(SWITCHES):
                found.switches.append(await first_token(http, "ba"[turn % 2]))
        found.load = os.getloadavg()[0]
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


def table(found: Measured, said: str) -> Table:
    """Each target, what was measured, and whether it is met."""
    p95 = sorted(found.answers)[min(len(found.answers) - 1, int(0.95 * len(found.answers)))]
    mean, worst = statistics.mean(found.switches), max(found.switches)
    median = statistics.median(found.answers)

    def row(what: str, wanted: str, measured: str, *, met: bool) -> tuple[str, str, str, str]:
        return what, wanted, measured, "met" if met else "not met"

    rows = [
        row(
            f"{PEOPLE} people at once, a chat completion of {TOKENS} tokens, p95",
            f"< {ANSWER_SECONDS:g} s",
            f"{p95:.2f} s (median {median:.2f}, {statistics.mean(found.tokens):.0f} tokens)",
            met=p95 < ANSWER_SECONDS and min(found.tokens) == TOKENS,
        ),
        row(
            "from A to B, request to first token, on average",
            f"< {SWITCH_SECONDS:g} s",
            f"{mean:.2f} s (worst {worst:.2f})",
            met=mean < SWITCH_SECONDS,
        ),
        row(
            "memory of the device, at most",
            f"<= {CAP:.0%} of it",
            f"{found.seen.most:.0%} ({found.seen.looks} looks at `{found.seen.device}`)",
            met=0 < found.seen.most <= CAP,
        ),
    ]
    notes = [
        said,
        f"{len(found.answers)} answers, {len(found.switches)} switches; load of the machine {found.load:.1f}.",
    ]
    return Table("targets", "The targets of ten people", ("Target", "Wanted", "Measured", ""), list(rows), notes)


async def main() -> None:
    """Measure and publish."""
    with tempfile.TemporaryDirectory(prefix="troupe-targets-") as folder:
        home = Path(folder)
        path, said = await model(home)
        for name in "ab":
            target = home / "models" / f"{name}.gguf"
            try:
                os.link(path, target)
            except OSError:
                shutil.copy(path, target)
        size = size_of(home, "a")
        found = Measured()
        settings = SETTINGS
        if not CARD.exists():
            settings += DEVICE.format(memory=int(size * ROOM / CAP))
        async with hub(home, settings) as (client, port):
            await measure(client, port, found)
        table(found, said).publish()


if __name__ == "__main__":
    asyncio.run(main())
