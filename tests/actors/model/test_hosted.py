"""A model that its family's own process serves: loading, failing, serving, leaving."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from actors.model.hosted import HostedModel
from actors.model.interface import Engine
from bus import Code, RpcError
from bus.transports.memory import MemoryBroker, MemoryTransport
from host.member import Member
from host.settings import Settings
from tests.actors.models.words import WordEngine
from troupe.model.v1 import ModelState
from troupe.rpc.v1 import Progress

AVAILABLE, LOADING = ModelState.MODEL_STATE_AVAILABLE, ModelState.MODEL_STATE_LOADING
READY, FAILED = ModelState.MODEL_STATE_READY, ModelState.MODEL_STATE_FAILED


@pytest.fixture
async def member(tmp_path: Path) -> AsyncIterator[Member]:
    async with asyncio.timeout(20):
        transport = MemoryTransport(MemoryBroker(), "words-1")
        async with Member(Settings(home=tmp_path), "words", transport=transport) as member:
            yield member


class Opening:
    """Opens an engine when it is let, or fails."""

    def __init__(self, error: RpcError | None = None, told: float | Progress = 0.25) -> None:
        self.let = asyncio.Event()
        self.told = told
        self.error = error
        self.engines: list[WordEngine] = []

    async def __call__(self, progress: Callable[[float | Progress], None]) -> Engine:
        progress(self.told)
        await self.let.wait()
        if self.error is not None:
            raise self.error
        self.engines.append(WordEngine(["a"]))
        return self.engines[-1]


async def settled(model: HostedModel) -> ModelState:
    async for _ in model.changes():
        pass
    return model.state


async def test_it_loads_serves_and_leaves(member: Member) -> None:
    opening, seen = Opening(), list[tuple[ModelState, float]]()
    model = HostedModel(member, "words", "small", opening, grace=1)
    model.on_change = lambda: seen.append((model.state, model.progress.fraction))
    await model.start()
    await model.start()
    opening.let.set()
    assert await settled(model) == READY
    assert (LOADING, 0.25) in seen and len(opening.engines) == 1
    served = set(member.server.services)
    assert {"troupe.chat.v1.ChatService", "troupe.embedding.v1.EmbeddingService"} <= served
    for _ in range(2):
        await model.stop()
        assert (model.state, member.server.services) == (AVAILABLE, [])
    await model.start()
    assert await settled(model) == READY
    await model.stop()


async def test_an_engine_that_cannot_be_opened_has_failed_with_its_sentence_and_may_be_tried_again(
    member: Member,
) -> None:
    opening = Opening(RpcError(Code.FAILED_PRECONDITION, "small is damaged.", reason="MODEL_LOAD_FAILED"))
    model = HostedModel(member, "words", "small", opening)
    opening.let.set()
    await model.start()
    assert (await settled(model), model.error) == (FAILED, opening.error)
    opening.error = None
    await model.start()
    assert (await settled(model), model.error) == (READY, None)
    await model.stop()


async def test_what_it_waits_for_is_told_as_it_is(member: Member) -> None:
    waiting = Progress(state=Progress.STATE_QUEUED, position=3, note="Waiting for the other machine.")
    opening, seen = Opening(told=waiting), list[Progress]()
    model = HostedModel(member, "words", "small", opening)
    model.on_change = lambda: seen.append(model.progress)
    await model.start()
    opening.let.set()
    await settled(model)
    assert waiting in seen
    await model.stop()


async def test_one_that_is_still_loading_is_given_up(member: Member) -> None:
    opening = Opening()
    model = HostedModel(member, "words", "small", opening)
    await model.start()
    await model.stop()
    assert (model.state, opening.engines, member.server.services) == (AVAILABLE, [], [])
