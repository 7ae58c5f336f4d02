"""The NATS transport where the contract of a transport does not reach."""

import asyncio
from pathlib import Path

import pytest

from bus import Code, RpcError
from bus.testing import Ear, NatsServer
from bus.testing.nats_server import free_port
from bus.transports.nats import NatsTransport


async def test_a_server_that_is_not_there_is_told_with_what_to_do() -> None:
    port = free_port()
    with pytest.raises(RpcError) as caught:
        await NatsTransport.connect(f"nats://user:secret@127.0.0.1:{port}", "p", timeout=0.3)
    error = caught.value
    assert (error.code, error.reason) == (Code.UNAVAILABLE, "BUS_UNREACHABLE")
    assert f"127.0.0.1:{port}" in error.message
    assert "secret" not in error.message
    assert "troupe up" in error.message
    assert "Errno" not in error.message


async def test_wrong_credentials_are_refused(nats_server: NatsServer) -> None:
    nats_server.stop()
    nats_server.authorization = "authorization { user: troupe, password: right }"
    nats_server.start()
    with pytest.raises(RpcError) as caught:
        async with asyncio.timeout(10):
            await NatsTransport.connect(nats_server.url, "p", timeout=60, user="troupe", password="wrong-secret")
    assert (caught.value.code, caught.value.reason) == (Code.UNAUTHENTICATED, "BUS_REFUSED")
    assert "Authorization Violation" in caught.value.message
    assert "[bus]" in caught.value.message
    assert "secret" not in caught.value.message
    transport = await NatsTransport.connect(nats_server.url, "p", user="troupe", password="right")
    await transport.close()


async def test_an_address_of_another_kind_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(RpcError, match=r"ws://.*nats:// or tls://") as caught:
        await NatsTransport.connect("nats://127.0.0.1:1,ws://127.0.0.1:2", "p")
    assert caught.value.code is Code.INVALID_ARGUMENT


async def test_a_process_name_becomes_one_token(nats_server: NatsServer) -> None:
    transport = await NatsTransport.connect(nats_server.url, "llama.tiny v1")
    assert transport.process.startswith("llama=2Etiny=20v1-")
    await transport.close()


async def test_a_subscription_outlives_the_server_and_the_reconnection_is_told(nats_server: NatsServer) -> None:
    one = await NatsTransport.connect(nats_server.url, "one")
    two = await NatsTransport.connect(nats_server.url, "two")
    ear = Ear()
    back = [asyncio.Event(), asyncio.Event()]
    one.on_reconnect(back[0].set)
    two.on_reconnect(back[1].set)
    await one.subscribe("a.*", ear)
    await asyncio.to_thread(nats_server.kill)
    await asyncio.to_thread(nats_server.start)
    async with asyncio.timeout(10):
        for event in back:
            await event.wait()
    await one.flush()
    two.publish("a.b", b"after")
    assert (await ear.hears(1))[0].payload == b"after"
    for transport in (one, two):
        await transport.close()


async def test_while_the_server_is_away_a_flush_fails_and_a_subscription_waits_for_it(nats_server: NatsServer) -> None:
    transport = await NatsTransport.connect(nats_server.url, "one")
    back = asyncio.Event()
    transport.on_reconnect(back.set)
    await asyncio.to_thread(nats_server.kill)
    async with asyncio.timeout(10):
        while transport.client.is_connected:
            await asyncio.sleep(0)
    transport.publish("before", b"waits")
    with pytest.raises(RpcError) as caught:
        await transport.flush()
    assert (caught.value.code, caught.value.reason) == (Code.UNAVAILABLE, "BUS_UNREACHABLE")
    ear = Ear()
    await transport.subscribe("a", ear)
    await asyncio.to_thread(nats_server.start)
    async with asyncio.timeout(10):
        await back.wait()
    await transport.flush()
    other = await NatsTransport.connect(nats_server.url, "two")
    other.publish("a", b"after")
    assert (await ear.hears(1))[0].payload == b"after"
    for each in (transport, other):
        await each.close()


async def test_what_waits_for_an_absent_server_is_bounded(nats_server: NatsServer) -> None:
    transport = await NatsTransport.connect(nats_server.url, "one")
    await asyncio.to_thread(nats_server.kill)
    with pytest.raises(RpcError) as caught:
        async with asyncio.timeout(10):
            for _ in range(1000):
                transport.publish("a", b"x" * 60_000)
                await asyncio.sleep(0)
    assert caught.value.code is Code.UNAVAILABLE
    await transport.close()


async def test_a_closed_transport_is_unavailable(nats_server: NatsServer) -> None:
    transport = await NatsTransport.connect(nats_server.url, "one")
    subscription = await transport.subscribe("a", Ear())
    await transport.close()
    await subscription.unsubscribe()
    for attempt in (transport.flush(), transport.subscribe("a", Ear())):
        with pytest.raises(RpcError) as caught:
            await attempt
        assert caught.value.code is Code.UNAVAILABLE
    with pytest.raises(RpcError) as caught:
        transport.publish("a", b"")
    assert caught.value.code is Code.UNAVAILABLE


def test_a_server_that_cannot_start_says_where_its_log_is(tmp_path: Path) -> None:
    server = NatsServer(tmp_path)
    server.authorization = "this is no configuration {"
    with pytest.raises(RuntimeError, match=r"nats\.log"):
        server.start()
    server.stop()
