"""What travels beside the messages of a call, through the doors: identity and priority in, headers and trailers out."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import websockets

from bus import Code, Context, Priority, RpcError
from bus.protocol import PROTOCOL_VERSION
from troupe.echo.v1 import (
    EchoRequest,
    EchoResponse,
    EchoService,
    FailRequest,
    FailResponse,
    RepeatRequest,
    RepeatResponse,
)
from troupe.echo.v1 import EchoServiceClient as Client
from troupe.rpc.v1 import Frame, Open
from troupe_client.channel import GrpcChannel


class Telling(EchoService):
    """Says something ahead and at the end, and remembers who asked; refuses twice what may be repeated."""

    def __init__(self) -> None:
        self.contexts: list[Context] = []
        self.refusals = 0

    async def echo(self, request: EchoRequest, ctx: Context) -> EchoResponse:
        self.contexts.append(ctx)
        if self.refusals:
            self.refusals -= 1
            raise RpcError(Code.UNAVAILABLE, "Not yet.", reason="PEER_LOST")
        ctx.headers["model"], ctx.trailers["cost"] = "tiny", "3"
        return EchoResponse(text=request.text)

    async def repeat(self, request: RepeatRequest, ctx: Context) -> AsyncIterator[RepeatResponse]:
        self.contexts.append(ctx)
        ctx.headers["model"] = "tiny"
        for index in range(request.count):
            yield RepeatResponse(index=index)
        ctx.trailers["cost"] = "5"

    async def fail(self, request: FailRequest, ctx: Context) -> FailResponse:
        ctx.trailers["cost"] = "1"
        raise RpcError(Code.ABORTED, "No.", reason="ON_PURPOSE")


async def test_grpc_clients_get_headers_and_trailers_of_what_succeeds_and_fails(hall_of: Any) -> None:
    actor = Telling()
    async with hall_of(actor) as hall, hall.gateway() as gateway:
        channel = GrpcChannel(gateway.grpc_target)
        client = Client(channel)
        call = client.echo(EchoRequest(text="a"))
        assert (await call).text == "a"
        assert {**call.headers, **call.trailers} == {"model": "tiny", "cost": "3"}
        stream = client.repeat(RepeatRequest(count=3))
        assert [response.index async for response in stream] == [0, 1, 2]
        assert {**stream.headers, **stream.trailers} == {"model": "tiny", "cost": "5"}
        failing = client.fail(FailRequest(code=10))
        with pytest.raises(RpcError, match="ON_PURPOSE"):
            await failing
        assert failing.trailers == {"cost": "1"}
        await channel.close()


@pytest.mark.parametrize("asked", [None, "batch", "voice"])
async def test_a_door_stamps_who_calls_and_a_client_lowers_its_priority_alone(hall_of: Any, asked: str | None) -> None:
    actor = Telling()
    async with hall_of(actor) as hall, hall.gateway() as gateway:
        metadata = {"troupe-principal": "root", "troupe-priority": "voice", "troupe-scopes": "all", "color": "blue"}
        if asked:
            metadata["priority"] = asked
        frames = await _repeated(gateway, metadata)
        (context,) = actor.contexts
        assert (context.principal, context.scopes) == ("local", None)
        assert context.priority is (Priority.BATCH if asked == "batch" else Priority.INTERACTIVE)
        assert context.metadata["color"] == "blue"
        assert "priority" not in context.metadata
        told = [frame for frame in frames if frame.headers]
        first = next(index for index, frame in enumerate(frames) if frame.payload)
        assert told
        assert frames.index(told[0]) <= first
        assert dict(told[0].headers) == {"model": "tiny"}
        assert dict(frames[-1].close.trailers) == {"cost": "5"}


async def _repeated(gateway: Any, metadata: dict[str, str]) -> list[Frame]:
    binary = [websockets.Subprotocol("troupe.v1.binary")]
    async with websockets.connect(gateway.websocket_url, subprotocols=binary, proxy=None) as connection:
        method = "troupe.echo.v1.EchoService/Repeat"
        opening = Open(protocol_version=PROTOCOL_VERSION, method=method, metadata=metadata)
        request = RepeatRequest(count=3).SerializeToString()
        frame = Frame(call_id="c", open=opening, payload=[request], sequence=1, half_close=True)
        await connection.send(frame.SerializeToString())
        frames: list[Frame] = []
        while not frames or not frames[-1].HasField("close"):
            message = await connection.recv()
            assert isinstance(message, bytes)
            frames.append(Frame.FromString(message))
        return frames


async def test_a_priority_that_is_none_is_the_clients_mistake(hall_of: Any) -> None:
    async with hall_of(Telling()) as hall, hall.gateway() as gateway:
        (frame,) = await _repeated(gateway, {"priority": "now"})
        assert RpcError.from_status(frame.close.status).field == "priority"


async def test_what_may_be_done_twice_is_repeated_at_the_door(hall_of: Any) -> None:
    actor = Telling()
    actor.refusals = 2
    async with hall_of(actor) as hall, hall.gateway() as gateway:
        channel = GrpcChannel(gateway.grpc_target)
        assert (await Client(channel).echo(EchoRequest(text="a"))).text == "a"
        assert len(actor.contexts) == 3
        assert len({context.call_id for context in actor.contexts}) == 1
        await channel.close()
