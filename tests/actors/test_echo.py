import asyncio
from collections.abc import AsyncIterator

import pytest
from google.protobuf.duration_pb2 import Duration

from actors.echo import MAX_COUNT, MAX_PIECE, MAX_TEXT, EchoActor
from bus import Code, RpcError
from bus.channel import Channel
from bus.server import Server
from bus.transports.memory import MemoryBroker, MemoryTransport
from troupe.echo.v1 import (
    CollectRequest,
    ConverseRequest,
    EchoRequest,
    EchoService,
    EchoServiceClient,
    FailRequest,
    RepeatRequest,
)


@pytest.fixture
async def client() -> AsyncIterator[EchoServiceClient]:
    broker = MemoryBroker()
    server = Server(MemoryTransport(broker, "echo-1"))
    await server.add(EchoActor(), EchoService.INFO)
    channel = Channel(MemoryTransport(broker, "caller-1"))
    async with asyncio.timeout(10):
        yield EchoServiceClient(channel)
        await channel.close()
        await server.drain(1)


async def pieces(*texts: str) -> AsyncIterator[CollectRequest]:
    for text in texts:
        yield CollectRequest(text=text)


@pytest.mark.parametrize("text", ["", "hi", "Xin chào, cà phê sữa đá nhé?", "👋🏽" * 1000, "a" * MAX_TEXT])
async def test_echo_says_back_what_it_heard(client: EchoServiceClient, text: str) -> None:
    assert (await client.echo(EchoRequest(text=text))).text == text


async def test_a_text_over_the_limit_is_refused_with_the_limit(client: EchoServiceClient) -> None:
    with pytest.raises(RpcError, match="1,048,576") as caught:
        await client.echo(EchoRequest(text="đ" * (MAX_TEXT // 2 + 1)))
    assert caught.value.reason == "MESSAGE_TOO_LARGE"


async def test_repeat_counts(client: EchoServiceClient) -> None:
    responses = [response async for response in client.repeat(RepeatRequest(text="lại", count=300))]
    assert [response.index for response in responses] == list(range(300))
    assert {response.text for response in responses} == {"lại"}


async def test_repeat_keeps_its_pace_without_drift(client: EchoServiceClient) -> None:
    request = RepeatRequest(count=20, interval=Duration(nanos=5_000_000))
    made = [response.made_at_monotonic_ns async for response in client.repeat(request)]
    assert made[-1] - made[0] >= 19 * 5_000_000 - 2_000_000
    assert made == sorted(made)


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (RepeatRequest(count=MAX_COUNT + 1), "count"),
        (RepeatRequest(count=1, interval=Duration(seconds=61)), "interval"),
        (RepeatRequest(count=1, interval=Duration(seconds=-1)), "interval"),
        (RepeatRequest(count=1, text="a" * (MAX_PIECE + 1)), "text"),
    ],
)
async def test_repeat_refuses_what_it_will_not_do(
    client: EchoServiceClient, request_: RepeatRequest, field: str
) -> None:
    with pytest.raises(RpcError) as caught:
        await anext(aiter(client.repeat(request_)))
    assert (caught.value.code, caught.value.field) == (Code.INVALID_ARGUMENT, field)


async def test_collect_joins_what_it_was_given(client: EchoServiceClient) -> None:
    response = await client.collect(pieces("một", "hai", "ba"))
    assert (response.text, response.count) == ("một hai ba", 3)


async def test_collect_of_nothing_is_empty(client: EchoServiceClient) -> None:
    response = await client.collect(pieces())
    assert (response.text, response.count) == ("", 0)


async def test_collect_stops_at_its_limit(client: EchoServiceClient) -> None:
    with pytest.raises(RpcError) as caught:
        await client.collect(pieces(*(["a" * MAX_PIECE] * (MAX_TEXT // MAX_PIECE + 1))))
    assert caught.value.reason == "MESSAGE_TOO_LARGE"


async def test_converse_answers_each_request_before_the_next_comes(client: EchoServiceClient) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def requests() -> AsyncIterator[ConverseRequest]:
        for text in ("chào", "bạn", "khỏe không"):
            yield ConverseRequest(text=text)
            assert await heard.get() == text

    indexes = []
    async for response in client.converse(requests()):
        indexes.append(response.index)
        heard.put_nowait(response.text)
    assert indexes == [0, 1, 2]


async def test_fail_fails_as_it_was_asked_to(client: EchoServiceClient) -> None:
    with pytest.raises(RpcError, match="không tìm thấy") as caught:
        await client.fail(FailRequest(code=Code.NOT_FOUND, message="không tìm thấy", reason="GONE_FISHING"))
    assert (caught.value.code, caught.value.reason) == (Code.NOT_FOUND, "GONE_FISHING")


@pytest.mark.parametrize("code", [0, 17, -1])
async def test_fail_knows_grpcs_codes_only(client: EchoServiceClient, code: int) -> None:
    with pytest.raises(RpcError) as caught:
        await client.fail(FailRequest(code=code))
    assert (caught.value.code, caught.value.field) == (Code.INVALID_ARGUMENT, "code")
