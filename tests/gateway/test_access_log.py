"""Every call at the two streaming doors has its line, and whoever loses the key opens no more calls."""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import httpx
import pytest
import websockets
from msgspec.structs import replace
from structlog.testing import capture_logs
from websockets.asyncio.client import ClientConnection

from actors.echo import EchoActor
from bus import Context, RpcError
from bus.behalf import TOKENS
from gateway.access import new_key
from gateway.grpc_server import STATUS_DETAILS, _address
from gateway.http.security import Security
from gateway.identity import hash_key
from gateway.settings import AuthSettings, KeySettings
from troupe.echo.v1 import EchoRequest, EchoResponse, FailRequest, FailResponse, RepeatRequest, RepeatResponse
from troupe.rpc.v1 import Frame, Open, Status

ECHO = "troupe.echo.v1.EchoService"
KEY = new_key()
KEYS = AuthSettings(keys=[KeySettings(name="laptop", hash=hash_key(KEY))])


def lines_of(logged: Sequence[Any]) -> list[Any]:
    return [line for line in logged if line["event"] == "call"]


def call(call_id: str, method: str, request: Any, **metadata: str) -> bytes:
    open_ = Open(protocol_version=1, method=f"{ECHO}/{method}", metadata=metadata)
    frame = Frame(call_id=call_id, open=open_, sequence=1, payload=[request.SerializeToString()], half_close=True)
    return frame.SerializeToString()


def slow() -> RepeatRequest:
    """One answer at once, the others within the hour."""
    request = RepeatRequest(text="x", count=100)
    request.interval.FromSeconds(30)
    return request


async def closed(socket: ClientConnection) -> Frame:
    while True:
        data = await socket.recv()
        assert isinstance(data, bytes)
        frame = Frame.FromString(data)
        if frame.HasField("close"):
            return frame


def connect(url: str, **headers: str) -> Any:
    return websockets.connect(
        url,
        subprotocols=[websockets.Subprotocol("troupe.v1.binary")],
        additional_headers={name.replace("_", "-"): value for name, value in headers.items()},
        proxy=None,
    )


async def test_a_call_over_the_websocket_is_a_line_with_who_what_and_how(hall: Any, door_settings: Any) -> None:
    async with hall.gateway(replace(door_settings, auth=KEYS)) as gateway:
        with capture_logs() as logged:
            async with connect(gateway.websocket_url, x_api_key=KEY) as socket:
                await socket.send(call("c1", "Echo", EchoRequest(text="words"), **{"x-request-id": "r1"}))
                await closed(socket)
                await socket.send(call("c2", "Fail", FailRequest(code=13, message="words")))
                failed = await closed(socket)
                await socket.send(call("c3", "Nothing", EchoRequest()))
                await closed(socket)
    first, second, third = lines_of(logged)
    assert (first["door"], first["method"], first["code"]) == ("websocket", f"{ECHO}/Echo", "OK")
    assert (first["principal"], first["credential_id"]) == ("laptop", f"key-{hash_key(KEY)[:12]}")
    assert (first["call_id"], first["request_id"]) == ("c1", "r1")
    assert first["seconds"] >= 0
    assert first["bytes_in"] == EchoRequest(text="words").ByteSize()
    assert first["bytes_out"] >= EchoResponse(text="words").ByteSize()
    assert (second["code"], second["log_level"]) == ("INTERNAL", "warning")
    assert second["reference"] in str(failed.close.status)
    assert (third["reason"], third["principal"]) == ("METHOD_NOT_FOUND", "laptop")
    assert "words" not in str(logged)


class Counting(EchoActor):
    """Says what a call cost, as models do."""

    async def echo(self, request: EchoRequest, ctx: Context) -> EchoResponse:
        ctx.trailers[TOKENS] = "7"
        return EchoResponse(text=ctx.metadata.get("x-request-id", ""))


