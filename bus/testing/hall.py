"""A small service for tests of the bus itself, which knows no capability, and a place to play it on."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Self

from google.protobuf.wrappers_pb2 import StringValue

from bus import subjects
from bus.call import Call
from bus.channel import Channel
from bus.context import Context, duration
from bus.errors import Code, RpcError
from bus.protocol import PROTOCOL_VERSION, CallerProtocol
from bus.resolver import Resolver
from bus.server import Server
from bus.service import MethodInfo, Policy, Resolution, ServiceInfo
from bus.testing.transport_contract import PATIENCE_SECONDS, Ear, Make
from bus.transports import Transport
from troupe.rpc.v1 import Frame, Open, Progress, Resume

SERVICE = "troupe.testing.v1.ProbeService"
KEY = b"the opener's key"
OTHER_KEY = b"someone else's.."


def _method(name: str, *, client: bool = False, server: bool = False, policy: Policy | None = None) -> MethodInfo:
    return MethodInfo(name, name.lower(), SERVICE, StringValue, StringValue, client, server, policy or Policy())


SAY = _method("Say")
SAY_AGAIN = _method("SayAgain", policy=Policy(idempotent=True))
COUNT = _method("Count", server=True)
COUNT_AGAIN = _method("CountAgain", server=True, policy=Policy(idempotent=True))
GATHER = _method("Gather", client=True)
TALK = _method("Talk", client=True, server=True)
WAIT = _method("Wait", server=True)
HOLD = _method("Hold")
HOLD_AGAIN = _method("HoldAgain", policy=Policy(idempotent=True))
QUEUE = _method("Queue", server=True)
NEST = _method("Nest", server=True)
FAIL = _method("Fail")
CRASH = _method("Crash")
TELL = _method("Tell", server=True)
LEND = _method("Lend", client=True, server=True, policy=Policy(ends_with_caller=True))
PROBE = ServiceInfo(
    SERVICE,
    [SAY, SAY_AGAIN, COUNT, COUNT_AGAIN, GATHER, TALK, WAIT, HOLD, HOLD_AGAIN, QUEUE, NEST, FAIL, CRASH, TELL, LEND],
)
RESOLVED = Policy("value", resolved_by=Resolution("troupe.testing.v1.LoaderService/Load", "value"))
ROUTED = MethodInfo("Say", "say", "troupe.testing.v1.RoutedService", StringValue, StringValue, False, False, RESOLVED)
ROUTED_SERVICE = ServiceInfo("troupe.testing.v1.RoutedService", [ROUTED])


class Probe:
    """Implements PROBE, and remembers what happened to it."""

    def __init__(self, name: str = "", channel: Channel | None = None) -> None:
        self.name = name
        self.channel = channel
        self.served = 0
        self.sent = 0
        self.refusals = 0
        self.started = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.released = asyncio.Event()
        self.place = asyncio.Semaphore(1)
        self.contexts: list[Context] = []
        self.left_behind: asyncio.Task[object] | None = None

    def _begin(self, ctx: Context) -> None:
        self.served += 1
        self.contexts.append(ctx)
        self.started.set()

    async def say(self, request: StringValue, ctx: Context) -> StringValue:
        self._begin(ctx)
        ctx.headers["name"], ctx.trailers["said"] = self.name, "yes"
        return StringValue(value=f"{self.name}{request.value}")

    async def sayagain(self, request: StringValue, ctx: Context) -> StringValue:
        self._begin(ctx)
        if self.served <= self.refusals:
            raise RpcError(Code.UNAVAILABLE, "Not yet.", reason="PEER_LOST")
        return StringValue(value=request.value)

    async def count(self, request: StringValue, ctx: Context) -> AsyncIterator[StringValue]:
        self._begin(ctx)
        number, _, padding = request.value.partition(":")
        for index in range(int(number)):
            yield StringValue(value=f"{index}{padding}")
            self.sent = index + 1
            if index % 64 == 63:
                await asyncio.sleep(0)

    async def countagain(self, request: StringValue, ctx: Context) -> AsyncIterator[StringValue]:
        self._begin(ctx)
        yield StringValue(value="0")
        raise RpcError(Code.UNAVAILABLE, "Half way.", reason="PEER_LOST")

    async def gather(self, requests: AsyncIterator[StringValue], ctx: Context) -> StringValue:
        self._begin(ctx)
        return StringValue(value=" ".join([request.value async for request in requests]))

    async def talk(self, requests: AsyncIterator[StringValue], ctx: Context) -> AsyncIterator[StringValue]:
        self._begin(ctx)
        async for request in requests:
            yield StringValue(value=request.value)

    async def wait(self, request: StringValue, ctx: Context) -> AsyncIterator[StringValue]:
        try:
            yield StringValue(value="waiting")
            self._begin(ctx)
            await asyncio.get_running_loop().create_future()
        finally:
            self.cancelled.set()

    async def hold(self, request: StringValue, ctx: Context) -> StringValue:
        self._begin(ctx)
        await self.released.wait()
        return StringValue(value=self.name)

    async def holdagain(self, request: StringValue, ctx: Context) -> StringValue:
        return await self.hold(request, ctx)

    async def queue(self, request: StringValue, ctx: Context) -> AsyncIterator[StringValue]:
        self._begin(ctx)
        try:
            async with self.place:
                yield StringValue(value="in place")
                await asyncio.get_running_loop().create_future()
        finally:
            self.cancelled.set()

    async def nest(self, request: StringValue, ctx: Context) -> AsyncIterator[StringValue]:
        assert self.channel is not None
        async for response in self.channel.server_stream(WAIT, request):
            yield response

    async def fail(self, request: StringValue, ctx: Context) -> StringValue:
        self._begin(ctx)
        ctx.trailers["failed"] = "yes"
        raise RpcError(
            Code.FAILED_PRECONDITION,
            f"No {request.value}.",
            reason="NOT_TODAY",
            metadata={"wanted": request.value},
            retry_after=2.5,
            field="value",
            reference="ref-1",
        )

    async def crash(self, request: StringValue, ctx: Context) -> StringValue:
        raise KeyError(request.value)

    async def tell(self, request: StringValue, ctx: Context) -> AsyncIterator[StringValue]:
        self._begin(ctx)
        ctx.headers["line"] = "short"
        await ctx.progress(Progress.STATE_QUEUED, position=2, eta=1.5, note="in line")
        ctx.trailers["told"] = "yes"
        yield StringValue(value="done")

    async def lend(self, requests: AsyncIterator[StringValue], ctx: Context) -> AsyncIterator[StringValue]:
        self._begin(ctx)
        try:
            async for _ in requests:
                yield StringValue(value=ctx.peer)
        finally:
            self.cancelled.set()


class Hall:
    """Servers and channels on one bus, all of which end with the `async with`."""

    def __init__(self, make: Make) -> None:
        self._make = make
        self._servers: list[Server] = []
        self._channels: list[Channel] = []
        self._transports: list[Transport] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for channel in self._channels:
            await channel.close()
        for server in self._servers:
            await server.drain(0.0)
        for transport in self._transports:
            await transport.close()

    async def transport(self) -> Transport:
        """One more process."""
        transport = await self._make()
        self._transports.append(transport)
        return transport

    async def serve(self, actor: object, service: ServiceInfo = PROBE, route: str = "", **options: Any) -> Server:
        """A process that serves an actor."""
        server = Server(await self.transport(), **options)
        self._servers.append(server)
        await server.add(actor, service, route)
        return server

    async def serve_over(self, transport: Transport, actor: object) -> Server:
        """A process that serves PROBE over a given transport."""
        server = Server(transport)
        self._servers.append(server)
        await server.add(actor, PROBE)
        return server

    async def channel(self, resolver: Resolver | None = None) -> Channel:
        """A process that calls."""
        channel = Channel(await self.transport(), resolver=resolver)
        self._channels.append(channel)
        await channel.start()
        return channel

    def own(self, channel: Channel) -> None:
        """A channel that was made elsewhere ends with the rest."""
        self._channels.append(channel)

    async def vanish(self, server: Server) -> None:
        """A process ends as by a kill: nothing it had to say is said, and nobody listens there."""
        await server.transport.close()
        server.transport.publish_all = _silent  # type: ignore[method-assign]  # it is no more

    async def open(
        self,
        channel: Channel,
        method: MethodInfo,
        request: str,
        *,
        call_id: str = "c",
        grace: float = 30.0,
        window: int = 64,
        half_close: bool = True,
    ) -> Call:
        """A call with one request and the key KEY, which is the last one unless half_close is False."""
        opening = Open(
            protocol_version=PROTOCOL_VERSION, method=method.full_name, initial_credit=window, resume_key=KEY,
            grace=duration(grace),
        )  # fmt: skip
        protocol = CallerProtocol(call_id, opening, time.monotonic())
        call = Call(channel, protocol, method)
        channel.enlist(call)
        await call.send(StringValue(value=request).SerializeToString())
        if half_close:
            call.half_close()
        return call

    def resume(self, channel: Channel, call: Call, after: int, key: bytes = KEY) -> Call:
        """Continue someone's call on another channel."""
        resume = Resume(after=after, resume_key=key, granted=after + 64)
        protocol = CallerProtocol.resuming(call.call_id, resume, call.protocol.epoch, 1, time.monotonic())
        protocol.half_close()
        again = Call(channel, protocol, call.method)
        again.peer = ".".join([*call.peer.split(".")[:2], call.call_id])
        channel.take_over(again)
        return again


