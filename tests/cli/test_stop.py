"""`troupe stop` of a real process that holds the home."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from .conftest import Run

HOLDS = """
import pathlib, signal, sys
from host.running import held
signals = []
def asked(number, frame):
    signals.append(number)
signal.signal(signal.SIGTERM, asked)
with held(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    while len(signals) < int(sys.argv[2]):
        signal.pause()
"""

Hold = Callable[[int], Awaitable[asyncio.subprocess.Process]]


@pytest.fixture
async def hold(tmp_path: Path) -> AsyncIterator[Hold]:
    """Begins a process that holds the home until it has been told so many times to stop."""
    begun = []

    async def begin(signals: int) -> asyncio.subprocess.Process:
        (tmp_path / "home").mkdir(exist_ok=True)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", HOLDS, str(tmp_path / "home"), str(signals)), stdout=asyncio.subprocess.PIPE
        )
        begun.append(process)
        assert process.stdout is not None
        assert await process.stdout.readline() == b"held\n"
        return process

    yield begin
    for process in begun:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_hub_is_told_and_its_end_awaited(troupe: Run, hold: Hold) -> None:
    process = await hold(1)
    ended = await troupe("stop")
    assert (ended.code, "it waits for its answers, 10 s at most" in ended.out) == (0, True)
    assert ended.out.endswith("It has ended.\n")
    assert await process.wait() == 0


async def test_now_tells_it_twice(troupe: Run, hold: Hold) -> None:
    process = await hold(2)
    assert (await troupe("stop", "--now")).code == 0
    assert await process.wait() == 0


async def test_a_hub_that_does_not_end_in_time_is_told_of(troupe: Run, hold: Hold) -> None:
    process = await hold(2)
    ended = await troupe("stop", "--within", "0.2")
    assert (ended.code, f"(process {process.pid}) still runs after 0.2 s" in ended.err) == (1, True)
    process.send_signal(signal.SIGTERM)
    await process.wait()


async def test_where_none_runs_it_says_so(troupe: Run, hold: Hold, tmp_path: Path) -> None:
    ended = await troupe("stop", "--home", str(tmp_path / "elsewhere"))
    assert (ended.code, f"No hub runs in {tmp_path / 'elsewhere'}" in ended.err) == (2, True)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "hub.lock").write_text("1")  # left by one that was killed
    assert (await troupe("stop")).code == 2
