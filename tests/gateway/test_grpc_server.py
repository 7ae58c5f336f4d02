import asyncio
import math
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from actors.echo import EchoActor
from bus import Context, RpcError
from bus.stream import DEFAULT_WINDOW, MAX_PIECE, Pieces
from gateway.grpc_server import ON_THE_WAY_BYTES, ON_THE_WAY_PIECES, STATUS_DETAILS, OnTheWay
from troupe.echo.v1 import (
    CollectRequest,
    CollectResponse,
    ConverseRequest,
    ConverseResponse,
    EchoRequest,
    EchoResponse,
    FailRequest,
    RepeatRequest,
    RepeatResponse,
)
from troupe.rpc.v1 import Status

ECHO = "/troupe.echo.v1.EchoService"
KEY = b"0123456789abcdef"


@pytest.fixture
async def channel(gateway: Any) -> AsyncIterator[Any]:
    """Any: the stubs do not know that serializers are optional."""
    async with insecure(gateway.grpc_target) as opened:
        yield opened


def insecure(target: str) -> Any:
    return grpc.aio.insecure_channel(target)


def error_of(error: grpc.aio.AioRpcError) -> RpcError:
    trailing: Any = error.trailing_metadata()
    details = dict(trailing)[STATUS_DETAILS]
    return RpcError.from_status(Status.FromString(details))


async def test_all_four_shapes_are_served(channel: Any) -> None:
    echo = channel.unary_unary(f"{ECHO}/Echo")
    answer = await echo(EchoRequest(text="chào").SerializeToString())
    assert EchoResponse.FromString(answer).text == "chào"

    repeat = channel.unary_stream(f"{ECHO}/Repeat")(RepeatRequest(count=500).SerializeToString())
    assert [RepeatResponse.FromString(one).index async for one in repeat] == list(range(500))

    collect = channel.stream_unary(f"{ECHO}/Collect")
    requests = [CollectRequest(text=str(number)).SerializeToString() for number in range(100)]
    assert CollectResponse.FromString(await collect(iter(requests))).count == 100

    converse = channel.stream_stream(f"{ECHO}/Converse")()
    for number in range(50):
        await converse.write(ConverseRequest(text=str(number)).SerializeToString())
        assert ConverseResponse.FromString(await converse.read()).text == str(number)
    await converse.done_writing()
    assert not await converse.read()


class Greeter(EchoActor):
    """Speaks first."""

    async def converse(self, requests: AsyncIterator[ConverseRequest], ctx: Context) -> AsyncIterator[ConverseResponse]:
        yield ConverseResponse(text="welcome")
        async for request in requests:
            yield ConverseResponse(text=request.text)


async def test_a_handler_that_speaks_first_is_heard(hall_of: Any) -> None:
    async with hall_of(Greeter()) as hall, hall.gateway() as gateway:
        async with insecure(gateway.grpc_target) as channel:
            call = channel.stream_stream(f"{ECHO}/Converse")()
            assert ConverseResponse.FromString(await call.read()).text == "welcome"
            await call.write(ConverseRequest(text="thanks").SerializeToString())
            assert ConverseResponse.FromString(await call.read()).text == "thanks"
            await call.done_writing()
            assert not await call.read()


async def test_a_stream_of_no_requests_ends(channel: Any) -> None:
    assert CollectResponse.FromString(await channel.stream_unary(f"{ECHO}/Collect")(iter([]))).count == 0
    converse = channel.stream_stream(f"{ECHO}/Converse")(iter([]))
    assert not await converse.read()


