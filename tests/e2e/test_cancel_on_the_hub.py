"""Calls that wait for a model's memory are cancelled: their place is free at once, and what runs does not notice."""

import asyncio
import random
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.e2e.test_stage_on_the_hub import NAMES, PATIENCE_SECONDS, TINY, StageHub, size_of_one, start, stop
from troupe.chat.v1 import CompleteRequest, FinishReason, GrammarFormat, ResponseFormat, Sampling
from troupe.gpu.v1 import WatchResponse
from troupe_client import connect

FIRST, SECOND = NAMES[:2]
RUNNING, QUEUED = 4, 8
TOKENS = 600
"""Of each answer that runs; its end is written by its length alone."""


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[StageHub]:
    """A hub with two models and memory for one."""
    (tmp_path / "models").mkdir()
    for name in (FIRST, SECOND):
        shutil.copy(TINY, tmp_path / "models" / f"{name}.gguf")
    process, grpc = await start(tmp_path, int(size_of_one(tmp_path, FIRST) * 1.5 / 0.8))
    try:
        async with asyncio.timeout(PATIENCE_SECONDS), connect(f"127.0.0.1:{grpc}") as client:
            hub = StageHub(client, tmp_path, process)
            watching = asyncio.create_task(hub.watch())
            yield hub
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
    finally:
        await stop(process)


class Answer:
    """A call and what came of it."""

    def __init__(self, hub: StageHub, model: str, tokens: int) -> None:
        self.begun = asyncio.Event()
        self.tokens = 0
        self.finish: int | None = None
        letters = ResponseFormat(grammar=GrammarFormat(dialect="gbnf", grammar="root ::= [a-z] root"))
        self._request = CompleteRequest(
            model=model,
            prompt="The hub",
            max_tokens=tokens,
            response_format=letters,
            sampling=Sampling(temperature=0),
        )
        self._hub = hub
        self.task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for response in self._hub.client.chat.complete(self._request):
            self.tokens += response.delta.tokens
            if self.tokens:
                self.begun.set()
            if response.HasField("finish"):
                self.finish = response.finish.reason

    async def cancel(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


def waiting(response: WatchResponse) -> int:
    """How many wait for the second model."""
    return sum(wish.waiting for wish in response.wishes if wish.name == f"llama/{SECOND}")


async def shown(hub: StageHub, fits: Callable[[WatchResponse], bool]) -> None:
    async with hub.new:
        await hub.new.wait_for(lambda: fits(hub.seen[-1]))


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_cancelled_call_frees_its_place_and_what_runs_goes_on_to_its_end(hub: StageHub, seed: int) -> None:
    chance = random.Random(seed)
    assert await hub.say(FIRST)
    running = [Answer(hub, FIRST, TOKENS) for _ in range(RUNNING)]
    await asyncio.gather(*(each.begun.wait() for each in running))
    queued = [Answer(hub, SECOND, 5) for _ in range(QUEUED)]
    await shown(hub, lambda seen: waiting(seen) == QUEUED or all(each.task.done() for each in running))
    kept = 2
    while len(queued) > kept:
        gone = queued.pop(chance.randrange(len(queued)))
        began = not gone.begun.is_set()
        await gone.cancel()
        left = len(queued)
        await shown(hub, lambda seen, left=left: waiting(seen) <= left)  # type: ignore[misc]
        assert not began or gone.tokens == 0, "it never had a place in the model"
        if chance.random() < 0.3:
            late = Answer(hub, SECOND, 5)
            queued.append(late)
            await shown(hub, lambda seen, left=left, late=late: waiting(seen) > left or late.begun.is_set())  # type: ignore[misc]
    await asyncio.gather(*(each.task for each in (*running, *queued)))
    assert [each.tokens for each in running] == [TOKENS] * RUNNING
    assert {each.finish for each in running} == {FinishReason.FINISH_REASON_LENGTH}
    assert [each.tokens for each in queued] == [5] * kept
    assert await hub.say(FIRST), "nothing of the cancelled ones is in the way"
    await shown(hub, lambda seen: waiting(seen) == 0)