def _silent(letters: object) -> None:
    """Nobody hears it."""


def text(payload: bytes) -> str:
    """What a StringValue says."""
    value: str = StringValue.FromString(payload).value
    return value


async def within(awaitable: Any) -> Any:
    """Wait for something, but not for ever."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await awaitable


def say(value: str) -> StringValue:
    """A StringValue."""
    return StringValue(value=value)


async def says(*values: str) -> AsyncIterator[StringValue]:
    """StringValues, one after another."""
    for value in values:
        yield say(value)


async def failure(awaitable: Awaitable[object]) -> RpcError:
    """The error that a call ends with."""
    try:
        await within(awaitable)
    except RpcError as error:
        return error
    raise AssertionError("the call succeeded")


async def drained(stream: AsyncIterator[StringValue]) -> list[str]:
    """What all responses say."""
    return [response.value async for response in stream]


async def until(true: Callable[[], bool]) -> None:
    """Look again and again: for what nobody tells."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not true():  # noqa: ASYNC110  # there is no event
            await asyncio.sleep(0.01)


async def refusal(hall: Hall, frame: Frame, subject: str = "") -> str:
    """The reason with which a hand-made frame is refused."""
    transport = await hall.transport()
    ear = Ear()
    await transport.subscribe("reply.hand.*", ear)
    transport.publish(subject or subjects.call(SERVICE, "Say"), frame.SerializeToString(), "reply.hand.c")
    answer = Frame.FromString((await ear.hears(1))[0].payload)
    assert answer.HasField("close"), "the frame was refused"
    return RpcError.from_status(answer.close.status).reason
