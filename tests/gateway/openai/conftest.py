"""A gateway on a free port, and behind it actors that do what a test's words tell them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

import httpx
import msgspec
import openai
import pytest

from actors.models.suitability import unsuitable
from bus import Code, Context, RpcError, nearest
from bus.channel import Channel
from bus.resolver import resolver
from bus.server import Server
from bus.transports.memory import MemoryBroker, MemoryTransport
from gateway.access import Access
from gateway.catalog import Catalog
from gateway.hub import Hub
from gateway.limits import Limits
from gateway.locations import RememberedLocations
from gateway.settings import AuthSettings, DoorSettings, EmbeddingSettings, HttpSettings, LimitSettings
from gateway.testing import listening
from host.member import method_of
from host.settings import ModelSettings
from store import MemoryLocations
from troupe.chat.v1 import (
    ChatService,
    CompleteRequest,
    CompleteResponse,
    CountTokensRequest,
    CountTokensResponse,
    Delta,
    Finish,
    FinishReason,
    GenerateRequest,
    GenerateResponse,
    TokenAlternative,
    TokenLogprob,
    ToolCallDelta,
    Usage,
)
from troupe.embedding.v1 import EmbeddingService, EmbedRequest, EmbedResponse
from troupe.model.v1 import (
    GetModelRequest,
    GetModelResponse,
    ListModelsRequest,
    ListModelsResponse,
    LoadModelRequest,
    LoadModelResponse,
    Model,
    ModelService,
    ModelState,
    UnloadModelRequest,
    UnloadModelResponse,
)
from troupe.rpc.v1 import Progress

MODEL = "scripted"
TOKENS = ["Xin", " chào", ", ", 'a "quoted"', "\nline", " 🙂", "."]
STOP, LENGTH, TOOL_CALLS = (
    FinishReason.FINISH_REASON_STOP,
    FinishReason.FINISH_REASON_LENGTH,
    FinishReason.FINISH_REASON_TOOL_CALLS,
)


def text(piece: str, choice: int = 0) -> GenerateResponse:
    return GenerateResponse(delta=Delta(choice=choice, text=piece, tokens=1))


def finish(reason: FinishReason = STOP, choice: int = 0) -> GenerateResponse:
    return GenerateResponse(finish=Finish(choice=choice, reason=reason))


def usage(completion: int) -> GenerateResponse:
    return GenerateResponse(
        usage=Usage(prompt_tokens=11, cached_tokens=4, completion_tokens=completion, reasoning_tokens=2)
    )


def logprob(token: str) -> TokenLogprob:
    other = TokenAlternative(token="?", bytes=b"?", logprob=-3.0)
    return TokenLogprob(token=token, bytes=token.encode(), logprob=-0.5, alternatives=[other])


@dataclass
class ChatActor(ChatService):
    """Does what the last user message says: a word of `generate` below; anything else is answered with TOKENS."""

    requests: list[GenerateRequest] = field(default_factory=list)
    completions: list[CompleteRequest] = field(default_factory=list)
    principals: list[str] = field(default_factory=list)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    endless: int = 0

    async def generate(self, request: GenerateRequest, ctx: Context) -> AsyncIterator[GenerateResponse]:
        self.requests.append(request)
        self.principals.append(ctx.principal)
        self.begun.set()
        word = request.messages[-1].parts[0].text if request.messages[-1].parts else ""
        try:
            async for response in self._play(word, request, ctx):
                yield response
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled.set()
            raise

    async def _play(self, word: str, request: GenerateRequest, ctx: Context) -> AsyncIterator[GenerateResponse]:
        if word.startswith("fail"):
            raise ERRORS[word.removeprefix("fail ")]
        if word in ("hang", "hang late"):
            if word == "hang late":
                yield text("begun")
            await asyncio.Event().wait()
        if word == "endless":
            while True:
                self.endless += 1
                yield text("x" * 1000)
        if word == "break":
            yield text("half")
            raise ERRORS["crash"]
        if word == "queued":
            await ctx.progress(Progress.STATE_QUEUED, position=3)
            await ctx.progress(Progress.STATE_LOADING, fraction=0.5, note="reading\nweights")
            await self.go_on.wait()
        if word == "tools":
            async for response in tool_calls():
                yield response
            return
        if word == "schema":
            yield text('{"city": "Huế", "days": 3}')
        elif word == "think":
            yield GenerateResponse(delta=Delta(reasoning="Let me see."))
            yield text("Done.")
        elif word == "many":
            for number in range(5000):
                yield text(f" {number}")
        else:
            for choice in range(request.choices or 1):
                for token in TOKENS:
                    entries = [logprob(token)] if request.logprobs else []
                    yield GenerateResponse(delta=Delta(choice=choice, text=token, tokens=1, logprobs=entries))
        for choice in range(request.choices or 1):
            yield finish(LENGTH if word == "long" else STOP, choice)
        yield usage(7 * (request.choices or 1))

    async def complete(self, request: CompleteRequest, ctx: Context) -> AsyncIterator[CompleteResponse]:
        self.completions.append(request)
        if request.prompt == "fail":
            raise ERRORS["overflow"]
        for choice in range(request.choices or 1):
            for token in (request.prompt if request.echo else "", " one", " two"):
                entries = [logprob(token)] if request.logprobs and token else []
                yield CompleteResponse(delta=Delta(choice=choice, text=token, logprobs=entries))
            yield CompleteResponse(finish=Finish(choice=choice, reason=LENGTH))
        yield CompleteResponse(usage=Usage(prompt_tokens=3, completion_tokens=2 * (request.choices or 1)))

    async def count_tokens(self, request: CountTokensRequest, ctx: Context) -> CountTokensResponse:
        return CountTokensResponse(tokens=len(request.messages), context_tokens=2048)


async def tool_calls() -> AsyncIterator[GenerateResponse]:
    pieces = [
        ToolCallDelta(index=0, id="call_a", name="weather"),
        ToolCallDelta(index=0, arguments='{"city": '),
        ToolCallDelta(index=0, arguments='"Đà Nẵng"}'),
        ToolCallDelta(index=1, id="call_b", name="weather", arguments='{"city": "Huế"}'),
    ]
    for piece in pieces:
        yield GenerateResponse(delta=Delta(tool_calls=[piece]))
    yield finish(TOOL_CALLS)
    yield usage(9)


ERRORS = {
    "overflow": RpcError(
        Code.INVALID_ARGUMENT,
        "The prompt has 3,000 tokens; the context holds 2,048.",
        reason="CONTEXT_LENGTH_EXCEEDED",
        metadata={"prompt_tokens": "3000", "context_tokens": "2048"},
    ),
    "busy": RpcError(Code.RESOURCE_EXHAUSTED, "The queue is full.", reason="QUEUE_FULL", retry_after=1.5),
    "crash": RpcError(Code.UNAVAILABLE, "The engine rests.", reason="RESTING", retry_after=2.0),
    "memory": RpcError(Code.RESOURCE_EXHAUSTED, "It never fits.", reason="INSUFFICIENT_MEMORY"),
    "broken": RpcError(Code.UNAVAILABLE, "The file ends too early.", reason="MODEL_LOAD_FAILED"),
    "schema": RpcError(Code.INVALID_ARGUMENT, "The schema cannot be compiled.", reason="INVALID_SCHEMA"),
    "penalty": RpcError(Code.INVALID_ARGUMENT, "Too much.", field="sampling.frequency_penalty"),
}


class EmbeddingActor(EmbeddingService):
    async def embed(self, request: EmbedRequest, ctx: Context) -> AsyncIterator[EmbedResponse]:
        size = request.dimensions or 4
        for index, value in enumerate(request.inputs):
            yield EmbedResponse(index=index, values=[len(value) / 8 + place for place in range(size)], tokens=2)
        yield EmbedResponse(tokens=2 * len(request.inputs))


class ModelActor(ModelService):
    async def list_models(self, request: ListModelsRequest, ctx: Context) -> ListModelsResponse:
        broken = Model(name="broken", state=ModelState.MODEL_STATE_FAILED, error="broken is incomplete.")
        loading = Model(name="coming", state=ModelState.MODEL_STATE_LOADING)
        other = self._model("org/other")
        other.state, other.aliases[:] = ModelState.MODEL_STATE_AVAILABLE, ["best"]
        return ListModelsResponse(models=[broken, self._model(MODEL), other, loading])

    def _model(self, name: str) -> Model:
        model = Model(name=name, owner="troupe", state=ModelState.MODEL_STATE_READY)
        model.modified.FromSeconds(1_700_000_000)
        return model

    async def get_model(self, request: GetModelRequest, ctx: Context) -> GetModelResponse:
        self._known(request.name)
        return GetModelResponse(model=self._model(request.name))

    async def load_model(self, request: LoadModelRequest, ctx: Context) -> AsyncIterator[LoadModelResponse]:
        if request.name == "vectors" and request.method.startswith(ChatService.INFO.name):
            raise unsuitable("vectors", [EmbeddingService.INFO.name], ChatService.INFO.name, [MODEL])
        self._known(request.name)
        yield LoadModelResponse(model=self._model(request.name))

    async def unload_model(self, request: UnloadModelRequest, ctx: Context) -> UnloadModelResponse:
        return UnloadModelResponse()

    def _known(self, name: str) -> None:
        names = [MODEL, "org/other"]
        if name not in names:
            close = nearest(name, names)
            hint = f" Did you mean {close[0]}?" if close else ""
            raise RpcError(Code.NOT_FOUND, f"There is no model {name!r}.{hint}", reason="MODEL_NOT_FOUND")


@dataclass
class Door:
    """One gateway's HTTP door and what is behind it."""

    url: str
    hub: Hub
    chat: ChatActor

    def client(self, key: str = "none") -> openai.AsyncOpenAI:
        http = openai.DefaultAsyncHttpxClient(trust_env=False)
        return openai.AsyncOpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0, http_client=http)

    def sync_client(self, key: str = "none") -> openai.OpenAI:
        http = openai.DefaultHttpxClient(trust_env=False)
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0, http_client=http)


