"""A hub with memory for two processes: a model whose calls wait gets another one, and gives it back when others ask."""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from troupe.chat.v1 import CompleteRequest, GrammarFormat, ResponseFormat, Sampling
from troupe.gpu.v1 import LeaseInfo, LeaseState
from troupe.model.v1 import UnloadModelRequest
from troupe_client import connect

from .test_stage_on_the_hub import PATIENCE_SECONDS, SETTINGS, TINY, StageHub, size_of_one, start, stop

ADA, BEA = "ada", "bea"
READERS = 4
BUSY = LeaseState.LEASE_STATE_BUSY
ONE_AT_A_TIME = SETTINGS.replace("preload = []", "preload = []\nslots = 1")
TOKENS = 400
"""Tokens of one answer: long enough that others wait meanwhile."""


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[StageHub]:
    (tmp_path / "models").mkdir()
    for name in (ADA, BEA):
        shutil.copy(TINY, tmp_path / "models" / f"{name}.gguf")
    process, grpc = await start(tmp_path, int(size_of_one(tmp_path, ADA) * 2.5 / 0.8), ONE_AT_A_TIME)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS), connect(f"127.0.0.1:{grpc}") as client:
            hub = StageHub(client, tmp_path, process)
            watching = asyncio.create_task(hub.watch())
            yield hub
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
    finally:
        await stop(process)


async def letters(hub: StageHub) -> str:
    """A long greedy answer."""
    form = ResponseFormat(grammar=GrammarFormat(dialect="gbnf", grammar="root ::= [a-z] root"))
    sampling = Sampling(temperature=0)
    request = CompleteRequest(model=ADA, prompt="The hub", max_tokens=TOKENS, sampling=sampling, response_format=form)
    return "".join([each.delta.text async for each in hub.client.chat.complete(request)])


@asynccontextmanager
async def readers(hub: StageHub) -> AsyncIterator[set[str]]:
    """Several who ask again and again, so that calls always wait; all that they were answered."""
    said = {await letters(hub)}
    ends = asyncio.Event()

    async def read() -> None:
        while not ends.is_set():
            said.add(await letters(hub))

    async with asyncio.TaskGroup() as group:
        for _ in range(READERS):
            group.create_task(read())
        yield said
        ends.set()


def of(name: str, leases: list[LeaseInfo]) -> list[LeaseInfo]:
    return [lease for lease in leases if lease.name == f"llama/{name}"]


async def shown(hub: StageHub, true: Callable[[list[LeaseInfo]], bool]) -> list[LeaseInfo]:
    """The leases as soon as this is so of them."""
    async with hub.new:
        await hub.new.wait_for(lambda: bool(hub.seen) and true(list(hub.seen[-1].leases)))
        return list(hub.seen[-1].leases)


def two_work(leases: list[LeaseInfo]) -> bool:
    return [lease.state for lease in of(ADA, leases)] == [BUSY, BUSY]


def workers(hub: StageHub) -> list[int]:
    """Numbers of the processes of models of this hub."""
    found = []
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = command.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if "actors.llama.worker" in words and any(word.startswith(str(hub.home)) for word in words):
            found.append(int(command.parent.name))
    return found


async def test_a_model_whose_calls_wait_gets_another_process_and_gives_it_back_when_another_is_wanted(
    hub: StageHub,
) -> None:
    async with readers(hub) as said:
        await shown(hub, two_work)
        assert await hub.say(BEA)
        await shown(hub, lambda leases: len(of(ADA, leases)) == len(of(BEA, leases)) == 1)
    assert len(said) == 1, "copies say the same, whichever answers, and through the leaving of one"
    assert f"revoked llama/{ADA}" in hub.decided() and f"revoked llama/{BEA}" not in hub.decided()
    assert all(len(response.leases) <= 2 for response in hub.seen)
    for response in hub.seen:
        [device] = response.devices
        assert device.leased_bytes + device.unverified_bytes <= device.cap_bytes


async def test_the_calls_of_a_killed_process_go_on_at_the_other_and_unloading_ends_both(hub: StageHub) -> None:
    async with readers(hub) as said:
        await shown(hub, two_work)
        os.kill(workers(hub)[0], signal.SIGKILL)
        await shown(hub, lambda leases: [lease.state for lease in of(ADA, leases)] == [BUSY])
        before = len(said)
        for _ in range(READERS):
            said.add(await letters(hub))
    assert before == len(said) == 1
    await hub.client.models.unload_model(UnloadModelRequest(name=ADA))
    await shown(hub, lambda leases: not leases)
    assert workers(hub) == []
