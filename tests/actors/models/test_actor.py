"""Two families behind one front, in memory and on a real NATS server: both are listed, loaded and called."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from actors.models import following
from actors.models.actor import ModelsActor, ModelsSettings
from bus import Code, Context, RpcError
from bus.channel import Channel
from bus.resolver import resolver
from bus.testing import NatsServer
from bus.transports import Transport
from bus.transports.memory import MemoryBroker, MemoryTransport
from bus.transports.nats import NatsTransport
from host.liveness import BEAT_SECONDS, Presence
from host.member import Member, method_of
from host.settings import ModelSettings, Settings, SupervisorSettings
from troupe.chat.v1 import ChatServiceClient, GenerateRequest, Role
from troupe.embedding.v1 import EmbeddingServiceClient, EmbedRequest
from troupe.family import v1 as families
from troupe.family.v1 import FamilyService
from troupe.model.v1 import (
    GetModelRequest,
    ListModelsRequest,
    LoadModelRequest,
    LoadModelResponse,
    Model,
    ModelService,
    ModelServiceClient,
    ModelState,
    UnloadModelRequest,
)
from troupe.weights.v1 import ListWeightsRequest, ListWeightsResponse, Weights, WeightsService, WeightsState

from .words import WordsActor

Make = Callable[[str], Awaitable[Transport]]
AVAILABLE, READY = ModelState.MODEL_STATE_AVAILABLE, ModelState.MODEL_STATE_READY
UNAVAILABLE = ModelState.MODEL_STATE_UNAVAILABLE
GENERATE, EMBED = "troupe.chat.v1.ChatService/Generate", "troupe.embedding.v1.EmbeddingService/Embed"
COLOURS, NUMBERS = "red green blue", "one two three four"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    server = NatsServer(tmp_path_factory.mktemp("nats"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(params=["memory", "nats"])
async def make(request: pytest.FixtureRequest) -> Make:
    if request.param == "memory":
        broker = MemoryBroker()

        async def in_memory(process: str) -> Transport:
            return MemoryTransport(broker, process)

        return in_memory
    url = request.getfixturevalue("server").url

    async def on_nats(process: str) -> Transport:
        return await NatsTransport.connect(url, process)

    return on_nats


class Fetching(WeightsService):
    def __init__(self, weights: Sequence[Weights]) -> None:
        self._weights = weights

    async def list_weights(self, request: ListWeightsRequest, ctx: Context) -> ListWeightsResponse:
        return ListWeightsResponse(weights=self._weights)


class Deaf(FamilyService):
    """Serves, as its process says, and never answers."""

    async def list_models(self, request: families.ListModelsRequest, ctx: Context) -> families.ListModelsResponse:
        await asyncio.Event().wait()
        raise AssertionError

    async def watch_models(
        self, request: families.WatchModelsRequest, ctx: Context
    ) -> AsyncIterator[families.WatchModelsResponse]:
        await asyncio.Event().wait()
        yield families.WatchModelsResponse()


class Company:
    """Families and a front, each a process of its own on one bus, and clients."""

    def __init__(self, make: Make, home: Path, stack: AsyncExitStack) -> None:
        self.home = home
        self._make = make
        self._stack = stack
        self._lives: dict[str, AsyncExitStack] = {}

    async def open(self) -> None:
        transport = await self._make("client")
        self._stack.push_async_callback(transport.close)
        channel = self.channel = Channel(transport)
        self._stack.push_async_callback(channel.close)
        self.models = ModelServiceClient(channel)
        self.chat = ChatServiceClient(channel)
        self.embedding = EmbeddingServiceClient(channel)

    def words(self, family: str, **lists: str) -> None:
        folder = self.home / family
        folder.mkdir(exist_ok=True)
        for name, words in lists.items():
            (folder / f"{name}.words").write_text(words)

    async def family(self, name: str, preload: tuple[str, ...] = ()) -> Member:
        life = self._lives[name] = await self._stack.enter_async_context(AsyncExitStack())
        member = await life.enter_async_context(
            Member(Settings(home=self.home), name, transport=await self._make(f"{name}-1"))
        )
        actor = await life.enter_async_context(WordsActor(name, self.home / name, member, preload))
        for route in actor.routes(FamilyService.INFO):
            await member.serve(actor, FamilyService.INFO, route)
        await member.ready()
        return member

    async def front(self, *families: str, names: ModelSettings | None = None, patience: float = 0.0) -> None:
        life = self._lives["models"] = await self._stack.enter_async_context(AsyncExitStack())
        hub = Settings(home=self.home, models=names or ModelSettings())
        member = await life.enter_async_context(Member(hub, "models", transport=await self._make("models-1")))
        settings = ModelsSettings(families=list(families))
        actor = ModelsActor(settings, member.channel, member.transport, hub, patience=patience)
        member.heart.trouble = actor.trouble
        await actor.start()
        life.push_async_callback(actor.stop)
        await member.serve(actor, ModelService.INFO)
        await member.ready()

    async def member(self, name: str) -> Member:
        """A process of this name, which `end` ends."""
        life = self._lives[name] = await self._stack.enter_async_context(AsyncExitStack())
        transport = await self._make(f"{name}-1")
        return await life.enter_async_context(Member(Settings(home=self.home), name, transport=transport))

    async def deaf(self, name: str) -> AsyncExitStack:
        """A family of which nothing is ever heard but that it serves; close what is returned to end it."""
        life = await self._stack.enter_async_context(AsyncExitStack())
        member = await life.enter_async_context(
            Member(
                Settings(home=self.home, supervisor=SupervisorSettings(drain_seconds=0.1)),
                name,
                transport=await self._make(f"{name}-1"),
            )
        )
        await member.serve(Deaf(), FamilyService.INFO, name)
        await member.ready()
        return life

    async def presence(self) -> Presence:
        transport = await self._make("watcher")
        self._stack.push_async_callback(transport.close)
        presence = Presence(transport)
        await presence.start()
        self._stack.push_async_callback(presence.stop)
        return presence

    async def heard(self, presence: Presence, actor: str, told: Callable[[str], bool]) -> None:
        """Return when an actor tells such trouble."""
        heard = asyncio.Event()
        forget = presence.listen(lambda beat: heard.set() if beat.actor == actor and told(beat.trouble) else None)
        async with asyncio.timeout(5):
            await heard.wait()
        forget()

    async def weights(self, *weights: Weights) -> None:
        """Whoever fetches, of whom these are told."""
        life = self._lives["weights"] = await self._stack.enter_async_context(AsyncExitStack())
        member = await life.enter_async_context(
            Member(Settings(home=self.home), "weights", transport=await self._make("weights-1"))
        )
        await member.serve(Fetching(weights), WeightsService.INFO)
        await member.ready()

    async def end(self, name: str) -> None:
        """It leaves as a process does that is asked to."""
        await self._lives.pop(name).aclose()

    async def listed(self, service: str = "") -> dict[str, Model]:
        answer = await self.models.list_models(ListModelsRequest(service=service))
        return {model.name: model for model in answer.models}

    def loading(self, name: str) -> AsyncIterator[LoadModelResponse]:
        return self.models.load_model(LoadModelRequest(name=name))

    async def load(self, name: str) -> list[LoadModelResponse]:
        return [response async for response in self.loading(name)]

    async def says(self, model: str, text: str, tokens: int = 3) -> str:
        request = GenerateRequest(model=model, max_tokens=tokens)
        request.messages.add(role=Role.ROLE_USER).parts.add(text=text)
        return "".join([response.delta.text async for response in self.chat.generate(request)])

    async def until(self, true: Callable[[dict[str, Model]], bool]) -> dict[str, Model]:
        """Look again and again: the front follows within a moment."""
        while not true(listed := await self.listed()):
            await asyncio.sleep(0.01)
        return listed


def names(listed: dict[str, Model], name: str) -> list[str]:
    """Names under which a model is served; empty for one that is not listed."""
    return list(listed[name].served_names) if name in listed else []


@pytest.fixture
async def company(make: Make, tmp_path: Path) -> AsyncIterator[Company]:
    async with asyncio.timeout(60), AsyncExitStack() as stack:
        company = Company(make, tmp_path, stack)
        await company.open()
        company.words("colours", small=COLOURS, rainbow="violet indigo")
        company.words("numbers", small=NUMBERS, primes="2 3 5 7")
        yield company


async def test_both_families_are_listed_loaded_and_called(company: Company) -> None:
    await company.family("colours")
    await company.family("numbers")
    await company.front("numbers", "colours", names=ModelSettings(default="small"))
    listed = await company.listed()
    assert list(listed) == ["colours/small", "primes", "rainbow", "small"]
    assert {name: model.family for name, model in listed.items()} == {
        "colours/small": "colours", "primes": "numbers", "rainbow": "colours", "small": "numbers",
    }  # fmt: skip
    assert [name for name, model in listed.items() if model.default] == ["small"]
    *progress, last = await company.load("primes")
    assert (last.model.state, last.model.qualified_name) == (READY, "numbers/primes")
    assert list(last.model.served_names) == ["numbers/primes", "primes"]
    assert all(each.progress.note == "Loading primes." for each in progress)
    assert (await company.load("rainbow"))[-1].model.state == READY
    assert await company.says("primes", "2 3") == "5 7 ?"
    assert await company.says("rainbow", "violet") == "indigo ? violet"


async def test_an_alias_is_told_and_means_its_model_in_every_method(company: Company) -> None:
    await company.family("colours")
    await company.front("colours", names=ModelSettings(default="small", aliases={"gpt-4o": "rainbow"}))
    assert {name: list(model.aliases) for name, model in (await company.listed()).items()} == {
        "rainbow": ["gpt-4o"], "small": [],
    }  # fmt: skip
    assert (await company.models.get_model(GetModelRequest(name="gpt-4o"))).model.name == "rainbow"
    assert (await company.models.get_model(GetModelRequest(name="default"))).model.name == "small"
    loaded = (await company.load("gpt-4o"))[-1].model
    assert (loaded.name, loaded.state) == ("rainbow", READY)
    await company.models.unload_model(UnloadModelRequest(name="gpt-4o"))
    assert (await company.listed())["rainbow"].state == AVAILABLE


async def test_two_models_with_one_name_are_both_reached(company: Company) -> None:
    await company.family("colours")
    await company.family("numbers")
    await company.front("numbers", patience=1.1)
    assert (await company.load("small"))[-1].model.family == "numbers"
    assert (await company.load("colours/small"))[-1].model.name == "colours/small"
    for name, words in (("small", "two three four"), ("numbers/small", "two three four"), ("colours/small", "? ? ?")):
        assert await company.says(name, "one") == words.replace("? ? ?", "red green blue")
    listed = await company.listed()
    assert "means numbers/small" in listed["colours/small"].note
    assert list(listed["colours/small"].served_names) == ["colours/small"]
    assert (await company.models.get_model(GetModelRequest(name="numbers/small"))).model.name == "small"


async def test_a_bare_name_goes_over_to_the_family_that_comes_first_when_it_gets_such_a_model(company: Company) -> None:
    await company.family("colours")
    await company.family("numbers")
    await company.front("colours", "numbers")
    assert await company.load("primes")
    assert await company.says("primes", "2", tokens=1) == "3"
    company.words("colours", primes="magenta")
    await company.until(lambda listed: names(listed, "numbers/primes") == ["numbers/primes"])
    assert await company.load("primes")
    assert await company.says("primes", "x", tokens=1) == "magenta"
    assert await company.says("numbers/primes", "2", tokens=1) == "3"


async def test_an_embedding_is_of_the_family_that_is_named(company: Company) -> None:
    await company.family("colours")
    await company.front("colours")
    await company.load("small")
    vector, usage = [
        answer async for answer in company.embedding.embed(EmbedRequest(model="small", inputs=["red red"]))
    ]
    assert list(vector.values) == [0, 1, 0, 0]
    assert usage.tokens == 2


async def test_a_family_that_is_not_there_yet_is_found_by_its_heartbeat(company: Company) -> None:
    await company.family("colours")
    await company.front("colours")
    await company.family("numbers")
    listed = await company.until(lambda listed: "primes" in listed)
    assert listed["numbers/small"].family == "numbers"


async def test_what_a_family_loads_by_itself_gets_its_bare_name_too(company: Company) -> None:
    await company.front("colours")
    await company.family("colours", preload=("small",))
    await company.until(lambda listed: "small" in names(listed, "small"))
    assert await company.says("small", "red", tokens=1) == "green"


async def test_one_family_ends_and_the_other_goes_on_answering(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bus.waiting.RETURN_SECONDS", 1.0)
    await company.family("colours")
    await company.family("numbers")
    await company.front("colours", "numbers")
    await company.load("rainbow")
    await company.load("primes")
    await company.end("numbers")
    listed = await company.until(lambda listed: listed["primes"].state == UNAVAILABLE)
    assert "numbers is away" in listed["primes"].error
    assert listed["rainbow"].state == READY
    assert await company.says("rainbow", "violet", tokens=1) == "indigo"
    with pytest.raises(RpcError, match="numbers is away") as refusal:
        await company.load("primes")
    assert (refusal.value.code, refusal.value.reason) == (Code.UNAVAILABLE, "FAMILY_UNAVAILABLE")
    await company.family("numbers")
    await company.until(lambda listed: listed["primes"].state == AVAILABLE)
    await company.load("primes")
    assert await company.says("primes", "2", tokens=1) == "3"


async def test_an_answer_goes_on_when_its_family_is_started_again(company: Company) -> None:
    company.words("colours", warm=COLOURS)
    await company.family("colours", preload=("warm",))
    await company.front("colours")
    await company.until(lambda listed: "warm" in listed["warm"].served_names)
    whole = await company.says("warm", "green", 400)
    request = GenerateRequest(model="warm", max_tokens=400)
    request.messages.add(role=Role.ROLE_USER).parts.add(text="green")
    call = company.chat.generate(request)
    heard = [await anext(call) for _ in range(3)]
    await company.end("colours")
    await company.family("colours", preload=("warm",))
    heard += [response async for response in call]
    assert "".join(response.delta.text for response in heard) == whole
    assert [response.usage.completion_tokens for response in heard if response.HasField("usage")] == [400]


async def test_a_family_that_serves_and_does_not_answer_is_trouble_that_readiness_shows(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "LIST_SECONDS", 0.1)
    await company.family("colours")
    life = await company.deaf("stones")
    presence = await company.presence()
    await company.front("colours", "stones")
    async with asyncio.timeout(5):
        assert "rainbow" in await company.listed()
    await company.heard(presence, "models", lambda trouble: trouble.startswith("The family stones is away (it did not"))
    await life.aclose()  # who has gone is its supervisor's to tell
    await company.heard(presence, "models", lambda trouble: trouble == "")


async def test_a_front_that_is_started_anew_disturbs_nothing_that_is_loaded(company: Company) -> None:
    await company.family("colours")
    await company.front("colours")
    await company.load("small")
    await company.end("models")
    assert await company.says("small", "red", tokens=1) == "green"
    await company.front("colours")
    listed = await company.listed()
    assert (listed["small"].state, list(listed["small"].served_names)) == (READY, ["colours/small", "small"])


async def test_an_unloaded_model_is_not_served_and_its_family_goes_on(company: Company) -> None:
    await company.family("colours")
    await company.front("colours")
    await company.load("small")
    await company.load("rainbow")
    for _ in range(2):
        await company.models.unload_model(UnloadModelRequest(name="colours/small"))
    assert (await company.listed())["small"].state == AVAILABLE
    with pytest.raises(RpcError) as refusal:
        await company.says("small", "red")
    assert refusal.value.reason == "NO_RESPONDERS"
    assert await company.says("rainbow", "violet", tokens=1) == "indigo"


async def test_a_model_is_not_loaded_for_what_it_does_not_do(company: Company) -> None:
    await company.family("colours")
    await company.front("colours")
    company.words("colours", vectors="grey")
    words = r"'vectors' can make embeddings, but not chat\. Ask one that does: .*small"
    with pytest.raises(RpcError, match=words) as refusal:
        async for _ in company.models.load_model(LoadModelRequest(name="vectors", method=GENERATE)):
            pass
    assert (refusal.value.code, refusal.value.reason) == (Code.INVALID_ARGUMENT, "MODEL_UNSUITABLE")
    assert (await company.listed())["vectors"].state == AVAILABLE
    async for _ in company.models.load_model(LoadModelRequest(name="vectors", method=EMBED)):
        pass
    with pytest.raises(RpcError, match="full name"):
        async for _ in company.models.load_model(LoadModelRequest(name="vectors", method="Generate")):
            pass


async def test_a_file_that_comes_is_listed_at_once_and_a_broken_one_says_why(company: Company) -> None:
    await company.family("colours")
    await company.front("colours")
    company.words("colours", late="grey", empty="", odd="unreadable")
    listed = await company.listed()
    assert listed["late"].state == AVAILABLE
    assert (listed["empty"].state, listed["empty"].error) == (ModelState.MODEL_STATE_FAILED, "empty is empty.")
    for name, words in (("empty", "empty is empty."), ("odd", "odd cannot be loaded: it is unreadable.")):
        with pytest.raises(RpcError) as refusal:
            await company.load(name)
        assert (refusal.value.reason, refusal.value.message) == ("MODEL_LOAD_FAILED", words)


async def test_what_a_models_life_refuses_reaches_who_calls_the_model_as_it_is(company: Company) -> None:
    await company.family("colours")
    await company.front("colours")
    company.words("colours", huge="huge")
    company.channel.resolver = resolver(company.channel, method_of)
    with pytest.raises(RpcError) as refusal:
        await company.says("huge", "red")
    assert (refusal.value.code, refusal.value.reason) == (Code.RESOURCE_EXHAUSTED, "INSUFFICIENT_MEMORY")
    assert refusal.value.message == "huge fits nowhere; half of it would."
    assert refusal.value.metadata == {"model": "huge", "fits": "half"}
    assert refusal.value.retry_after == 2.5
    assert (await company.listed())["huge"].state == ModelState.MODEL_STATE_FAILED


async def test_an_unknown_model_is_refused_with_names_of_both_families(company: Company) -> None:
    await company.family("colours")
    await company.family("numbers")
    await company.front("colours", "numbers")
    calls: list[Any] = [
        company.load("rainbo"),
        company.models.get_model(GetModelRequest(name="rainbo")),
        company.models.unload_model(UnloadModelRequest(name="rainbo")),
    ]
    for call in calls:
        with pytest.raises(RpcError, match="Did you mean rainbow") as refusal:
            await call
        assert refusal.value.reason == "MODEL_NOT_FOUND"


async def test_a_model_that_is_being_fetched_says_how_far_it_is_and_when_to_ask_again(company: Company) -> None:
    chat = ["troupe.chat.v1.ChatService"]
    coming = Weights(name="coming", state=WeightsState.WEIGHTS_STATE_FETCHING, fraction=0.4, services=chat)
    coming.eta.FromSeconds(12)
    later = Weights(name="later", state=WeightsState.WEIGHTS_STATE_WAITING, services=chat)
    failed = Weights(name="failed", state=WeightsState.WEIGHTS_STATE_FAILED, error="No index.", services=chat)
    words = Weights(name="words", state=WeightsState.WEIGHTS_STATE_FETCHING)
    await company.family("colours")
    await company.weights(coming, later, failed, words)
    await company.front("colours", patience=BEAT_SECONDS * 1.1)
    with pytest.raises(RpcError, match="'coming' can chat, but not make embeddings") as unsuited:
        async for _ in company.models.load_model(LoadModelRequest(name="coming", method=EMBED)):
            pass
    assert unsuited.value.reason == "MODEL_UNSUITABLE"
    for name, share, seconds in (("coming", "0.400", 12), ("later", "0.000", 5)):
        with pytest.raises(RpcError, match="is being fetched") as caught:
            await company.load(name)
        assert (caught.value.code, caught.value.reason) == (Code.UNAVAILABLE, "MODEL_BEING_FETCHED")
        assert (caught.value.metadata["fraction"], caught.value.retry_after) == (share, seconds)
    for name, said in (("failed", "No index. `troupe models pull failed`"), ("words", "There is no model 'words'")):
        with pytest.raises(RpcError, match=said) as caught:
            await company.load(name)
        assert caught.value.reason == "MODEL_NOT_FOUND"
    assert "coming" not in await company.listed()


async def test_without_anybody_who_fetches_an_unknown_model_is_unknown(company: Company) -> None:
    await company.family("colours")
    await company.front("colours")
    with pytest.raises(RpcError, match="There is no model 'coming'"):
        await company.load("coming")