async def test_tokens_are_on_the_line_and_a_request_id_that_is_none_is_dropped(hall_of: Any) -> None:
    async with hall_of(Counting()) as hall, hall.gateway() as gateway:
        with capture_logs() as logged:
            async with grpc.aio.insecure_channel(gateway.grpc_target) as channel:
                echo = channel.unary_unary(f"/{ECHO}/Echo", EchoRequest.SerializeToString, EchoResponse.FromString)
                heard = [
                    (await echo(EchoRequest(text="x"), metadata=(("x-request-id", given),))).text
                    for given in ("mine:1", "no id")
                ]
    assert heard == ["mine:1", ""]
    first, second = lines_of(logged)
    assert (first["door"], first["tokens"], first["request_id"], first["bytes_in"]) == ("grpc", 7, "mine:1", 3)
    assert "request_id" not in second


async def test_an_error_at_the_grpc_door_is_found_by_its_reference(hall: Any) -> None:
    async with hall.gateway() as gateway:
        with capture_logs() as logged:
            async with grpc.aio.insecure_channel(gateway.grpc_target) as channel:
                references = []
                for method in ("Fail", "Nothing"):
                    fail = channel.unary_unary(
                        f"/{ECHO}/{method}", FailRequest.SerializeToString, FailResponse.FromString
                    )
                    with pytest.raises(grpc.aio.AioRpcError) as caught:
                        await fail(FailRequest(code=5, message="words"))
                    trailing: Any = caught.value.trailing_metadata()
                    status = Status.FromString(dict(trailing)[STATUS_DETAILS])
                    references.append(RpcError.from_status(status).reference)
    lines = lines_of(logged)
    assert [line["reference"] for line in lines] == references
    assert lines[0]["method"] == f"{ECHO}/Fail"
    assert lines[1]["path"] == f"/{ECHO}/Nothing"


async def test_a_call_over_grpc_is_a_line_and_so_is_a_refused_key(hall: Any, door_settings: Any) -> None:
    async with hall.gateway(replace(door_settings, auth=KEYS)) as gateway:
        with capture_logs() as logged:
            async with grpc.aio.insecure_channel(gateway.grpc_target) as channel:
                echo = channel.unary_unary(f"/{ECHO}/Echo", EchoRequest.SerializeToString, EchoResponse.FromString)
                await echo(EchoRequest(text="words"), metadata=(("x-api-key", KEY),))
                with pytest.raises(grpc.aio.AioRpcError):
                    await echo(EchoRequest(text="words"), metadata=(("authorization", "Bearer tr-wrong"),))
    first, second = lines_of(logged)
    assert (first["door"], first["principal"], first["code"]) == ("grpc", "laptop", "OK")
    assert (second["reason"], second["method"], second["log_level"]) == ("UNAUTHENTICATED", f"{ECHO}/Echo", "warning")
    assert ("peer" in first, second["peer"]) == (False, "127.0.0.1")
    assert "tr-wrong" not in str(logged)


async def test_a_refused_key_at_the_websocket_is_a_line(hall: Any, door_settings: Any) -> None:
    async with hall.gateway(replace(door_settings, auth=KEYS)) as gateway:
        with capture_logs() as logged:
            async with connect(gateway.websocket_url, authorization="Bearer tr-wrong") as socket:
                await closed(socket)
    assert [(line["reason"], line["peer"]) for line in lines_of(logged)] == [("UNAUTHENTICATED", "127.0.0.1")]


async def test_a_refused_key_and_a_refused_name_over_http_say_where_they_came_from(
    hall: Any, door_settings: Any
) -> None:
    async with hall.gateway(replace(door_settings, auth=KEYS)) as gateway:
        url = gateway.websocket_url.replace("ws://", "http://").replace("/ws", "/v1/models")
        with capture_logs() as logged:
            async with httpx.AsyncClient() as client:
                await client.get(url, headers={"authorization": "Bearer tr-wrong"})
                await client.get(url, headers={"host": "evil.example"})
    found = [(line["status"], line["peer"]) for line in lines_of(logged)]
    assert found == [(401, "127.0.0.1"), (403, "127.0.0.1")]


