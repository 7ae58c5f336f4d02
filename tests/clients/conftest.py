"""A door with scripted answers, and a wire to it that can be cut."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

import gateway.hub
import troupe
from actors.echo import EchoActor
from bus import Code, Context, MethodInfo, RpcError
from bus.channel import Channel
from bus.server import Server
from bus.testing import NatsServer, Wire
from bus.transports import Transport
from bus.transports.memory import MemoryBroker, MemoryTransport
from bus.transports.nats import NatsTransport
from gateway.access import Access
from gateway.catalog import Catalog
from gateway.grpc_server import GrpcServer
from gateway.limits import Limits
from gateway.locations import RememberedLocations
from gateway.settings import AuthSettings, DoorSettings, GrpcSettings, HttpSettings
from store import Locations, MemoryLocations, TableLocations, store_of
from troupe.chat.v1 import ChatService, Delta, GenerateRequest, GenerateResponse
from troupe.echo.v1 import EchoService, EchoServiceClient, RepeatRequest
from troupe.rpc.v1 import Progress
from troupe_client import Hub, connect

LONGEST_TEST_SECONDS = 30.0
STATUS_DETAILS = "grpc-status-details-bin"

Answer = Callable[[Any], AsyncIterator[Any]]
"""A request's responses. Raising RpcError ends the call with it."""


class ScriptedCall:
    """A resumable call: what it has answered so far, and how it ended."""

    def __init__(self, key: bytes, responses: AsyncIterator[Any]) -> None:
        self.key = key
        self.payloads: list[bytes] = []
        self.error: RpcError | None = None
        self.ended = False
        self.cancelled = False
        self._responses = responses
        self._more = asyncio.Condition()
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            async for response in self._responses:
                await self._note(response.SerializeToString())
        except RpcError as error:
            self.error = error
        self.ended = True
        await self._note(None)

    async def _note(self, payload: bytes | None) -> None:
        async with self._more:
            if payload is not None:
                self.payloads.append(payload)
            self._more.notify_all()

    def cancel(self) -> None:
        """Stop answering."""
        self.cancelled = True
        self._task.cancel()

    async def after(self, start: int) -> AsyncIterator[bytes]:
        """Everything after the first `start` payloads, as it comes."""
        while True:
            async with self._more:
                await self._more.wait_for(lambda: len(self.payloads) > start or self.ended)
            for payload in self.payloads[start:]:
                start += 1
                yield payload
            if self.ended and start == len(self.payloads):
                break
        if self.error is not None:
            raise self.error


