"""A gateway is killed in the midst of answers, and their readers go on at another one: no token is lost or doubled.

KILLS_SEED=7 KILLS=100 python -m pytest tests/kills/test_moved.py -m long -s
"""

import asyncio
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest

from bus.testing.nats_server import free_port
from troupe_client import connect

from .answers import QUESTIONS
from .company import environment
from .faults import PROBE_SECONDS, RECOVERY_SECONDS, Company, company
from .moved import Doors, Read, all_told, over_frames, over_grpc, undisturbed

SEED = int(os.environ.get("KILLS_SEED", "20261129"))
COUNT = int(os.environ.get("KILLS", "30"))
READERS: list[Read] = [over_frames, over_frames, over_grpc, over_grpc]
MOST = 6
"""The gateway dies when each reader has at most so many pieces."""

pytestmark = pytest.mark.skipif(not find_spec("llama_cpp"), reason="the llama part is not installed")


@asynccontextmanager
async def second_gateway(home: Path) -> AsyncIterator[Doors]:
    """One more gateway of a hub, with doors of its own, once it is up."""
    http, rpc = free_port(), free_port()
    with (home / "second.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway"), env=environment(home, http, rpc), stdout=log, stderr=log
        )
    try:
        async with asyncio.timeout(RECOVERY_SECONDS), httpx.AsyncClient(timeout=PROBE_SECONDS) as client:
            while not await _answers(client, f"http://127.0.0.1:{http}/healthz"):
                await asyncio.sleep(0.1)
        yield {"http": f"127.0.0.1:{http}", "grpc": f"127.0.0.1:{rpc}"}
    finally:
        process.terminate()
        await process.wait()


async def _answers(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(url)).status_code == 200
    except httpx.HTTPError:
        return False


async def kill(hub: Company) -> None:
    """Kill the gateway of the hub; its supervisor will start another one at the same doors."""
    os.kill(hub.pid("gateway"), signal.SIGKILL)


async def check(home: Path, seed: int, count: int) -> None:
    chance, moved = random.Random(seed), 0
    async with company(home) as hub, second_gateway(home) as second, connect(hub.doors["grpc"]) as own:
        doors = hub.doors, second
        whole = {question: await undisturbed(own, question) for question in QUESTIONS}
        for number in range(count):
            await hub.whole(own, "gateway")
            questions = chance.sample(QUESTIONS, len(READERS))
            pieces = [chance.randint(1, MOST) for _ in READERS]
            answers = await all_told(READERS, doors, questions, pieces, lambda: kill(hub))
            for question, answer in zip(questions, answers, strict=True):
                assert answer.tokens == whole[question], question
                assert answer.charged == len(answer.tokens), question
            moved += sum(answer.moved for answer in answers)
            print(f"{number + 1}/{count}: {moved} of {(number + 1) * len(READERS)} answers moved")
        await hub.whole(own, "gateway")
    assert moved >= count * READERS.count(over_frames)


@pytest.fixture(autouse=True)
def restarts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway is started again however often it dies; after five times a minute it would be left alone."""
    monkeypatch.setenv("TROUPE_SUPERVISOR_MAX_RESTARTS", "100000")


async def test_answers_go_on_at_another_gateway_through_a_few_kills(tmp_path: Path) -> None:
    await check(tmp_path, 7, 2)


@pytest.mark.long
async def test_answers_go_on_at_another_gateway_through_many_kills(tmp_path: Path) -> None:
    await check(tmp_path, SEED, COUNT)
