"""Three actors that call each other, one behind the other: for what must hold however deep a call goes."""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from google.protobuf.wrappers_pb2 import StringValue

from bus.channel import Channel
from bus.context import Context, in_own_name
from bus.server import Server
from bus.service import MethodInfo, Policy, ServiceInfo
from bus.testing.hall import Hall, Probe
from troupe.rpc.v1 import Progress

DEPTH = 3
"""Actors in a chain; the last one is a Probe."""

AGAIN = Policy(idempotent=True)
SHAPES: list[tuple[str, bool, bool, Policy]] = [
    ("Say", False, False, Policy()),
    ("SayAgain", False, False, AGAIN),
    ("Count", False, True, Policy()),
    ("Gather", True, False, Policy()),
    ("Talk", True, True, Policy()),
    ("Wait", False, True, Policy()),
    ("Hold", False, False, Policy()),
    ("HoldAgain", False, False, AGAIN),
    ("Tell", False, True, Policy()),
    ("Fail", False, False, Policy()),
]
OWN = "own"
"""Metadata that lets a link call on in its own name."""


def service(depth: int) -> ServiceInfo:
    """The service of the actor at a depth, 1 being the first."""
    name = f"troupe.testing.v1.Link{depth}Service"
    return ServiceInfo(
        name,
        [
            MethodInfo(method, method.lower(), name, StringValue, StringValue, client, server, policy)
            for method, client, server, policy in SHAPES
        ],
    )


def method(name: str, depth: int = 1) -> MethodInfo:
    """A method of the actor at a depth."""
    return service(depth).methods[name]


class Link:
    """Hands every call on to the next actor, and its headers, trailers and progress back."""

    def __init__(self, depth: int, channel: Channel) -> None:
        self.depth = depth
        self.channel = channel
        self.contexts: list[Context] = []

    async def _one(self, name: str, shape: str, request: Any, ctx: Context) -> StringValue:
        self.contexts.append(ctx)
        call = getattr(self.channel, shape)(method(name, self.depth + 1), request)
        try:
            if OWN in ctx.metadata:
                with in_own_name():
                    found: StringValue = await call
            else:
                found = await call
            ctx.headers.update(call.headers)
        finally:
            ctx.trailers.update(call.trailers)
        return found

    async def _many(self, name: str, shape: str, request: Any, ctx: Context) -> AsyncGenerator[StringValue, None]:
        self.contexts.append(ctx)
        try:
            async with getattr(self.channel, shape)(method(name, self.depth + 1), request) as call:
                async for response in call:
                    ctx.headers.update(call.headers)
                    if told := progress_of(response):
                        await ctx.progress(told)
                    else:
                        yield response
        finally:
            ctx.trailers.update(call.trailers)

    async def say(self, request: StringValue, ctx: Context) -> StringValue:
        return await self._one("Say", "unary", request, ctx)

    async def sayagain(self, request: StringValue, ctx: Context) -> StringValue:
        return await self._one("SayAgain", "unary", request, ctx)

    async def hold(self, request: StringValue, ctx: Context) -> StringValue:
        return await self._one("Hold", "unary", request, ctx)

    async def holdagain(self, request: StringValue, ctx: Context) -> StringValue:
        return await self._one("HoldAgain", "unary", request, ctx)

    async def fail(self, request: StringValue, ctx: Context) -> StringValue:
        return await self._one("Fail", "unary", request, ctx)

    async def gather(self, requests: AsyncIterator[StringValue], ctx: Context) -> StringValue:
        return await self._one("Gather", "client_stream", requests, ctx)

    def count(self, request: StringValue, ctx: Context) -> AsyncGenerator[StringValue, None]:
        return self._many("Count", "server_stream", request, ctx)

    def wait(self, request: StringValue, ctx: Context) -> AsyncGenerator[StringValue, None]:
        return self._many("Wait", "server_stream", request, ctx)

    def tell(self, request: StringValue, ctx: Context) -> AsyncGenerator[StringValue, None]:
        return self._many("Tell", "server_stream", request, ctx)

    def talk(self, requests: AsyncIterator[StringValue], ctx: Context) -> AsyncGenerator[StringValue, None]:
        return self._many("Talk", "bidi_stream", requests, ctx)


class Chain:
    """A Hall with DEPTH actors in a row, each in a process of its own, and a channel that calls the first."""

    def __init__(self, hall: Hall) -> None:
        self.hall = hall
        self.links: list[Link] = []
        self.servers: list[Server] = []
        self.last = Probe()

    async def start(self) -> Channel:
        """Serve all of them; the channel that calls."""
        for depth in range(1, DEPTH):
            self.links.append(Link(depth, await self.hall.channel()))
        for depth in range(1, DEPTH + 1):
            self.servers.append(await self.serve(depth))
        return await self.hall.channel()

    async def serve(self, depth: int) -> Server:
        """The actor at a depth, in one more process."""
        actor = self.last if depth == DEPTH else self.links[depth - 1]
        return await self.hall.serve(actor, service(depth))

    @property
    def contexts(self) -> list[Context]:
        """The newest context at each depth."""
        return [*(link.contexts[-1] for link in self.links), self.last.contexts[-1]]


def progress_of(response: StringValue) -> Progress | None:
    """The progress in a response that holds nothing else."""
    payload = response.SerializeToString()
    if not payload.startswith(b"\x7a"):
        return None
    start = next(index for index, byte in enumerate(payload[1:], 1) if byte < 0x80) + 1
    return Progress.FromString(payload[start:])