class ScriptedDoor(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic in its stubs only
    """Keeps the rules of Troupe's gRPC door over scripted answers: each message counts as one piece."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.calls: dict[str, ScriptedCall] = {}
        self.seen: list[tuple[str, dict[str, Any]]] = []
        self.refusals: list[RpcError] = []
        self.detached: list[str] = []
        self.cancelled = asyncio.Event()
        self.epoch = "7"
        self.port = 0
        self._methods = {
            f"/{method.full_name}": method
            for service in troupe.services().values()
            for method in service.methods.values()
        }
        self._server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))

    async def start(self) -> None:
        self._server.add_generic_rpc_handlers((self,))
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()

    async def stop(self) -> None:
        await self._server.stop(None)
        for call in self.calls.values():
            call.cancel()

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        method = self._methods.get(handler_call_details.method)
        if method is None:
            return None

        async def serve(requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[Any, Any]) -> None:
            try:
                await self._serve(method, requests, context)
            except RpcError as error:
                context.set_trailing_metadata(((STATUS_DETAILS, error.to_status().SerializeToString()),))
                status = {status.value[0]: status for status in grpc.StatusCode}[error.code]
                await context.abort(status, error.message)

        return grpc.stream_stream_rpc_method_handler(serve)

    async def _serve(
        self, method: MethodInfo, requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[Any, Any]
    ) -> None:
        metadata = dict(context.invocation_metadata() or ())
        self.seen.append((method.full_name, metadata))
        if self.refusals:
            raise self.refusals.pop(0)
        if "troupe-resume-call-id" in metadata:
            call_id, start = metadata["troupe-resume-call-id"], int(metadata["troupe-resume-after"])
            call = self._resumed(call_id, metadata)
        else:
            call_id, start = f"call-{len(self.calls)}", 0
            call = self._begun(method, await anext(aiter(requests)), metadata)
            self.calls[call_id] = call
        await context.send_initial_metadata((("troupe-call-id", call_id), ("troupe-epoch", self.epoch)))
        try:
            async for payload in call.after(start):
                await context.write(payload)
        except asyncio.CancelledError:
            self.detached.append(call_id)
            raise

    def _begun(self, method: MethodInfo, payload: bytes, metadata: dict[str, Any]) -> ScriptedCall:
        responses = self.answers[method.full_name](method.request.FromString(payload))
        return ScriptedCall(metadata.get("troupe-resume-key-bin", b""), responses)

    def _resumed(self, call_id: str, metadata: dict[str, Any]) -> ScriptedCall:
        call = self.calls.get(call_id)
        if call is None:
            raise RpcError(Code.NOT_FOUND, f"No call {call_id!r} is known.", reason="CALL_NOT_FOUND")
        if call.key != metadata["troupe-resume-key-bin"] or metadata["troupe-resume-epoch"] != self.epoch:
            raise RpcError(Code.PERMISSION_DENIED, "Somebody else's call.", reason="RESUME_REFUSED")
        if "troupe-cancel" in metadata:
            call.cancel()
            self.cancelled.set()
            raise RpcError(Code.CANCELLED, "The call was cancelled.", reason="CANCELLED")
        return call


@pytest.fixture
async def patience(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """No test waits for ever."""
    loop = asyncio.get_running_loop()

    def give_up() -> None:
        for task in asyncio.all_tasks(loop):
            if getattr(task.get_coro(), "__name__", "") == request.function.__name__:
                task.cancel("the test took too long")

    handle = loop.call_later(LONGEST_TEST_SECONDS, give_up)
    yield
    handle.cancel()


@pytest.fixture
async def door(patience: None) -> AsyncIterator[ScriptedDoor]:
    """A door without answers yet."""
    door = ScriptedDoor()
    await door.start()
    yield door
    await door.stop()


@pytest.fixture
async def make_wire() -> AsyncIterator[Callable[[int], Awaitable[Wire]]]:
    """Opens wires to a port of this machine."""
    wires = []

    async def make(port: int) -> Wire:
        wire = Wire(port)
        await wire.open()
        wires.append(wire)
        return wire

    yield make
    for wire in wires:
        await wire.close()


@pytest.fixture
async def wire(door: ScriptedDoor, make_wire: Callable[[int], Awaitable[Wire]]) -> Wire:
    """The way to the scripted door."""
    return await make_wire(door.port)


@pytest.fixture
async def hub(wire: Wire) -> AsyncIterator[Hub]:
    """A client at the other end of the wire."""
    async with connect(f"127.0.0.1:{wire.port}") as hub:
        yield hub


class HeldChat(ChatService):
    """Says one piece, calls the echo actor on the call's behalf, and goes on until it is cancelled."""

    def __init__(self, echo: EchoServiceClient) -> None:
        self.cancelled = asyncio.Event()
        self.echo_heard = asyncio.Event()
        self._echo = echo

    async def generate(self, request: GenerateRequest, ctx: Context) -> AsyncIterator[GenerateResponse]:
        await ctx.progress(Progress.STATE_QUEUED, position=1, eta=2.5)
        yield GenerateResponse(delta=Delta(text="Hel"))
        try:
            async for _ in self._echo.repeat(RepeatRequest(count=1_000_000, interval=Duration(nanos=1_000_000))):
                self.echo_heard.set()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


class Hall:
    """A bus with an echo actor and a chat actor, and gateways that come and go.

    nats: where a server listens; empty: the bus is inside this process.
    """

    def __init__(self, settings: DoorSettings, nats: str = "") -> None:
        self.settings = settings
        self._nats = nats
        self._broker = MemoryBroker()
        self._memory = MemoryLocations()

    async def _connect(self, process: str) -> Transport:
        return await NatsTransport.connect(self._nats, process) if self._nats else MemoryTransport(self._broker)

    async def _locations(self, transport: Transport) -> Locations:
        if isinstance(transport, NatsTransport):
            return await TableLocations.open(store_of(transport))
        return self._memory

    async def start(self) -> None:
        self._transport = await self._connect("actors")
        self.server = Server(self._transport)
        self._channel = Channel(self._transport)
        self.chat = HeldChat(EchoServiceClient(self._channel))
        await self.server.add(EchoActor(), EchoService.INFO)
        await self.server.add(self.chat, ChatService.INFO, route="troupe-tiny")

    async def stop(self) -> None:
        await self._channel.close()
        await self.server.drain(grace=0.1)
        await self._transport.close()

    @asynccontextmanager
    async def gateway(self, auth: AuthSettings | None = None) -> AsyncIterator[GrpcServer]:
        """One more gateway with its gRPC door open, on a port of its own."""
        transport = await self._connect("gateway")
        channel = Channel(transport)
        await channel.start()
        locations = RememberedLocations(await self._locations(transport))
        access, limits = Access(auth or self.settings.auth), Limits(self.settings.limits)
        rpc = GrpcServer(gateway.hub.Hub(self.settings, transport, channel, Catalog(), access, limits, locations))
        await rpc.start()
        try:
            yield rpc
        finally:
            await rpc.stop(0)
            await locations.close()
            await channel.close()
            await transport.close()


@pytest.fixture
def settings() -> DoorSettings:
    """Every door on a free port."""
    return DoorSettings(http=HttpSettings(port=0), grpc=GrpcSettings(port=0))


@pytest.fixture
async def hall(settings: DoorSettings, patience: None) -> AsyncIterator[Hall]:
    """Actors on a bus in this process, without a gateway yet."""
    hall = Hall(settings)
    await hall.start()
    yield hall
    await hall.stop()


@pytest.fixture
async def nats_hall(settings: DoorSettings, nats_server: NatsServer, patience: None) -> AsyncIterator[Hall]:
    """Actors on NATS, without a gateway yet."""
    hall = Hall(settings, nats_server.url)
    await hall.start()
    yield hall
    await hall.stop()


@pytest.fixture
async def served(hall: Hall) -> AsyncIterator[Hub]:
    """A client of a real gateway."""
    async with hall.gateway() as rpc, connect(f"127.0.0.1:{rpc.port}") as hub:
        yield hub
