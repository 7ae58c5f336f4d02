"""Calls through a real gateway, and through a door that refuses and breaks."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from actors.echo import EchoActor
from bus import Code, MethodInfo, RpcError
from gateway.access import new_key
from gateway.identity import hash_key
from gateway.settings import AuthSettings, KeySettings
from troupe.chat.v1 import GenerateRequest
from troupe.echo.v1 import (
    CollectRequest,
    ConverseRequest,
    EchoRequest,
    EchoResponse,
    EchoService,
    FailRequest,
    FailResponse,
    RepeatRequest,
)
from troupe.rpc.v1 import Progress
from troupe_client import ConnectionLost, Hub, HubUnreachable, RequestsLost, connect
from troupe_client.channel import with_port

ECHO = "troupe.echo.v1.EchoService/Echo"
SLOWLY = RepeatRequest(count=3, interval=Duration(seconds=60))


async def saying(*texts: str) -> AsyncIterator[Any]:
    for text in texts:
        yield ConverseRequest(text=text)


# ---- through a real gateway


async def test_all_four_shapes_are_called(served: Hub) -> None:
    assert (await served.echo.echo(EchoRequest(text="xin chào"))).text == "xin chào"
    assert [one.index async for one in served.echo.repeat(RepeatRequest(count=300))] == list(range(300))
    assert [one.text async for one in served.echo.converse(saying("a", "b", "c"))] == ["a", "b", "c"]

    async def pieces() -> AsyncIterator[CollectRequest]:
        for text in ("one", "hai", "three"):
            yield CollectRequest(text=text)

    collected = await served.echo.collect(pieces())
    assert (collected.text, collected.count) == ("one hai three", 3)


async def test_a_conversation_goes_both_ways_at_once(served: Hub) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def replying() -> AsyncIterator[ConverseRequest]:
        yield ConverseRequest(text="1")
        for _ in range(5):
            yield ConverseRequest(text=await heard.get() + "1")

    async for response in served.echo.converse(replying()):
        heard.put_nowait(response.text)
    assert response.text == "111111"


@pytest.mark.parametrize("text", ["", "x" * 49_000, "Việt" * 30_000])
async def test_messages_of_any_size_come_whole(served: Hub, text: str) -> None:
    assert (await served.echo.echo(EchoRequest(text=text))).text == text


async def test_errors_arrive_with_code_reason_and_reference(served: Hub) -> None:
    with pytest.raises(RpcError) as caught:
        await served.echo.fail(FailRequest(code=5, message="Không có gì ở đây.", reason="NOTHING_HERE"))
    error = caught.value
    assert (error.code, error.reason, error.message) == (Code.NOT_FOUND, "NOTHING_HERE", "Không có gì ở đây.")
    assert error.reference


async def test_an_error_names_the_field_at_fault(served: Hub) -> None:
    with pytest.raises(RpcError) as caught:
        await anext(aiter(served.echo.repeat(RepeatRequest(count=2_000_000))))
    assert (caught.value.code, caught.value.field) == (Code.INVALID_ARGUMENT, "count")


async def test_an_unknown_method_is_told_with_the_nearest_names(served: Hub) -> None:
    made_up = MethodInfo("Ecko", "ecko", "troupe.echo.v1.EchoService", EchoRequest, EchoResponse, False, False)
    with pytest.raises(RpcError) as caught:
        await served.channel.unary(made_up, EchoRequest())
    assert caught.value.reason == "METHOD_NOT_FOUND"
    assert ECHO in caught.value.message


@pytest.mark.parametrize("timeout", [0.15, 0.0, -1.0])
async def test_a_deadline_ends_a_stream(served: Hub, timeout: float) -> None:
    with pytest.raises(RpcError) as caught:
        async for _ in served.echo.repeat(SLOWLY, timeout=timeout):
            pass
    assert (caught.value.code, caught.value.reason) == (Code.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")


async def test_a_deadline_ends_a_call_whose_requests_do_not_come(served: Hub) -> None:
    async def silence() -> AsyncIterator[CollectRequest]:
        await asyncio.Event().wait()
        yield CollectRequest()

    with pytest.raises(RpcError) as caught:
        await served.echo.collect(silence(), timeout=0.15)
    assert caught.value.code is Code.DEADLINE_EXCEEDED


async def test_what_the_requests_raise_is_raised_and_ends_the_call(served: Hub) -> None:
    async def breaking() -> AsyncIterator[Any]:
        yield ConverseRequest(text="a")
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        await served.echo.collect(breaking())
    with pytest.raises(ValueError, match="no more"):
        async for response in served.echo.converse(breaking()):
            assert response.text == "a"


async def test_an_error_of_the_actor_ends_a_call_whose_requests_still_come(served: Hub) -> None:
    async def ever() -> AsyncIterator[ConverseRequest]:
        yield ConverseRequest(text="x" * 40_000)
        await asyncio.Event().wait()

    with pytest.raises(RpcError) as caught:
        async for _ in served.echo.converse(ever()):
            pass
    assert caught.value.reason == "MESSAGE_TOO_LARGE"


async def test_leaving_a_conversation_ends_its_requests(served: Hub) -> None:
    ended = asyncio.Event()

    async def ever() -> AsyncIterator[ConverseRequest]:
        try:
            yield ConverseRequest(text="a")
            await asyncio.Event().wait()
        finally:
            ended.set()

    responses: Any = served.echo.converse(ever())
    async with aclosing(responses):
        assert (await anext(responses)).text == "a"
    await ended.wait()


async def test_cancelling_cascades_to_the_calls_made_on_its_behalf(hall: Any, served: Hub) -> None:
    async with aclosing(served.ask("Hi?")) as pieces:
        assert await anext(pieces) == "Hel"
        await hall.chat.echo_heard.wait()
        assert hall.server.active_calls == 2
    await hall.chat.cancelled.wait()
    async with asyncio.timeout(5):
        while hall.server.active_calls:
            await asyncio.sleep(0)


async def test_a_stream_that_nobody_reads_on_ends_with_its_connection(hall: Any) -> None:
    async with hall.gateway() as rpc:
        async with connect(f"127.0.0.1:{rpc.port}") as hub:
            pieces = hub.ask("Hi?")
            assert await anext(pieces) == "Hel"
        await hall.chat.cancelled.wait()
        await pieces.aclose()


async def test_progress_arrives_before_the_answer(served: Hub) -> None:
    seen: list[Progress] = []
    async with aclosing(served.conversation().say("Hi?", on_progress=seen.append)) as pieces:
        assert await anext(pieces) == "Hel"
    assert [(one.state, one.position, one.eta.ToMilliseconds()) for one in seen] == [(Progress.STATE_QUEUED, 1, 2500)]


async def test_metadata_goes_along(served: Hub) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    answer = await served.echo.echo(EchoRequest(text="a"), metadata={"traceparent": trace})
    assert answer.text == "a"


@pytest.mark.parametrize(
    "metadata", [{"Upper": "a"}, {"a b": "a"}, {"troupe-principal": "root"}, {"x-bin": "a"}, {"x": "hé"}, {"x": "a\n"}]
)
async def test_metadata_that_cannot_travel_is_refused(served: Hub, metadata: dict[str, str]) -> None:
    with pytest.raises(RpcError) as caught:
        await served.echo.echo(EchoRequest(), metadata=metadata)
    assert (caught.value.code, caught.value.field) == (Code.INVALID_ARGUMENT, "metadata")


def test_a_key_that_cannot_travel_is_refused_and_not_shown() -> None:
    with pytest.raises(RpcError) as caught:
        connect(key="tr-geheim\n")
    assert "geheim" not in caught.value.message


async def test_a_model_that_nobody_serves_is_an_error_of_the_hub(served: Hub) -> None:
    with pytest.raises(RpcError) as caught:
        await anext(aiter(served.chat.generate(GenerateRequest(model="nobody"))))
    assert caught.value.code in (Code.UNAVAILABLE, Code.NOT_FOUND)
    assert not isinstance(caught.value, ConnectionLost)


async def test_a_key_opens_a_hub_that_asks_for_one(hall: Any) -> None:
    key = new_key()
    auth = AuthSettings(keys=[KeySettings(name="me", hash=hash_key(key))])
    async with hall.gateway(auth) as rpc:
        async with connect(f"127.0.0.1:{rpc.port}", key=key) as hub:
            assert (await hub.echo.echo(EchoRequest(text="a"))).text == "a"
        async with connect(f"127.0.0.1:{rpc.port}") as hub:
            with pytest.raises(RpcError) as caught:
                await hub.echo.echo(EchoRequest(text="a"))
    assert caught.value.code is Code.UNAUTHENTICATED


@pytest.mark.parametrize("seed", range(6))
async def test_cuts_before_a_real_gateway_lose_and_double_nothing(hall: Any, make_wire: Any, seed: int) -> None:
    chance = random.Random(seed)
    cuts = set(chance.sample(range(400), 5))
    async with hall.gateway() as rpc:
        wire = await make_wire(rpc.port)
        async with connect(f"127.0.0.1:{wire.port}") as hub:
            received = []
            async for response in hub.echo.repeat(
                RepeatRequest(count=400, text="y" * chance.choice([1, 2_000, 30_000]))
            ):
                received.append(response.index)
                if response.index in cuts:
                    wire.cut()
    assert received == list(range(400))


async def test_another_gateway_continues_what_the_first_one_began(hall: Any, make_wire: Any) -> None:
    async with hall.gateway() as first:
        wire = await make_wire(first.port)
        async with connect(f"127.0.0.1:{wire.port}") as hub:
            responses: Any = hub.echo.repeat(RepeatRequest(count=40, interval=Duration(nanos=2_000_000)))
            received = [(await anext(responses)).index for _ in range(5)]
            async with hall.gateway() as second:
                wire.lead_to(second.port)
                await first.stop(0)
                received += [response.index async for response in responses]
    assert received == list(range(40))


@pytest.mark.parametrize("unmet", [False, True])
async def test_a_conversation_whose_connection_breaks_says_how_far_it_came(
    hall: Any, make_wire: Any, unmet: bool
) -> None:
    async def ever() -> AsyncIterator[ConverseRequest]:
        yield ConverseRequest(text="a")
        yield ConverseRequest(text="b")
        await asyncio.Event().wait()

    async with hall.gateway() as rpc:
        wire = await make_wire(rpc.port)
        async with connect(f"127.0.0.1:{wire.port}") as hub:
            responses: Any = hub.echo.converse(ever())
            assert [(await anext(responses)).text for _ in range(2)] == ["a", "b"]
            wire.refusing = unmet
            wire.cut()
            with pytest.raises(RequestsLost) as caught:
                await anext(responses)
    assert (caught.value.code, caught.value.reason) == (Code.UNAVAILABLE, "REQUESTS_LOST")
    assert caught.value.metadata == {"sent": "2", "received": "2"}


async def test_a_stream_of_requests_for_one_answer_that_breaks_says_how_far_it_came(hall: Any, make_wire: Any) -> None:
    sent = asyncio.Event()

    async def ever() -> AsyncIterator[CollectRequest]:
        yield CollectRequest(text="a")
        sent.set()
        await asyncio.Event().wait()

    async with hall.gateway() as rpc:
        wire = await make_wire(rpc.port)
        async with connect(f"127.0.0.1:{wire.port}") as hub:
            answer = asyncio.create_task(hub.echo.collect(ever()))
            await sent.wait()
            wire.cut()
            with pytest.raises(RequestsLost) as caught:
                await answer
    assert caught.value.metadata == {"sent": "1", "received": "0"}


# ---- through a door that refuses and breaks


@pytest.mark.parametrize("shape", ["unary", "server stream", "client stream", "bidi stream"])
async def test_a_deadline_that_ends_while_the_hub_is_away_is_told_as_such(wire: Any, hub: Hub, shape: str) -> None:
    async def none() -> AsyncIterator[Any]:
        return
        yield

    calls: dict[str, Any] = {
        "unary": lambda: hub.echo.echo(EchoRequest(), timeout=0.2),
        "server stream": lambda: anext(aiter(hub.echo.repeat(RepeatRequest(), timeout=0.2))),
        "client stream": lambda: hub.echo.collect(none(), timeout=0.2),
        "bidi stream": lambda: anext(aiter(hub.echo.converse(none(), timeout=0.2))),
    }
    wire.refusing = True
    wire.cut()
    await hub.channel._grpc.wait_for_state_change(grpc.ChannelConnectivity.READY)
    with pytest.raises(RpcError) as caught:
        await calls[shape]()
    assert (caught.value.code, caught.value.reason) == (Code.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")


async def test_a_call_that_does_no_harm_is_repeated_while_the_hub_is_away(door: Any, wire: Any, hub: Hub) -> None:
    async def echo(request: EchoRequest) -> AsyncIterator[EchoResponse]:
        yield EchoResponse(text=request.text)

    door.answers[ECHO] = echo
    wire.refusing = True
    wire.cut()
    answer = asyncio.create_task(hub.echo.echo(EchoRequest(text="a")))
    await wire.refused.wait()
    wire.refusing = False
    assert (await answer).text == "a"


@pytest.mark.parametrize("reason", ["NO_RESPONDERS", "SHUTTING_DOWN", "PEER_LOST", "INTERRUPTED"])
async def test_what_the_hub_refuses_is_not_repeated_since_the_hub_has_waited(door: Any, hub: Hub, reason: str) -> None:
    door.refusals = [RpcError(Code.UNAVAILABLE, "Nobody has come.", reason=reason)]
    with pytest.raises(RpcError) as caught:
        await hub.echo.echo(EchoRequest(text="a"))
    assert (caught.value.reason, len(door.seen)) == (reason, 1)


async def test_other_errors_are_not_repeated(door: Any, hub: Hub) -> None:
    door.refusals = [RpcError(Code.RESOURCE_EXHAUSTED, "Too many calls.", reason="TOO_MANY_CALLS", retry_after=0.1)]
    with pytest.raises(RpcError) as caught:
        await hub.echo.echo(EchoRequest())
    assert caught.value.retry_after == pytest.approx(0.1)
    assert len(door.seen) == 1


async def test_a_call_that_may_do_harm_is_not_sent_again_over_a_new_connection(door: Any, wire: Any, hub: Hub) -> None:
    begun = asyncio.Event()

    async def fail(request: FailRequest) -> AsyncIterator[FailResponse]:
        begun.set()
        await asyncio.Event().wait()
        yield FailResponse()

    door.answers["troupe.echo.v1.EchoService/Fail"] = fail
    answer = asyncio.create_task(hub.echo.fail(FailRequest()))
    await begun.wait()
    wire.cut()
    with pytest.raises(ConnectionLost):
        await answer
    assert len(door.seen) == 1


async def test_an_actor_that_is_started_again_is_waited_for_by_the_hub(hall: Any, served: Hub) -> None:
    assert (await served.echo.echo(EchoRequest(text="a"))).text == "a"
    await hall.server.remove(EchoService.INFO, "", 0.0)
    answer = asyncio.create_task(served.echo.fail(FailRequest(code=5, message="Here.", reason="HERE")))
    done, _ = await asyncio.wait([answer], timeout=0.3)
    assert not done
    await hall.server.add(EchoActor(), EchoService.INFO)
    with pytest.raises(RpcError) as caught:
        await answer
    assert caught.value.reason == "HERE"


async def test_a_hub_that_is_not_there_is_told_at_once(unused_tcp_port: int) -> None:
    with pytest.raises(HubUnreachable) as caught:
        async with connect(f"127.0.0.1:{unused_tcp_port}"):
            pass
    assert caught.value.code is Code.UNAVAILABLE
    assert f"127.0.0.1:{unused_tcp_port}" in caught.value.message
    assert "troupe up" in caught.value.message


async def test_an_answer_of_another_contract_is_an_internal_error(door: Any, hub: Hub) -> None:
    async def garbage(request: EchoRequest) -> AsyncIterator[Any]:
        class Garbage:
            def SerializeToString(self) -> bytes:  # noqa: N802  (protobuf's name)
                return b"\xff\xff\xff"

        yield Garbage()

    door.answers[ECHO] = garbage
    with pytest.raises(RpcError) as caught:
        await hub.echo.echo(EchoRequest())
    assert caught.value.code is Code.INTERNAL
    assert "EchoResponse" in caught.value.message


async def test_the_key_travels_with_every_call(door: Any, wire: Any) -> None:
    door.refusals = [RpcError(Code.INTERNAL, "Enough.")]
    async with connect(f"127.0.0.1:{wire.port}", key="tr-abc") as hub:
        with pytest.raises(RpcError):
            await hub.echo.echo(EchoRequest())
    assert door.seen[0][1]["authorization"] == "Bearer tr-abc"


@pytest.mark.parametrize(
    ("target", "whole"),
    [
        ("hub.local", "hub.local:50051"),
        ("hub.local:7", "hub.local:7"),
        ("[::1]", "[::1]:50051"),
        ("[::1]:7", "[::1]:7"),
        ("unix:/run/troupe", "unix:/run/troupe"),
        ("dns:///hub.local:7", "dns:///hub.local:7"),
    ],
)
def test_a_target_without_a_port_gets_the_usual_one(target: str, whole: str) -> None:
    assert with_port(target) == whole


@pytest.mark.parametrize("target", ["http://127.0.0.1:8080", "https://hub.local/v1", ""])
def test_an_address_that_is_no_target_is_refused(target: str) -> None:
    with pytest.raises(RpcError) as caught:
        connect(target)
    assert caught.value.code is Code.INVALID_ARGUMENT
    assert ":50051" in caught.value.message


def test_certificates_that_cannot_be_read_are_named() -> None:
    with pytest.raises(RpcError) as caught:
        connect(tls="/nowhere/ca.pem")
    assert "/nowhere/ca.pem" in caught.value.message
