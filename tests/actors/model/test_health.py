"""Loaded models are tried: what does not work is told, started again, and at last left as failed."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from actors.model import checks
from actors.model.family import Family
from actors.model.hosted import HostedModel
from actors.model.interface import Cost, Embedding, Event, Job, Tokens, TokenScore
from actors.model.launcher import Report
from actors.model.model_process import ModelProcess
from actors.model.shelf import Life
from actors.model.stream import EventStream
from bus import Code, Context, RpcError
from bus.transports.memory import MemoryBroker, MemoryTransport
from host.member import Member
from host.metrics import gather
from host.settings import ModelSettings, Settings
from tests.actors.model.test_model_process import Launching, Limits
from tests.actors.models.words import WordEngine
from troupe.chat.v1 import ChatService, ChatServiceClient, CompleteRequest
from troupe.family.v1 import (
    FamilyService,
    FamilyServiceClient,
    ListModelsRequest,
    Needs,
    StartModelRequest,
    TrialService,
    TrialServiceClient,
    TryModelRequest,
    TryModelResponse,
    WatchModelsRequest,
)
from troupe.model.v1 import HealthState, Model, ModelState

READY, FAILED = ModelState.MODEL_STATE_READY, ModelState.MODEL_STATE_FAILED
HEALTHY, FAILING = HealthState.HEALTH_STATE_HEALTHY, HealthState.HEALTH_STATE_FAILING


class Hangs(WordEngine):
    """Takes every job and says nothing."""

    async def _say(self, job: Job, stream: EventStream[Event]) -> None:
        await asyncio.Event().wait()


class Errs(WordEngine):
    """Fails at every job."""

    def submit(self, job: Job) -> EventStream[Event]:
        raise RpcError(Code.INTERNAL, "The engine is out of order.", reason="ENGINE_FAILED")


class Full(WordEngine):
    """Has a full queue."""

    def submit(self, job: Job) -> EventStream[Event]:
        raise RpcError(Code.RESOURCE_EXHAUSTED, "The queue is full.", reason="QUEUE_FULL")


class Numbs(WordEngine):
    """Has weights that are no numbers."""

    async def _say(self, job: Job, stream: EventStream[Event]) -> None:
        stream.push(Tokens(0, "?", 1, (TokenScore(b"?", math.nan, ()),), (1,)))
        stream.push(Cost(1, 0, 1, 0.0, 0.0, 0.0))
        stream.end()

    def embed(self, inputs: Sequence[Sequence[int]]) -> EventStream[Embedding]:
        stream: EventStream[Embedding] = EventStream(lambda: None)
        stream.push(Embedding(0, [math.nan, 1.0], 1))
        stream.end()
        return stream


@dataclass(frozen=True)
class One:
    """The one model of a shelf."""

    name: str = "one"
    error: str = ""


class OneShelf:
    """A shelf with one model, which lives as the test wants."""

    def __init__(self, life: Callable[[], Life]) -> None:
        self._life = life

    def entries(self) -> Mapping[str, One]:
        return {"one": One()}

    def describe(self, entry: One) -> Model:
        return Model(name=entry.name, services=[ChatService.INFO.name])

    def needs(self, entry: One) -> Needs:
        return Needs()

    def life(self, entry: One) -> Life:
        return self._life()


class Town:
    """A family on a bus, and who watches it."""

    def __init__(self, home: Path, stack: AsyncExitStack, **names: float) -> None:
        self._settings = Settings(home=home, models=ModelSettings(**{"health_seconds": 0.05, **names}))  # type: ignore[arg-type]
        self._stack = stack
        self._broker = MemoryBroker()

    async def open(self) -> None:
        self.member = await self._join("f-1")
        self.channel = (await self._join("client")).channel
        self.client = FamilyServiceClient(self.channel)

    async def _join(self, process: str) -> Member:
        transport = MemoryTransport(self._broker, process)
        return await self._stack.enter_async_context(Member(self._settings, process[:-2], transport=transport))

    async def family(self, life: Callable[[], Life]) -> Family[One]:
        family = await self._stack.enter_async_context(Family("f", OneShelf(life), member=self.member))
        await self.member.serve(family, FamilyService.INFO, "f")
        self._stack.callback(family.leave)
        return family

    async def engine(self, engine: WordEngine) -> Family[One]:
        """A family whose model this engine is, loaded."""

        async def opened(_: object) -> WordEngine:
            return engine

        family = await self.family(lambda: HostedModel(self.member, "f", "one", opened, grace=0.1))
        await self.start()
        return family

    async def start(self) -> None:
        async for _ in self.client.start_model(StartModelRequest(family="f", model="one")):
            pass

    async def until(self, so: Callable[[Model], bool]) -> Model:
        """The model, once it is so."""
        async with asyncio.timeout(20), aclosing(self.client.watch_models(WatchModelsRequest(family="f"))) as changes:
            async for change in changes:
                for model in change.models:
                    if so(model):
                        return model
        raise AssertionError("it was never so")

    async def tried(self) -> TryModelResponse:
        return await TrialServiceClient(self.channel).try_model(TryModelRequest(model="f/one"), timeout=20)

    async def now(self) -> Model:
        return (await self.client.list_models(ListModelsRequest(family="f"))).models[0]


@pytest.fixture
async def stack(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AsyncExitStack]:
    monkeypatch.setattr(checks, "FIRST_SECONDS", 0.0)
    monkeypatch.setattr(checks, "LEAST_SECONDS", 0.0)
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
async def town(stack: AsyncExitStack, tmp_path: Path) -> Town:
    town = Town(tmp_path, stack)
    await town.open()
    return town


async def test_a_model_that_answers_is_healthy_and_that_it_was_tried_is_no_use_of_it(town: Town) -> None:
    engine = WordEngine(["a", "b"])
    family = await town.engine(engine)
    model = await town.until(lambda model: model.health.state == HEALTHY)
    assert model.state == READY and model.health.checked.seconds > 0 and not model.health.error
    assert family.trouble() == ""
    text = (await gather(town.member.transport)).decode()
    told = [line for line in text.splitlines() if line.startswith("troupe_model_")]
    assert any(line.startswith("troupe_model_healthy{") and line.endswith(" 1.0") for line in told), told
    assert any(line.startswith("troupe_model_checks_total{") and 'result="healthy"' in line for line in told), told


async def test_one_that_does_not_answer_in_time_has_failed_with_the_reason(
    stack: AsyncExitStack, tmp_path: Path
) -> None:
    town = Town(tmp_path, stack, health_within_seconds=0.1)
    await town.open()
    family = await town.engine(Hangs(["a"]))
    model = await town.until(lambda model: model.state == FAILED)
    assert "It gave no answer within 0.1 s." in model.error and "does not work" in model.error
    assert model.health.state == FAILING
    assert family.trouble() == "one does not work: It gave no answer within 0.1 s."


@pytest.mark.parametrize(
    ("engine", "said"),
    [(Errs(["a"]), "The engine is out of order."), (Numbs(["a"]), "The probabilities of its tokens are no numbers.")],
)
async def test_one_that_answers_with_errors_or_nonsense_has_failed_with_the_reason(
    town: Town, engine: WordEngine, said: str
) -> None:
    await town.engine(engine)
    model = await town.until(lambda model: model.state == FAILED)
    assert said in model.error and model.health.error == said


async def test_one_that_is_used_is_left_alone(town: Town) -> None:
    await town.engine(Hangs(["a"]))
    call = ChatServiceClient(town.channel).complete(CompleteRequest(model="f/one", prompt="a"))
    reading = asyncio.ensure_future(anext(aiter(call)))
    try:
        async with asyncio.timeout(20):
            while not town.member.server.active_of(ChatService.INFO):
                await asyncio.sleep(0)
        assert (await town.tried()).busy
        assert (await town.now()).state == READY
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await call.aclose()


async def test_a_full_queue_is_no_fault(town: Town) -> None:
    await town.engine(Full(["a"]))
    assert (await town.tried()).busy
    assert not (await town.now()).HasField("health")


@pytest.mark.parametrize(("kind", "state"), [(WordEngine, HEALTHY), (Numbs, FAILING)])
async def test_a_model_that_embeds_alone_is_tried_by_a_vector(
    town: Town, kind: type[WordEngine], state: HealthState
) -> None:
    engine = kind(["Hello"])
    engine.info = replace(engine.info, generates=False)
    await town.engine(engine)
    model = await town.until(lambda model: model.health.state == state)
    assert model.health.error == ("" if state == HEALTHY else "Its embeddings are no vectors.")


class FailingTrial(TrialService):
    """What a process answers whose model does not work."""

    def __init__(self) -> None:
        self.asked = 0

    async def try_model(self, request: TryModelRequest, ctx: Context) -> TryModelResponse:
        self.asked += 1
        return TryModelResponse(error="It is mute.")


async def test_a_process_whose_model_does_not_work_is_started_again_and_at_last_left_as_failed(town: Town) -> None:
    launching, trial = Launching(), FailingTrial()
    await town.member.serve(trial, TrialService.INFO, "f/one")
    await town.family(lambda: ModelProcess("one", Path("one"), launching, Limits(max_restarts=9)))
    starting = asyncio.ensure_future(town.start())
    played = []
    async with asyncio.timeout(20):
        for _ in range(checks.FAILURES):
            played.append(await launching.started.get())
            played[-1].say(Report.ready())
    model = await town.until(lambda model: model.state == FAILED)
    await asyncio.gather(starting, return_exceptions=True)
    assert model.error.startswith("one is loaded and does not work: It is mute.")
    assert [each.told for each in played] == [["kill"]] * checks.FAILURES
    assert trial.asked >= checks.FAILURES and launching.count == checks.FAILURES


async def test_without_a_period_nothing_is_tried(stack: AsyncExitStack, tmp_path: Path) -> None:
    town = Town(tmp_path, stack, health_seconds=0.0)
    await town.open()
    family = await town.engine(Errs(["a"]))
    await town.until(lambda model: model.state == READY)
    assert family._health is not None and family._health._task is None
    assert not (await town.now()).HasField("health")
