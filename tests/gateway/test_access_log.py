"""Every call at the two streaming doors has its line, and whoever loses the key opens no more calls."""

import asyncio
from collections.abc import Sequence
from typing import Any

import grpc
import pytest
import websockets
from msgspec.structs import replace
from structlog.testing import capture_logs
from websockets.asyncio.client import ClientConnection

from gateway.access import new_key
from gateway.http.security import Security
from gateway.identity import hash_key
from gateway.settings import AuthSettings, KeySettings
from troupe.echo.v1 import EchoRequest, EchoResponse, FailRequest
from troupe.rpc.v1 import Frame, Open

ECHO = "troupe.echo.v1.EchoService"
KEY = new_key()
KEYS = AuthSettings(keys=[KeySettings(name="laptop", hash=hash_key(KEY))])


def lines_of(logged: Sequence[Any]) -> list[Any]:
    return [line for line in logged if line["event"] == "call"]


def call(call_id: str, method: str, request: Any, **metadata: str) -> bytes:
    open_ = Open(protocol_version=1, method=f"{ECHO}/{method}", metadata=metadata)
    frame = Frame(call_id=call_id, open=open_, sequence=1, payload=[request.SerializeToString()], half_close=True)
    return frame.SerializeToString()


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


async def test_a_call_over_the_websocket_is_a_line_with_who_what_and_how(stage: Any, door_settings: Any) -> None:
    async with stage.gateway(replace(door_settings, auth=KEYS)) as gateway:
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
    assert (second["code"], second["log_level"]) == ("INTERNAL", "warning")
    assert second["reference"] in str(failed.close.status)
    assert (third["reason"], third["principal"]) == ("METHOD_NOT_FOUND", "laptop")
    assert "words" not in str(logged)


async def test_a_call_over_grpc_is_a_line_and_so_is_a_refused_key(stage: Any, door_settings: Any) -> None:
    async with stage.gateway(replace(door_settings, auth=KEYS)) as gateway:
        with capture_logs() as logged:
            async with grpc.aio.insecure_channel(gateway.grpc_target) as channel:
                echo = channel.unary_unary(f"/{ECHO}/Echo", EchoRequest.SerializeToString, EchoResponse.FromString)
                await echo(EchoRequest(text="words"), metadata=(("x-api-key", KEY),))
                with pytest.raises(grpc.aio.AioRpcError):
                    await echo(EchoRequest(text="words"), metadata=(("authorization", "Bearer tr-wrong"),))
    first, second = lines_of(logged)
    assert (first["door"], first["principal"], first["code"]) == ("grpc", "laptop", "OK")
    assert (second["reason"], second["method"], second["log_level"]) == ("UNAUTHENTICATED", f"{ECHO}/Echo", "warning")
    assert "tr-wrong" not in str(logged)


async def test_a_refused_key_at_the_websocket_is_a_line(stage: Any, door_settings: Any) -> None:
    async with stage.gateway(replace(door_settings, auth=KEYS)) as gateway:
        with capture_logs() as logged:
            async with connect(gateway.websocket_url, authorization="Bearer tr-wrong") as socket:
                await closed(socket)
    assert [line["reason"] for line in lines_of(logged)] == ["UNAUTHENTICATED"]


async def test_a_key_that_is_taken_back_ends_new_calls_and_no_running_one(stage: Any, door_settings: Any) -> None:
    async with stage.gateway(replace(door_settings, auth=KEYS)) as gateway:
        access = gateway.hub.access
        async with connect(gateway.websocket_url, authorization=f"Bearer {KEY}") as socket:
            await socket.send(call("c1", "Echo", EchoRequest(text="x")))
            assert (await closed(socket)).close.status.code == 0
            access._identity._keys = []
            access._remembered.clear()
            await access.look()
            await socket.send(call("c2", "Echo", EchoRequest(text="x")))
            assert (await closed(socket)).close.status.code == 16


async def test_a_key_that_may_call_once_a_minute_is_told_when_it_may_again(stage: Any, door_settings: Any) -> None:
    keys = AuthSettings(keys=[KeySettings(name="robot", hash=hash_key(KEY), calls_per_minute=1)])
    async with stage.gateway(replace(door_settings, auth=keys)) as gateway:
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
