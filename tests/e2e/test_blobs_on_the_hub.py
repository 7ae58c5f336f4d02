"""Blobs on a hub of processes, whose actor is killed: a deleted blob is in no file of the whole home."""

import asyncio
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from bus.testing.nats_server import free_port
from troupe_client import connect

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the actor's process in /proc")

WORD, NAME = b"plant-9917", "plant-name-9918.wav"
CONTENT = WORD + random.Random(4).randbytes(2_000_000) + WORD
START_SECONDS = 60


class RunningHub:
    def __init__(self, process: asyncio.subprocess.Process, home: Path, http: int, grpc: int) -> None:
        self.process = process
        self.home = home
        self.url = f"http://127.0.0.1:{http}"
        self.target = f"127.0.0.1:{grpc}"

    def kill_blobs(self) -> None:
        os.kill(self._blobs(), signal.SIGKILL)

    def _blobs(self) -> int:
        for status in Path("/proc").glob("[0-9]*/stat"):
            try:
                parent = int(status.read_text().rpartition(")")[2].split()[1])
                command = (status.parent / "cmdline").read_bytes().split(b"\0")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if parent == self.process.pid and b"blobs" in command:
                return int(status.parent.name)
        raise AssertionError("the supervisor has no actor for blobs")

    def holding(self) -> list[str]:
        """The files of the whole home, logs and the bus's own included, that have the content or its name."""
        found = []
        for path in self.home.rglob("*"):
            try:
                data = path.read_bytes()
            except OSError:  # a folder, a socket, or gone meanwhile
                continue
            if WORD in data or NAME.encode() in data:
                found.append(str(path.relative_to(self.home)))
        return found


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[RunningHub]:
    http, grpc = free_port(), free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cli", "up", "--home", str(tmp_path), "--actors", "blobs", "--http-port", str(http),
        "--grpc-port", str(grpc), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "TROUPE_ACTORS_BLOBS_MIN_FREE_BYTES": "0"},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        async with asyncio.timeout(START_SECONDS):
            while b"Processes" not in (line := await process.stdout.readline()):
                assert line
        yield RunningHub(process, tmp_path, http, grpc)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.communicate()


async def test_content_outlives_a_kill_and_deleted_it_is_in_no_file_of_the_home(hub: RunningHub) -> None:
    async with asyncio.timeout(60), httpx.AsyncClient(base_url=hub.url, timeout=30) as web:
        where = []
        for _ in range(2):
            made = await web.post(f"/v1/blobs?filename={NAME}", content=CONTENT)
            assert made.status_code == 201, made.text
            where.append(made.headers["location"])
        assert hub.holding()
        hub.kill_blobs()
        async with connect(hub.target) as client:
            reference = (await client.blobs.info(where[0].removeprefix("/v1/blobs/"))).reference
            data = b"".join([piece async for piece in client.blobs.pieces(reference)])
            assert data == CONTENT
            await client.blobs.delete(reference)
        assert (await web.delete(where[1])).status_code == 204
        assert hub.holding() == []
        hub.kill_blobs()
        gone = await web.get(where[0])
        while gone.status_code == 503:  # it is being started again
            gone = await web.get(where[0])
        assert gone.json()["reason"] == "BLOB_NOT_FOUND"
        assert hub.holding() == []
