"""The stage is killed and stopped while models load, unload, switch and answer: nobody notices but by a word.

STAGE_SEED=7 STAGE_KILLS=300 python -m pytest tests/kills/test_stage_kills.py -m long -s
"""

import asyncio
import os
import random
import shutil
import statistics
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from actors.llama.settings import LlamaSettings
from actors.llama.shelf import LlamaShelf
from actors.model.launcher import SubprocessLauncher
from actors.model.needs import work_of
from bus import RpcError
from troupe.gpu.v1 import LeaseState, WatchRequest, WatchResponse
from troupe_client import Hub, connect

from .callers import Witness
from .faults import RECOVERY_SECONDS, Company, Fault, company
from .memory import Holders
from .stage_callers import NAMES, UNLOADED_MEANWHILE, StageCallers
from .test_kills import SILENCE_SECONDS, load

SEED = int(os.environ.get("STAGE_SEED", "20261129"))
COUNT = int(os.environ.get("STAGE_KILLS", "50"))
ROOM = 2
"""Models that the device holds."""

SETTINGS = """
[actors.llama]
preload = []

[[actors.gpu.devices]]
name = "small"
kind = "fixed"
memory = {memory}
"""
TINY = Path(__file__).parents[2] / "actors/llama/models/troupe-tiny.gguf"

pytestmark = pytest.mark.skipif(not find_spec("llama_cpp"), reason="the llama part is not installed")


def planned(seed: int, count: int) -> list[Fault]:
    """As many faults of the stage; the same seed plans the same."""
    chance = random.Random(seed)
    kinds = ["kill", "kill", "kill", "stop", "moment"]
    return [Fault("gpu", chance.choice(kinds), chance.uniform(0.1, 0.9), chance.uniform(0, 0.8)) for _ in range(count)]


def settings(home: Path) -> str:
    """Of a hub with copies of a small model, and a device that holds two of them and no third."""
    (home / "models").mkdir()
    for name in NAMES:
        shutil.copy(TINY, home / "models" / f"{name}.gguf")
    shelf = LlamaShelf(home, LlamaSettings(), SubprocessLauncher(""))
    variant = work_of("llama", NAMES[0], shelf.needs(shelf.entries()[NAMES[0]])).variants[0]
    return SETTINGS.format(memory=int(max(size.bytes for size in variant.sizes) * (ROOM + 0.5) / 0.8))


class Pictures:
    """Everything that the stage shows. An async context."""

    def __init__(self, hub: Hub) -> None:
        self.over: list[str] = []
        self.unexplained: list[str] = []
        self._hub = hub

    async def now(self) -> WatchResponse:
        """What there is, as soon as somebody tells."""
        async with asyncio.timeout(RECOVERY_SECONDS):
            while True:
                try:
                    async for response in self._hub.stage.watch(WatchRequest(machine="local", once=True)):
                        if response.devices:
                            return self._judged(response)
                except RpcError:
                    await asyncio.sleep(0.05)

    def _judged(self, picture: WatchResponse) -> WatchResponse:
        [device] = picture.devices
        if device.leased_bytes + device.unverified_bytes > device.cap_bytes:
            self.over.append(f"{device.leased_bytes:,} and {device.unverified_bytes:,} of {device.cap_bytes:,}")
        self.unexplained += [str(each) for each in picture.decisions if not (each.reason and each.rule)]
        self.unexplained += [str(wish) for wish in picture.wishes if not wish.reason]
        return picture


async def strike(hub: Company, fault: Fault, pictures: Pictures, holders: Holders) -> tuple[float, list[str]]:
    """Do it; how long until somebody shows the stage again, and the models that have memory and no lease then."""
    await asyncio.sleep(fault.before)
    began = time.monotonic()
    await hub.strike(fault)
    before = holders.now()
    picture = await pictures.now()
    seconds = time.monotonic() - began
    leased = {lease.name for lease in picture.leases if lease.state != LeaseState.LEASE_STATE_PLACED}
    kept = before.items() & holders.now().items()
    return seconds, [f"{fault}: {model} ({pid})" for pid, model in kept if f"llama/{model}" not in leased]


def report(count: int, times: list[float], witness: Witness) -> str:
    """The figures, as docs/results.md has them."""
    shown = [f"{statistics.median(times):.2f} s", f"{max(times):.2f} s", str(witness.ended.total())]
    row = f"| {count} | {' | '.join(shown)} | {max(witness.silences.values()):.2f} s |"
    return "\n".join([row, str(dict(witness.ended)), *map(str, sorted(witness.longest, reverse=True)[:20])])


async def check(home: Path, seed: int, count: int) -> None:
    allowed = SILENCE_SECONDS * load()
    lost: list[str] = []
    async with company(home, settings(home)) as hub, connect(hub.doors["grpc"], patience=30.0) as client:
        pictures = Pictures(client)
        async with Holders(hub.pid("llama")) as holders:
            async with StageCallers(hub.doors, seed) as callers:
                times = []
                for number, fault in enumerate(planned(seed, count), 1):
                    await callers.hear()
                    seconds, without = await strike(hub, fault, pictures, holders)
                    times.append(seconds)
                    lost += without
                    print(f"{number}/{count} {fault.kind}: {seconds:.2f} s, {callers.witness.ended.total()} calls")
                for name in NAMES:
                    await callers.hear(name)
            await pictures.now()
        witness = callers.witness
        ended = {outcome for _, outcome in witness.ended}
        print(report(count, times, witness))
        await hub.settled()
    assert witness.wrong == []
    assert lost == []
    assert pictures.over == []
    assert pictures.unexplained == []
    assert holders.most == ROOM
    assert ended <= {"complete", UNLOADED_MEANWHILE}
    assert [each for each in witness.silences.items() if each[1] > allowed] == []
    assert hub.left() == []


async def test_a_few_kills_of_the_stage_cost_nobody_an_answer_and_nothing_is_granted_twice(tmp_path: Path) -> None:
    await check(tmp_path, 3, 4)


@pytest.mark.long
async def test_fifty_kills_of_the_stage_cost_nobody_an_answer_and_nothing_is_granted_twice(tmp_path: Path) -> None:
    await check(tmp_path, SEED, COUNT)