async def test_a_call_that_lacks_its_request_takes_no_place_and_is_told_in_time(
    gateway: Any, channel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.grpc_server.FIRST_REQUEST_SECONDS", 0.2)
    limits = gateway.hub.limits
    call = channel.stream_stream(f"{ECHO}/Echo")()
    while not limits.beginning().in_use:
        await asyncio.sleep(0)
    assert limits.call().in_use == 0
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert error_of(caught.value).reason == "REQUEST_MISSING"
    assert limits.beginning().in_use == 0


async def test_large_messages_pass_whole(channel: Any) -> None:
    text = "x" * 1_000_000
    answer = await channel.unary_unary(f"{ECHO}/Echo")(EchoRequest(text=text).SerializeToString())
    assert EchoResponse.FromString(answer).text == text


async def test_errors_arrive_with_code_reason_and_details(channel: Any) -> None:
    request = FailRequest(code=9, message="not now", reason="TEST").SerializeToString()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await channel.unary_unary(f"{ECHO}/Fail")(request)
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert caught.value.details() == "not now"
    assert error_of(caught.value).reason == "TEST"


async def test_an_unknown_method_is_told_with_the_nearest(channel: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await channel.unary_unary(f"{ECHO}/Ecoh")(b"")
    error = error_of(caught.value)
    assert error.reason == "METHOD_NOT_FOUND"
    assert "troupe.echo.v1.EchoService/Echo" in error.metadata["nearest"]


async def test_a_request_that_is_none_is_invalid(channel: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await channel.unary_unary(f"{ECHO}/Echo")(b"\xff\xff")
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_deadline_ends_the_handler_too(channel: Any, hall: Any) -> None:
    request = RepeatRequest(count=1000)
    request.interval.FromMilliseconds(50)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in channel.unary_stream(f"{ECHO}/Repeat")(request.SerializeToString(), timeout=0.3):
            pass
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await quiet(hall)


async def quiet(hall: Any) -> None:
    while hall.server.active_calls:
        await asyncio.sleep(0)


async def test_cancelling_frees_the_handler(channel: Any, hall: Any) -> None:
    call = channel.stream_stream(f"{ECHO}/Converse")()
    await call.write(ConverseRequest(text="x").SerializeToString())
    await call.read()
    assert hall.server.active_calls == 1
    call.cancel()
    await quiet(hall)


async def test_a_stream_goes_on_through_another_gateway(hall: Any) -> None:
    request = RepeatRequest(count=300)
    request.interval.FromMilliseconds(1)
    indexes, after = [], 0
    async with hall.gateway() as second:
        async with hall.gateway() as first, insecure(first.grpc_target) as channel:
            metadata = (("troupe-resume-key-bin", KEY),)
            call = channel.unary_stream(f"{ECHO}/Repeat")(request.SerializeToString(), metadata=metadata)
            async for message in call:
                indexes.append(RepeatResponse.FromString(message).index)
                after += max(1, math.ceil(len(message) / MAX_PIECE))
                if len(indexes) == 20:
                    break
            known = dict(await call.initial_metadata())
            call.cancel()
        resume = (
            ("troupe-resume-call-id", known["troupe-call-id"]),
            ("troupe-resume-epoch", known["troupe-epoch"]),
            ("troupe-resume-after", str(after)),
            ("troupe-resume-key-bin", KEY),
        )
        async with insecure(second.grpc_target) as channel:
            rest = channel.unary_stream(f"{ECHO}/Repeat")(b"", metadata=resume)
            indexes += [RepeatResponse.FromString(message).index async for message in rest]
    assert indexes == list(range(300))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("call-id", "a b*.>"),
        ("call-id", ""),
        ("epoch", "-1"),
        ("epoch", str(2**32)),
        ("epoch", "x"),
        ("after", "-5"),
        ("after", str(2**64 - 1)),
        ("after", "9" * 5000),
    ],
)
async def test_what_cannot_be_resumed_is_said_with_its_reason(channel: Any, key: str, value: str) -> None:
    metadata = {"troupe-resume-call-id": "c", f"troupe-resume-{key}": value}
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await channel.unary_unary(f"{ECHO}/Echo")(b"", metadata=tuple(metadata.items()))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error_of(caught.value).field


async def test_health_is_served(channel: Any) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    answer = await health.Check(health_pb2.HealthCheckRequest(service="troupe.echo.v1.EchoService"))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_a_client_without_our_code_finds_its_way_by_reflection(channel: Any, version: str) -> None:
    reflect = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        reflection_pb2.ServerReflectionRequest.SerializeToString,
        reflection_pb2.ServerReflectionResponse.FromString,
    )
    request = reflection_pb2.ServerReflectionRequest(file_containing_symbol="troupe.echo.v1.EchoService")
    pool = descriptor_pool.DescriptorPool()
    files: list[FileDescriptorProto] = []
    async for answer in reflect(iter([request])):
        files = [FileDescriptorProto.FromString(data) for data in answer.file_descriptor_response.file_descriptor_proto]
    pending = {file.name: file for file in files}
    known = descriptor_pool.Default()

    def add(file: FileDescriptorProto) -> None:
        for name in file.dependency:
            dependency = pending.get(name) or FileDescriptorProto.FromString(known.FindFileByName(name).serialized_pb)
            add(dependency)
        pool.Add(file)

    for file in files:
        add(file)
    method = pool.FindServiceByName("troupe.echo.v1.EchoService").methods_by_name["Echo"]
    ask: Any = GetMessageClass(method.input_type)
    answer_kind: Any = GetMessageClass(method.output_type)
    answer = await channel.unary_unary(f"{ECHO}/Echo")(ask(text="hi").SerializeToString())
    assert answer_kind.FromString(answer).text == "hi"


@pytest.mark.parametrize(("pieces", "size"), [(1, 40_000), (64, 640), (3, 1)])
def test_what_was_written_last_does_not_count_as_consumed(pieces: int, size: int) -> None:
    on_the_way, frames, granted = OnTheWay(), 5_000, 0
    sizes = [size // pieces] * (pieces - 1) + [size - size // pieces * (pieces - 1)]
    for number in range(1, frames + 1):
        granted += on_the_way.wrote(Pieces([bytes(one) for one in sizes], number * pieces))
    unconfirmed = (frames * pieces - on_the_way.consumed) // pieces
    assert unconfirmed == min(ON_THE_WAY_BYTES // size, ON_THE_WAY_PIECES // pieces)
    assert granted <= frames * pieces / (DEFAULT_WINDOW // 2)
