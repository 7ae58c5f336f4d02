"""The processes that a benchmark measures: a NATS server, actors and the gateway, each as in a running hub."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
READY_SECONDS = 120.0


def free_port() -> int:
    """A port of the loopback interface that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Process:
    """One process and what it has used."""

    name: str
    command: list[str]
    environment: dict[str, str]
    root: Path = ROOT
    handle: asyncio.subprocess.Process | None = None
    log: Path = Path(os.devnull)

    async def start(self) -> None:
        with self.log.open("ab") as log:
            self.handle = await asyncio.create_subprocess_exec(
                *self.command, env=self.environment, stdout=log, stderr=log, cwd=self.root
            )

    @property
    def pid(self) -> int:
        assert self.handle is not None
        return self.handle.pid

    def cpu_seconds(self) -> float:
        """Of the process and its children so far."""
        process = psutil.Process(self.pid)
        used = [one.cpu_times() for one in (process, *process.children(recursive=True))]
        return sum(times.user + times.system for times in used)

    def rss(self) -> int:
        """Bytes of the process and its children."""
        process = psutil.Process(self.pid)
        return sum(one.memory_info().rss for one in (process, *process.children(recursive=True)))

    def pss(self) -> int:
        """As `rss`, with each page that several processes share counted in parts that add up to one."""
        process = psutil.Process(self.pid)
        return sum(one.memory_full_info().pss for one in (process, *process.children(recursive=True)))

    async def stop(self, number: int = signal.SIGTERM) -> None:
        if self.handle is not None and self.handle.returncode is None:
            self.handle.send_signal(number)
            await self.handle.wait()


@dataclass
class HubProcesses:
    """A hub of separate processes in a home of its own. root: the checkout whose hub it is."""

    home: Path
    root: Path = ROOT
    nats_port: int = field(default_factory=free_port)
    http_port: int = field(default_factory=free_port)
    grpc_port: int = field(default_factory=free_port)
    processes: dict[str, Process] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "TROUPE_HOME": str(self.home),
            "NATS_URL": f"nats://127.0.0.1:{self.nats_port}",
            "TROUPE_HTTP_PORT": str(self.http_port),
            "TROUPE_GRPC_PORT": str(self.grpc_port),
            "TROUPE_LOG_LEVEL": "warning",
            "TROUPE_LIMITS_MESSAGES_PER_SECOND": "1000000",
            "TROUPE_LIMITS_MESSAGE_BURST": "1000000",
            "TROUPE_ACTORS_LLAMA_SLOTS": "1",
            "PYTHONPATH": os.pathsep.join([str(self.root), str(self.root / "proto" / "gen")]),
        }

    async def start(self, name: str, *command: str) -> Process:
        """Start a process; its output goes to `<home>/<name>.log`."""
        process = Process(name, list(command), self.environment, self.root, log=self.home / f"{name}.log")
        await process.start()
        self.processes[name] = process
        return process

    async def start_nats(self) -> Process:
        server = Path(sys.executable).with_name("nats-server")
        config = self.home / "nats.conf"
        config.write_text(f'jetstream {{ store_dir: "{self.home}/jetstream", sync_interval: always }}\n')
        process = await self.start("nats", str(server), "-a", "127.0.0.1", "-p", str(self.nats_port), "-c", str(config))
        await reachable(self.nats_port)
        return process

    async def start_gateway(self) -> Process:
        process = await self.start("gateway", sys.executable, "-m", "gateway")
        await reachable(self.http_port)
        await reachable(self.grpc_port)
        return process

    async def start_actor(self, name: str) -> Process:
        return await self.start(name, sys.executable, "-m", "actors", name)

    async def stop(self) -> None:
        for process in reversed(list(self.processes.values())):
            with contextlib.suppress(ProcessLookupError):
                await process.stop()


async def reachable(port: int) -> None:
    """Return when something listens on the port. Raises TimeoutError."""
    async with asyncio.timeout(READY_SECONDS):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def hub_processes(*actors: str, gateway: bool = True, root: Path = ROOT) -> AsyncIterator[HubProcesses]:
    """A running hub with these actors, of this checkout or another."""
    with tempfile.TemporaryDirectory(prefix="troupe-bench-") as home:
        running = HubProcesses(Path(home), root)
        try:
            await running.start_nats()
            for actor in actors:
                await running.start_actor(actor)
            if gateway:
                await running.start_gateway()
            yield running
        finally:
            await running.stop()
