"""A model is measured beside itself, as a job: figures are kept and told, cancelling leaves it as it was."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace as changed
from pathlib import Path
from typing import Any

import pytest

from actors.jobs import JobsActor
from actors.model.family import Family
from actors.model.hosted import HostedModel
from actors.model.interface import Event, Job
from actors.model.overrides import Overrides, check_trained
from actors.model.shelf import Life
from actors.model.stream import EventStream
from actors.models.actor import ModelsActor, ModelsSettings
from bus import Code, RpcError
from bus.transports.memory import MemoryBroker, MemoryTransport
from host.member import Member
from host.settings import Settings
from tests.actors.models.words import WordEngine, WordList, WordShelf
from troupe.family.v1 import (
    DescribeModelRequest,
    FamilyService,
    FamilyServiceClient,
    Needs,
    StartModelRequest,
)
from troupe.family.v1 import Overrides as Told
from troupe.job.v1 import CancelJobRequest, JobService, JobServiceClient, JobState, ListJobsRequest
from troupe.model.v1 import (
    GetModelRequest,
    ListModelsRequest,
    Model,
    ModelService,
    ModelServiceClient,
    ModelState,
    ProfileModelRequest,
    ProfileModelResponse,
)

AVAILABLE = ModelState.MODEL_STATE_AVAILABLE


class Held(WordEngine):
    """Says nothing until it is let."""

    let = asyncio.Event()

    async def _say(self, job: Job, stream: EventStream[Event]) -> None:
        await Held.let.wait()
        await super()._say(job, stream)


class VariedShelf(WordShelf):
    """Word lists that run under other settings, too."""

    engine: type[WordEngine] = WordEngine
    opened: list[str]

    def describe(self, entry: WordList) -> Model:
        model = super().describe(entry)
        model.architecture, model.parameters, model.quantization = "words", len(entry.words), entry.name.upper()
        return model

    def needs(self, entry: WordList) -> Needs:
        return Needs(
            weights_bytes=100,
            engine="words 1",
            device="here",
            context_tokens=4096,
            slots=2,
            trained_context_tokens=4096,
        )

    def varied(self, entry: WordList, overrides: Overrides) -> WordList:
        check_trained(overrides, 4096)
        return changed(entry, name=overrides.named(entry.name))

    def life(self, entry: WordList) -> Life:
        async def open_engine(progress: Callable[[float], None]) -> WordEngine:
            self.opened.append(entry.name)
            if "huge" in entry.words and "context=4096" in entry.name:
                raise RpcError(Code.RESOURCE_EXHAUSTED, "It fits nowhere.", reason="INSUFFICIENT_MEMORY")
            return self.engine(entry.words)

        return HostedModel(self._member, self._family, entry.name, open_engine, grace=0.1)


class Town:
    """A hub of this process: a family, the front, jobs, a client."""

    def __init__(self, home: Path, stack: AsyncExitStack) -> None:
        self.home = home
        self._stack = stack
        self._broker = MemoryBroker()

    async def join(self, name: str) -> Member:
        transport = MemoryTransport(self._broker, f"{name}-1")
        return await self._stack.enter_async_context(Member(Settings(home=self.home), name, transport=transport))

    async def open(self, engine: type[WordEngine] = WordEngine, **lists: str) -> None:
        (self.home / "w").mkdir()
        for name, words in lists.items():
            (self.home / "w" / f"{name}.words").write_text(words)
        family = await self.join("w")
        shelf = VariedShelf("w", self.home / "w", family)
        shelf.engine, shelf.opened = engine, []
        actor = Family("w", shelf)
        self.shelf = shelf
        await self._stack.enter_async_context(actor)
        await family.serve(actor, FamilyService.INFO, "w")
        await family.ready()
        jobs = await self.join("jobs")
        keeper = JobsActor(jobs.jobs, jobs.presence)
        await keeper.start()
        self._stack.push_async_callback(keeper.stop)
        await jobs.serve(keeper, JobService.INFO)
        front = await self.join("models")
        models = ModelsActor(
            ModelsSettings(families=["w"]), front.channel, front.transport, front.settings, jobs=front.jobs, patience=0
        )
        await models.start()
        self._stack.push_async_callback(models.stop)
        await front.serve(models, ModelService.INFO)
        client = await self.join("client")
        self.models, self.family = ModelServiceClient(client.channel), FamilyServiceClient(client.channel)
        self.jobs = JobServiceClient(client.channel)

    async def profile(self, name: str, **said: Any) -> list[ProfileModelResponse]:
        request = ProfileModelRequest(name=name, **said)
        async with asyncio.timeout(30):
            return [response async for response in self.models.profile_model(request)]


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    async with AsyncExitStack() as stack:
        yield Town(tmp_path, stack)


async def test_figures_are_measured_beside_the_model_kept_and_told(town: Town) -> None:
    await town.open(small="a b c")
    first, *_, last = await town.profile("small", contexts=[1024, 4096], slots=[1, 2])
    assert first.job_id
    found = [(each.context_tokens, each.slots) for each in last.profile.figures]
    assert found == [(1024, 1), (1024, 2), (4096, 1), (4096, 2)]
    for each in last.profile.figures:
        assert each.tokens_per_second > 0 and each.total_tokens_per_second > 0 and each.prompt_tokens_per_second > 0
        assert each.first_token.ToNanoseconds() > 0 and each.load.ToNanoseconds() > 0
        assert (each.model, each.engine, each.device) == ("w/small", "words 1", "here")
        assert not each.error
    assert last.profile.proposal.model == "w/small" and last.profile.proposal.reasons
    assert town.shelf.opened == [f"small@context={context},slots={slots}" for context, slots in found]
    told = await town.models.get_model(GetModelRequest(name="small"))
    assert told.model.state == AVAILABLE and not told.model.served_names
    assert told.profile == last.profile
    assert told.model.figures.context_tokens == 4096
    listed = (await town.models.list_models(ListModelsRequest())).models
    assert [(model.name, model.figures.context_tokens) for model in listed] == [("small", 4096)]


async def test_settings_that_do_not_fit_are_told_and_the_others_are_measured(town: Town) -> None:
    await town.open(large="huge a b")
    *_, last = await town.profile("large", contexts=[1024, 4096], slots=[1])
    assert [each.error for each in last.profile.figures] == ["", "It fits nowhere."]
    assert last.profile.proposal.context_tokens == 1024


async def test_quantizations_of_one_model_are_measured_side_by_side_and_no_others(town: Town) -> None:
    await town.open(q4="a b c", q8="c b a", other="a b c d e f")
    *_, last = await town.profile("q8", contexts=[1024], slots=[1], others=["q4", "q4"])
    assert [(each.model, each.quantization) for each in last.profile.figures] == [("w/q8", "Q8"), ("w/q4", "Q4")]
    with pytest.raises(RpcError) as refusal:
        await town.profile("q8", others=["other"])
    assert refusal.value.reason == "NOT_THE_SAME_MODEL"
    with pytest.raises(RpcError, match="trained for 4,096"):
        await town.profile("q8", contexts=[8192])
    with pytest.raises(RpcError, match="no model 'q9'"):
        await town.profile("q9")


async def test_a_model_that_embeds_is_measured_by_its_vectors(town: Town) -> None:
    await town.open(vectors="a b c")
    *_, last = await town.profile("vectors", contexts=[1024], slots=[1])
    figures = last.profile.figures[0]
    assert figures.first_token.ToNanoseconds() > 0 and figures.prompt_tokens_per_second > 0
    assert figures.tokens_per_second == 0 and last.profile.proposal.context_tokens == 1024


async def test_cancelling_ends_the_process_and_leaves_the_model_as_it_was(town: Town) -> None:
    Held.let = asyncio.Event()
    await town.open(Held, small="a b c")
    detached = await town.profile("small", contexts=[1024], slots=[1], detached=True)
    async with asyncio.timeout(30):
        while not town.shelf.opened:
            await asyncio.sleep(0)
        job = detached[0].job_id
        await town.jobs.cancel_job(CancelJobRequest(id=job))
        while True:
            jobs = (await town.jobs.list_jobs(ListJobsRequest())).jobs
            if [each.state for each in jobs if each.id == job] == [JobState.JOB_STATE_CANCELLED]:
                break
            await asyncio.sleep(0)
        await gone(town, "small@context=1024,slots=1")
    told = await town.models.get_model(GetModelRequest(name="small"))
    assert told.model.state == AVAILABLE and not told.HasField("profile")


async def gone(town: Town, name: str) -> None:
    """Return when another call may hold the process of this name."""
    base, _, said = name.partition("@")
    context, slots = (int(each.partition("=")[2]) for each in said.split(","))
    while True:
        try:
            call = town.family.start_model(
                StartModelRequest(family="w", model=base, overrides=Told(context_tokens=context, slots=slots))
            )
            async for response in call:
                if response.HasField("model"):
                    await call.aclose()
                    return
        except RpcError as error:
            assert error.reason == "OVERRIDES_IN_USE"


async def test_a_process_beside_the_model_is_held_by_one_call_and_seen_in_no_list(town: Town) -> None:
    await town.open(small="a b c")
    request = StartModelRequest(family="w", model="small", overrides=Told(context_tokens=1024, slots=1))
    call = town.family.start_model(request)
    async for response in call:
        if response.HasField("model"):
            break
    assert response.model.name == "small@context=1024,slots=1"
    with pytest.raises(RpcError) as refusal:
        async for _ in town.family.start_model(request):
            pass
    assert refusal.value.reason == "OVERRIDES_IN_USE"
    described = await town.family.describe_model(DescribeModelRequest(family="w", model=response.model.name))
    assert described.needs.weights_bytes == 100 and described.model.name == "small"
    assert [model.name for model in (await town.models.list_models(ListModelsRequest())).models] == ["small"]
    with pytest.raises(RpcError, match="no model 'small@context"):
        async for _ in town.family.start_model(StartModelRequest(family="w", model=response.model.name)):
            pass
    await call.aclose()
    await asyncio.wait_for(gone(town, response.model.name), 20)
