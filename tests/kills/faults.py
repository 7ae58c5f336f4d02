"""A hub in a process of its own, the faults that it is given, and how soon it is whole again."""

import asyncio
import json
import os
import random
import signal
import statistics
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from bus import RpcError
from bus.testing.nats_server import free_port
from troupe.chat.v1 import CompleteRequest
from troupe.echo.v1 import EchoRequest
from troupe.health.v1 import CheckRequest
from troupe.model.v1 import GetModelRequest, ListModelsRequest
from troupe_client import Hub, connect

from .company import environment

COMPANY = Path(__file__).with_name("company.py")
RECOVERY_SECONDS = 60.0
PROBE_SECONDS = 5.0
MOMENT_SECONDS = (0.1, 0.9)
"""How long a process is stopped that goes on by itself."""
ABSENCE_SECONDS = (1.0, 4.0)
"""How long the supervisor is stopped."""

MARKS = {
    "gateway": ("-m", "gateway"),
    "echo": ("-m", "actors", "echo"),
    "gpu": ("-m", "actors", "gpu"),
    "llama": ("-m", "actors", "llama"),
    "models": ("-m", "actors", "models"),
    "model": ("-m", "actors.llama.worker"),
    "chained": ("chained_actor.py",),
    "nats": ("nats-server",),
}
"""How each victim is told by its command line: these words stand in it, in this order."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is done to whom. kind: "kill", "stop" (for good) or "moment" (stopped and continued after `seconds`)."""

    victim: str
    kind: str
    seconds: float
    before: float
    """Seconds that pass before it, with everything well."""


def planned(seed: int, count: int, victims: list[str]) -> list[Fault]:
    """As many faults; the same seed plans the same."""
    chance = random.Random(seed)
    faults: list[Fault] = []
    for _ in range(count):
        victim = chance.choice([*victims, "supervisor"])
        kind = "moment" if victim == "supervisor" else chance.choice(["kill", "kill", "stop", "stop", "moment"])
        seconds = chance.uniform(*(ABSENCE_SECONDS if victim == "supervisor" else MOMENT_SECONDS))
        faults.append(Fault(victim, kind, seconds, chance.uniform(0.1, 0.6)))
    return faults


@dataclass
class Recoveries:
    """Seconds until the hub was whole again, by victim and kind."""

    seconds: dict[tuple[str, str], list[float]] = field(default_factory=dict)

    def note(self, fault: Fault, seconds: float) -> None:
        self.seconds.setdefault((fault.victim, fault.kind), []).append(seconds)

    def rows(self) -> list[tuple[str, str, int, float, float]]:
        """Victim, kind, how many, median, longest."""
        return [
            (victim, kind, len(times), statistics.median(times), max(times))
            for (victim, kind), times in sorted(self.seconds.items())
        ]


