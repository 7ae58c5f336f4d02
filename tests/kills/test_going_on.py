"""A model's process is killed in the midst of answers, and their readers see a pause and nothing else.

KILLS_SEED=7 KILLS=300 python -m pytest tests/kills/test_going_on.py -m long -s
"""

import os
import random
import signal
import statistics
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from .answers import Readers
from .faults import Company, company

SEED = int(os.environ.get("KILLS_SEED", "20261129"))
COUNT = int(os.environ.get("KILLS", "100"))
PIECES = 60
"""A kill comes after at most so many pieces of answers, so that it falls into every part of one."""

pytestmark = pytest.mark.skipif(not find_spec("llama_cpp"), reason="the llama part is not installed")


async def kill(hub: Company, readers: Readers, chance: random.Random) -> float:
    """Kill the model's process in the midst of answers; the seconds until something is said again."""
    while not (pid := hub.pid("model")):
        await readers.hear(1)
    await readers.hear(chance.randint(1, PIECES))
    os.kill(pid, signal.SIGKILL)
    began = time.monotonic()
    await readers.hear(8)
    return time.monotonic() - began


async def check(home: Path, seed: int, count: int) -> None:
    chance = random.Random(seed)
    async with company(home) as hub:
        async with Readers(hub.doors) as readers:
            times = []
            for number in range(count):
                times.append(await kill(hub, readers, chance))
                print(f"{number + 1}/{count}: {times[-1]:.2f} s, {readers.continued} went on, {dict(readers.ended)}")
        print(
            f"| {count} | {readers.ended['complete']} of {readers.ended.total()} | {readers.continued} | "
            f"{statistics.median(times):.2f} s | {max(times):.2f} s | {max(readers.pauses, default=0.0):.2f} s |"
        )
    assert readers.wrong == []
    assert set(readers.ended) == {"complete"}
    assert readers.continued >= count


async def test_answers_go_on_through_a_few_kills_of_their_process(tmp_path: Path) -> None:
    await check(tmp_path, 7, 3)


@pytest.mark.long
async def test_answers_go_on_through_a_hundred_kills_of_their_process(tmp_path: Path) -> None:
    await check(tmp_path, SEED, COUNT)
