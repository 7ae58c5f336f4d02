"""Processes are killed and stopped while calls run through them: nobody is left without a word, nothing stays behind.

A run's faults repeat with its seed: KILLS_SEED=7 KILLS=300 python -m pytest tests/kills -m long -s
"""

import os
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pytest

from .callers import Callers, Witness
from .faults import Company, Recoveries, company, planned

SILENCE_SECONDS = 5.0
"""Nobody waits longer for an answer, an error, or word of what is being started again."""

OTHERS = ["gateway", "echo", "chained", "models", "nats"]
MODELS = ["llama", "model"] if find_spec("llama_cpp") else []

SEED = int(os.environ.get("KILLS_SEED", "20261128"))
COUNT = int(os.environ.get("KILLS", "300"))


def load() -> float:
    """How many times more work there is than processors, at least 1: figures are of a machine that has time."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


async def suffer(hub: Company, seed: int, count: int) -> tuple[Witness, Recoveries]:
    if not MODELS:
        hub.without("llama")
        hub.without("model")
    callers = Callers(hub.doors, models=bool(MODELS))
    async with callers:
        recoveries = await hub.suffer(planned(seed, count, OTHERS + MODELS), tell=print)
    return callers.witness, recoveries


def report(witness: Witness, recoveries: Recoveries) -> str:
    """The figures, as docs/results.md has them."""
    lines = ["| who | what | times | whole again, median | longest |", "|---|---|---|---|---|"]
    for victim, kind, count, median, longest in recoveries.rows():
        lines.append(f"| {victim} | {kind} | {count} | {median:.2f} s | {longest:.2f} s |")
    lines += ["", "| caller | longest silence | ended |", "|---|---|---|"]
    for caller, seconds in sorted(witness.silences.items()):
        ended = ", ".join(f"{what} {times}" for (who, what), times in sorted(witness.ended.items()) if who == caller)
        lines.append(f"| {caller} | {seconds:.2f} s | {ended} |")
    return "\n".join([*lines, "", f"load {load():.1f}", *map(str, sorted(witness.longest, reverse=True)[:20])])


def done_twice(hub: Company, witness: Witness) -> list[str]:
    begun = Counter(hub.begun.read_text().split())
    return [name for name in witness.called if begun[name] > 1]


async def check(home: Path, seed: int, count: int) -> None:
    allowed = SILENCE_SECONDS * load()
    async with company(home) as hub:
        witness, recoveries = await suffer(hub, seed, count)
        print(report(witness, recoveries))
        await hub.settled()
    assert witness.wrong == []
    assert done_twice(hub, witness) == []
    assert hub.left() == []
    assert [each for each in witness.silences.items() if each[1] > allowed] == []
    for caller in witness.silences:
        assert witness.ended[caller, "complete"] > 0, caller


async def test_a_few_kills_and_stops_leave_nobody_without_a_word_and_nothing_behind(tmp_path: Path) -> None:
    await check(tmp_path, 640, 6)


@pytest.mark.long
async def test_hundreds_of_kills_and_stops_leave_nobody_without_a_word_and_nothing_behind(tmp_path: Path) -> None:
    await check(tmp_path, SEED, COUNT)


def test_the_same_seed_plans_the_same_faults() -> None:
    assert planned(3, 50, OTHERS) == planned(3, 50, OTHERS) != planned(4, 50, OTHERS)
    assert {fault.victim for fault in planned(3, 200, OTHERS)} == {*OTHERS, "supervisor"}
    assert all(fault.kind == "moment" for fault in planned(3, 200, OTHERS) if fault.victim == "supervisor")