@pytest.mark.parametrize(
    ("peer", "address"),
    [("ipv4:192.168.1.7:50312", "192.168.1.7"), ("ipv6:%5B::1%5D:50312", "::1"), ("unix:/x", "unix:/x"), ("", "")],
)
def test_the_address_of_a_grpc_peer_is_its_ip(peer: str, address: str) -> None:
    assert _address(peer) == address


async def take_back(access: Any) -> None:
    """The key is gone from the settings, and the next look has come."""
    access._identity._keys = []
    access._remembered.clear()
    await access.look()


async def test_a_key_that_is_taken_back_ends_the_calls_that_run_and_opens_no_more(
    hall: Any, door_settings: Any
) -> None:
    async with hall.gateway(replace(door_settings, auth=KEYS)) as gateway:
        access = gateway.hub.access
        async with connect(gateway.websocket_url, authorization=f"Bearer {KEY}") as socket:
            await socket.send(call("c1", "Echo", EchoRequest(text="x")))
            assert (await closed(socket)).close.status.code == 0
            await socket.send(call("running", "Repeat", slow()))
            while not Frame.FromString(await socket.recv()).payload:
                pass
            await take_back(access)
            ended = await closed(socket)
            assert (ended.call_id, ended.close.status.code) == ("running", 16)
            await socket.send(call("c2", "Echo", EchoRequest(text="x")))
            assert (await closed(socket)).close.status.code == 16


async def test_a_key_that_is_taken_back_ends_the_grpc_calls_that_run(hall: Any, door_settings: Any) -> None:
    async with hall.gateway(replace(door_settings, auth=KEYS)) as gateway:
        with capture_logs() as logged:
            async with grpc.aio.insecure_channel(gateway.grpc_target) as channel:
                repeat = channel.unary_stream(
                    f"/{ECHO}/Repeat", RepeatRequest.SerializeToString, RepeatResponse.FromString
                )
                running = repeat(slow(), metadata=(("x-api-key", KEY),))
                await running.read()
                await gateway.hub.access.look()  # the key is good
                await take_back(gateway.hub.access)
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    while True:
                        await running.read()
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert [(line["principal"], line["reason"]) for line in lines_of(logged)] == [("laptop", "UNAUTHENTICATED")]


async def test_a_key_that_expires_ends_the_calls_that_run(hall: Any, door_settings: Any) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=3600)
    keys = AuthSettings(keys=[KeySettings(name="laptop", hash=hash_key(KEY), expires=soon)])
    async with hall.gateway(replace(door_settings, auth=keys)) as gateway:
        access = gateway.hub.access
        async with connect(gateway.websocket_url, authorization=f"Bearer {KEY}") as socket:
            await socket.send(call("running", "Repeat", slow()))
            while not Frame.FromString(await socket.recv()).payload:
                pass
            access._clock = access._identity._clock = lambda: time.time() + 7200
            await access.look()
            assert (await closed(socket)).close.status.code == 16


async def test_a_key_that_may_call_once_a_minute_is_told_when_it_may_again(hall: Any, door_settings: Any) -> None:
    keys = AuthSettings(keys=[KeySettings(name="robot", hash=hash_key(KEY), calls_per_minute=1)])
    async with hall.gateway(replace(door_settings, auth=keys)) as gateway:
        async with connect(gateway.websocket_url, authorization=f"Bearer {KEY}") as socket:
            await socket.send(call("c1", "Echo", EchoRequest(text="x")))
            assert (await closed(socket)).close.status.code == 0
            await socket.send(call("c2", "Echo", EchoRequest(text="x")))
            refused = (await closed(socket)).close.status
    assert refused.code == 8
    assert "1 a minute" in refused.message


async def test_a_refused_upgrade_is_one_warning_and_no_error(gateway: Any) -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    async def nothing(*_: Any) -> None:
        await asyncio.sleep(0)

    scope = {"type": "websocket", "path": "/ws", "headers": [(b"host", b"evil.example")]}
    with capture_logs() as logged:
        await Security(nothing, gateway.hub)(scope, receive, send)
    (line,) = lines_of(logged)
    assert (line["reason"], line["log_level"], line["path"]) == ("HOST_NOT_ALLOWED", "warning", "/ws")
