"""A hub in this process whose model says what the test tells it, a wire to it that can be cut, and a browser."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio
from msgspec.structs import replace
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, async_playwright, expect

from bus import Context
from bus.channel import Channel
from bus.resolver import resolver
from bus.server import Server
from bus.testing import Wire
from bus.transports.memory import MemoryBroker, MemoryTransport
from gateway.access import Access
from gateway.catalog import Catalog
from gateway.hub import Hub
from gateway.identity import hash_key
from gateway.limits import Limits
from gateway.locations import RememberedLocations
from gateway.settings import AuthSettings, DoorSettings, GrpcSettings, HttpSettings, KeySettings
from gateway.testing import listening
from host.member import method_of
from store import MemoryLocations
from troupe.chat.v1 import ChatService, Delta, Finish, FinishReason, GenerateRequest, GenerateResponse, Usage
from troupe.model.v1 import ListModelsRequest, ListModelsResponse, Model, ModelService, ModelState

CHROMIUM = os.environ.get("TROUPE_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
MODEL = "troupe-tiny"
PATIENCE_MS = 30_000
"""A busy machine is no fault of the page."""


def said(text: str) -> GenerateResponse:
    return GenerateResponse(delta=Delta(text=text, tokens=1))


def ended(reason: Any) -> list[GenerateResponse]:
    usage = Usage(prompt_tokens=30, cached_tokens=10, completion_tokens=12, decode_seconds=0.25)
    return [GenerateResponse(finish=Finish(reason=reason)), GenerateResponse(usage=usage)]


class Prompter:
    """Whispers an answer to the model, piece by piece, when the test wants it said."""

    def __init__(self) -> None:
        self._pieces: asyncio.Queue[GenerateResponse | Exception | None] = asyncio.Queue()
        self.requests: list[GenerateRequest] = []
        self.cancelled = asyncio.Event()

    def say(self, *pieces: str | GenerateResponse | Exception) -> None:
        for piece in pieces:
            self._pieces.put_nowait(said(piece) if isinstance(piece, str) else piece)

    def end(self, reason: Any = FinishReason.FINISH_REASON_STOP) -> None:
        self.say(*ended(reason))
        self._pieces.put_nowait(None)

    async def answer(self, request: GenerateRequest, ctx: Context) -> AsyncIterator[GenerateResponse]:
        self.requests.append(request)
        try:
            while (piece := await self._pieces.get()) is not None:
                if isinstance(piece, Exception):
                    raise piece
                yield piece
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


class ScriptedModel(ChatService):
    def __init__(self, prompter: Prompter) -> None:
        self._prompter = prompter

    async def generate(self, request: GenerateRequest, ctx: Context) -> AsyncIterator[GenerateResponse]:
        async for response in self._prompter.answer(request, ctx):
            yield response


class ListedModels(ModelService):
    def __init__(self, models: list[Model]) -> None:
        self.models = models

    async def list_models(self, request: ListModelsRequest, ctx: Context) -> ListModelsResponse:
        return ListModelsResponse(models=[each for each in self.models if request.service in each.services])


class Hall:
    """The hub: its address for a browser, its model's prompter, and what can go wrong with it."""

    def __init__(self, wire: Wire, locations: MemoryLocations, transport: MemoryTransport) -> None:
        self.wire = wire
        self.locations = locations
        self.prompter = Prompter()
        self.model = ScriptedModel(self.prompter)
        self.listed = ListedModels([chat_model(MODEL)])
        self.server = Server(transport)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.wire.port}/"

    async def serve(self) -> None:
        await self.server.add(self.listed, ModelService.INFO)
        await self.server.add(self.model, ChatService.INFO, route=MODEL)


def chat_model(name: str) -> Model:
    return Model(name=name, services=["troupe.chat.v1.ChatService"], state=ModelState.MODEL_STATE_READY)


@asynccontextmanager
async def hub_at_work(settings: DoorSettings) -> AsyncIterator[Hall]:
    broker, locations = MemoryBroker(), MemoryLocations()
    transport, serving_transport = MemoryTransport(broker), MemoryTransport(broker)
    channel = Channel(transport)
    channel.resolver = resolver(channel, method_of)
    await channel.start()
    remembered = RememberedLocations(locations)
    access, limits = Access(settings.auth), Limits(settings.limits)
    hub = Hub(settings, transport, channel, Catalog(), access, limits, remembered)
    async with listening(hub) as port:
        wire = Wire(port)
        hall = Hall(wire, locations, serving_transport)
        await hall.serve()
        await wire.open()
        yield hall
        await wire.close()
    await hall.server.drain(grace=0.1)
    await remembered.close()
    await channel.close()
    await transport.close()
    await serving_transport.close()


@pytest.fixture
def page_settings() -> DoorSettings:
    return DoorSettings(http=HttpSettings(port=0), grpc=GrpcSettings(port=0))


@pytest_asyncio.fixture(loop_scope="module")
async def hall(page_settings: DoorSettings) -> AsyncIterator[Hall]:
    async with hub_at_work(page_settings) as working:
        yield working


@pytest_asyncio.fixture(loop_scope="module")
async def locked_hall(page_settings: DoorSettings) -> AsyncIterator[Hall]:
    """A hub that asks for the key tr-open-sesame."""
    keys = [KeySettings(name="someone", hash=hash_key("tr-open-sesame"))]
    async with hub_at_work(replace(page_settings, auth=AuthSettings(keys=keys))) as working:
        yield working


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser() -> AsyncIterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("Chromium is not there: `apt-get install chromium`, or its path in TROUPE_CHROMIUM")
    expect.set_options(timeout=PATIENCE_MS)
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS)
        yield launched
        await launched.close()


class Visitor:
    """Opens pages, and notes whatever they complain about."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._contexts: list[BrowserContext] = []
        self.complaints: list[str] = []

    async def visit(self, url: str, **context: Any) -> Page:
        usual = {"locale": "en-GB", "viewport": {"width": 1200, "height": 800}}
        opened = await self._browser.new_context(**{**usual, **context})
        self._contexts.append(opened)
        opened.set_default_timeout(PATIENCE_MS)
        page = await opened.new_page()
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        await page.goto(url)
        return page

    def _note(self, message: ConsoleMessage) -> None:
        """A connection that was cut on purpose is no fault of the page; the browser notes it all the same."""
        if message.type in {"error", "warning"} and "WebSocket connection to" not in message.text:
            self.complaints.append(message.text)

    async def leave(self) -> None:
        for context in self._contexts:
            await context.close()


@pytest_asyncio.fixture(loop_scope="module")
async def visitor(browser: Browser) -> AsyncIterator[Visitor]:
    visiting = Visitor(browser)
    yield visiting
    await visiting.leave()
    assert visiting.complaints == []