class Company:
    """A running hub."""

    def __init__(self, home: Path, process: asyncio.subprocess.Process, doors: dict[str, str]) -> None:
        self.home = home
        self.process = process
        self.doors = doors
        self.begun = home / "begun"
        self._probes: dict[str, Callable[[Hub], object]] = {
            "gateway": lambda hub: hub.echo.echo(EchoRequest(), timeout=PROBE_SECONDS),
            "echo": lambda hub: hub.echo.echo(EchoRequest(), timeout=PROBE_SECONDS),
            "nats": lambda hub: hub.echo.echo(EchoRequest(), timeout=PROBE_SECONDS),
            "models": lambda hub: hub.models.list_models(ListModelsRequest(), timeout=PROBE_SECONDS),
            "llama": lambda hub: hub.models.get_model(GetModelRequest(name="troupe-tiny"), timeout=PROBE_SECONDS),
            "chained": lambda hub: _completed(hub, CompleteRequest(model="chained", prompt="echo 1")),
            "model": lambda hub: _completed(hub, CompleteRequest(model="troupe-tiny", prompt="x", max_tokens=1)),
            "supervisor": lambda hub: hub.health.check(CheckRequest(), timeout=PROBE_SECONDS),
        }

    def pid(self, victim: str) -> int:
        """The number of a victim's process; 0 while it does not run."""
        if victim == "supervisor":
            return self.process.pid
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.process.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                    if _in_order(MARKS[victim], child.cmdline()) and "setpriv" not in child.name():
                        return child.pid
        return 0

    async def strike(self, fault: Fault) -> None:
        """Do it."""
        while not (pid := self.pid(fault.victim)):
            await asyncio.sleep(0.05)
        with suppress(ProcessLookupError):
            if fault.kind == "kill":
                os.kill(pid, signal.SIGKILL)
                return
            os.kill(pid, signal.SIGSTOP)
            if fault.kind == "moment":
                await asyncio.sleep(fault.seconds)
                os.kill(pid, signal.SIGCONT)
                return
        while self.pid(fault.victim) == pid:
            await asyncio.sleep(0.02)

    async def whole(self, hub: Hub, victim: str) -> None:
        """Return when a call that needs the victim is answered."""
        async with asyncio.timeout(RECOVERY_SECONDS):
            while True:
                try:
                    async with asyncio.timeout(PROBE_SECONDS):
                        await self._probes[victim](hub)  # type: ignore[misc]  # each gives an awaitable
                except (RpcError, TimeoutError):
                    await asyncio.sleep(0.05)
                else:
                    return

    async def suffer(self, faults: list[Fault], tell: Callable[[str], None] = lambda _: None) -> Recoveries:
        """One fault after another, each once the hub is whole again."""
        recoveries = Recoveries()
        async with connect(self.doors["grpc"], patience=PROBE_SECONDS) as hub:
            for number, fault in enumerate(faults, 1):
                await asyncio.sleep(fault.before)
                began = time.monotonic()
                await self.strike(fault)
                await self.whole(hub, fault.victim)
                recoveries.note(fault, time.monotonic() - began)
                tell(f"{number}/{len(faults)} {fault.victim} {fault.kind}: {time.monotonic() - began:.2f} s")
                for victim in self._probes:
                    await self.whole(hub, victim)
        return recoveries

    def left(self) -> list[str]:
        """Command lines of processes of this home that run."""
        found: list[str] = []
        for one in psutil.process_iter():
            with suppress(psutil.Error):
                mine = one.environ().get("TROUPE_HOME") == str(self.home)
                if mine and one.pid != os.getpid() and one.status() != psutil.STATUS_ZOMBIE:
                    found.append(" ".join(one.cmdline()))
        return found

    async def ready(self) -> bool:
        """What /readyz says."""
        async with httpx.AsyncClient(timeout=PROBE_SECONDS) as client:
            return (await client.get(f"http://{self.doors['http']}/readyz")).status_code == 200

    async def settled(self) -> None:
        """Return when /readyz says yes: what was lost last may still be told of for some seconds."""
        async with asyncio.timeout(RECOVERY_SECONDS):
            while not await self.ready():
                await asyncio.sleep(0.1)

    def without(self, victim: str) -> None:
        """There is no such process in this hub."""
        del self._probes[victim]


def _in_order(words: tuple[str, ...], command: list[str]) -> bool:
    rest = iter(command)
    return all(any(part == word or part.endswith(f"/{word}") for part in rest) for word in words)


async def _completed(hub: Hub, request: CompleteRequest) -> None:
    async for _ in hub.chat.complete(request, timeout=PROBE_SECONDS):
        pass


@asynccontextmanager
async def company(home: Path, settings: str = "") -> AsyncIterator[Company]:
    """A hub with its home there, once it is up; it is stopped in order at the end. settings: as in troupe.toml."""
    begun = home / "begun"
    begun.touch()
    own = environment(home, free_port(), free_port()) | {"CHAINED_BEGUN": str(begun)}
    if settings:
        (home / "troupe.toml").write_text(settings)
        own["TROUPE_CONFIG"] = str(home / "troupe.toml")
    with (home / "company.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(COMPANY)), env=own, stdout=asyncio.subprocess.PIPE, stderr=log
        )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(RECOVERY_SECONDS):
            line = await process.stdout.readline()
        assert line, (home / "company.log").read_text()
        yield Company(home, process, json.loads(line))
        process.terminate()
        async with asyncio.timeout(RECOVERY_SECONDS):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