@dataclass
class Hall:
    """A bus with scripted actors; doors are opened on demand."""

    broker: MemoryBroker
    chat: ChatActor
    settings: DoorSettings

    @asynccontextmanager
    async def door(
        self,
        *,
        limits: LimitSettings | None = None,
        auth: AuthSettings | None = None,
        embeddings: EmbeddingSettings | None = None,
        models: ModelSettings | None = None,
        **http: object,
    ) -> AsyncIterator[Door]:
        settings = msgspec.structs.replace(
            self.settings,
            limits=limits or self.settings.limits,
            auth=auth or self.settings.auth,
            embeddings=embeddings or self.settings.embeddings,
            models=models or self.settings.models,
            http=msgspec.structs.replace(self.settings.http, **http),
        )
        transport = MemoryTransport(self.broker)
        channel = Channel(transport)
        channel.resolver = resolver(channel, method_of)
        await channel.start()
        locations = RememberedLocations(MemoryLocations())
        hub = Hub(settings, transport, channel, Catalog(), Access(settings.auth), Limits(settings.limits), locations)
        async with listening(hub) as port:
            yield Door(f"http://127.0.0.1:{port}", hub, self.chat)
        await channel.close()
        await transport.close()


@pytest.fixture
def serve_http() -> Callable[[Hub], AbstractAsyncContextManager[int]]:
    """Opens a hub's HTTP door on a free port, which is what the context gives."""
    return listening


@pytest.fixture
async def scripted() -> AsyncIterator[Hall]:
    broker = MemoryBroker()
    transport = MemoryTransport(broker)
    server = Server(transport)
    chat = ChatActor()
    await server.add(chat, ChatService.INFO, route=MODEL)
    await server.add(EmbeddingActor(), EmbeddingService.INFO, route=MODEL)
    await server.add(ModelActor(), ModelService.INFO)
    settings = DoorSettings(http=HttpSettings(port=0))
    yield Hall(broker, chat, settings)
    await server.drain(grace=0.1)
    await transport.close()


@pytest.fixture
async def door(scripted: Hall) -> AsyncIterator[Door]:
    async with scripted.door() as opened:
        yield opened


@pytest.fixture
async def client(door: Door) -> AsyncIterator[openai.AsyncOpenAI]:
    async with door.client() as found:
        yield found


@pytest.fixture
async def http(door: Door) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=door.url, trust_env=False, timeout=20) as found:
        yield found
