import asyncio
import json
import os
import signal
import socket
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import nats
import pytest
from nats.js.api import StreamConfig

from bus import RpcError, subjects
from bus.transports import Message
from bus.transports.nats import NatsTransport
from host import embedded
from host.embedded import Credentials, EmbeddedServer, ServerError, connect, folder
from host.running import AlreadyRunning
from host.settings import BusSettings, Settings, SettingsError


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedServer]:
    async with EmbeddedServer(tmp_path) as server:
        yield server


async def heard(transport: NatsTransport, subject: str) -> "asyncio.Queue[Message]":
    messages: asyncio.Queue[Message] = asyncio.Queue()
    await transport.subscribe(subject, messages.put_nowait)
    return messages


async def said(server: EmbeddedServer, login: dict[str, str], *commands: str) -> bytes:
    """What the server answers to a socket that writes everything at once, until it hangs up or answers the PING."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write("\r\n".join([f"CONNECT {json.dumps(login)}", *commands, "PING", ""]).encode())
    answer = await reader.readline()
    while not answer.endswith(b"PONG\r\n") and (more := await reader.read(65536)):
        answer += more
    writer.close()
    await writer.wait_closed()
    return answer


async def refused(server: EmbeddedServer, **login: str) -> bool:
    return b"Authorization Violation" in await said(server, login)


async def test_what_streams_may_hold_does_not_depend_on_the_disk(server: EmbeddedServer) -> None:
    async with asyncio.timeout(10):
        transport = await connect(Settings(home=server.home), "one")
        stream = StreamConfig(name="large", subjects=["large"], max_bytes=60 * 10**9)
        assert (await transport.client.jetstream().add_stream(stream)).config.max_bytes == 60 * 10**9
        await transport.close()


async def test_processes_of_the_home_reach_each_other(server: EmbeddedServer) -> None:
    settings = Settings(home=server.home)
    async with asyncio.timeout(10):
        one, two = await connect(settings, "one"), await connect(settings, "two")
        messages = await heard(two, "word")
        one.publish("word", "xin chào".encode())
        assert (await messages.get()).payload.decode() == "xin chào"
        await one.close()
        await two.close()


async def test_nobody_gets_in_without_the_credentials(server: EmbeddedServer) -> None:
    own = Credentials.of(server.home)
    async with asyncio.timeout(10):
        assert await refused(server)
        assert await refused(server, user="troupe", **{"pass": "troupe"})
        assert await refused(server, user="sys", **{"pass": own.troupe})
        assert await refused(server, user="troupe", **{"pass": own.sys})
        assert await refused(server, auth_token=own.troupe)
        assert not await refused(server, user="troupe", **{"pass": own.troupe})


@pytest.mark.parametrize("subject", ["$SYS.REQ.SERVER.PING", "$JS.API.INFO", "rpc.troupe.echo.v1.EchoService.Echo"])
async def test_a_connection_without_login_can_ask_nothing(server: EmbeddedServer, subject: str) -> None:
    async with asyncio.timeout(10):
        answer = await said(server, {}, "SUB _INBOX.x 1", f"PUB {subject} _INBOX.x 0", "")
    assert b"Authorization Violation" in answer
    # Commands begin a line; elsewhere the server's random name may spell one.
    commands = {line.partition(b" ")[0] for line in answer.split(b"\r\n")}
    assert not commands & {b"MSG", b"HMSG", b"PONG"}


async def test_the_hubs_account_does_not_see_the_system_account(server: EmbeddedServer) -> None:
    async with asyncio.timeout(10):
        transport = await connect(Settings(home=server.home), "nosy")
        messages = await heard(transport, subjects.reply(transport.process, "x"))
        transport.publish("$SYS.REQ.SERVER.PING", b"", subjects.reply(transport.process, "x"))
        assert (await messages.get()).no_responders
        await transport.close()


async def test_it_listens_on_loopback_only_and_its_files_are_private(server: EmbeddedServer) -> None:
    config = (folder(server.home) / "server.conf").read_text()
    assert 'listen: "127.0.0.1:' in config
    assert stat.S_IMODE(folder(server.home).stat().st_mode) == 0o700
    for name in ("server.conf", "credentials.json", "address.json"):
        assert stat.S_IMODE((folder(server.home) / name).stat().st_mode) == 0o600


async def test_durable_writes_are_synced_always(server: EmbeddedServer) -> None:
    own = Credentials.of(server.home)
    async with asyncio.timeout(10):
        client = await nats.connect(server.url, user="sys", password=own.sys)
        answer = await client.request("$SYS.REQ.SERVER.PING.JSZ", json.dumps({"config": True}).encode())
        await client.close()
    assert json.loads(answer.data)["data"]["config"]["sync_always"] is True


async def test_a_second_one_in_the_same_home_is_told_about_the_first(server: EmbeddedServer) -> None:
    with pytest.raises(AlreadyRunning, match=f"process {os.getpid()}"):
        await EmbeddedServer(server.home).start()
    assert server.pid


async def test_clients_come_back_after_a_restart_and_the_port_stays(server: EmbeddedServer) -> None:
    async with asyncio.timeout(15):
        transport = await connect(Settings(home=server.home), "steady")
        port, back = server.port, asyncio.Event()
        transport.on_reconnect(back.set)
        await server.restart()
        await back.wait()
        messages = await heard(transport, "word")
        transport.publish("word", b"still here")
        assert (await messages.get()).payload == b"still here"
        assert server.port == port
        await transport.close()


async def test_the_next_start_takes_the_same_port_and_password(tmp_path: Path) -> None:
    async with asyncio.timeout(15):
        async with EmbeddedServer(tmp_path) as first:
            port, password = first.port, Credentials.of(tmp_path)
        async with EmbeddedServer(tmp_path) as second:
            assert (second.port, Credentials.of(tmp_path)) == (port, password)


async def test_a_port_that_is_taken_by_then_is_replaced(tmp_path: Path) -> None:
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", 0))
        squatter.listen()
        taken = squatter.getsockname()[1]
        (folder(tmp_path) / "port").write_text(str(taken))
        async with asyncio.timeout(15), EmbeddedServer(tmp_path) as server:
            assert server.port != taken


async def test_a_port_that_was_asked_for_and_is_taken_is_an_error_that_names_it(tmp_path: Path) -> None:
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", 0))
        squatter.listen()
        taken = squatter.getsockname()[1]
        with pytest.raises(ServerError, match=str(taken)):
            await EmbeddedServer(tmp_path, taken).start()
        async with asyncio.timeout(15), EmbeddedServer(tmp_path) as server:
            assert server.pid, "the failed start let go of the home"


async def test_a_server_whose_hub_was_killed_is_replaced(tmp_path: Path) -> None:
    script = (
        "import asyncio, pathlib, sys, host.embedded as e\n"
        "e.process.dying_with_parent = list\n"
        "async def main():\n"
        "    async with e.EmbeddedServer(pathlib.Path(sys.argv[1])) as server:\n"
        "        print(server.pid, flush=True)\n"
        "        await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    async with asyncio.timeout(20):
        hub = await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, str(tmp_path), stdout=asyncio.subprocess.PIPE
        )
        assert hub.stdout is not None
        orphan = int(await hub.stdout.readline())
        hub.send_signal(signal.SIGKILL)
        await hub.wait()
        os.kill(orphan, 0)
        async with EmbeddedServer(tmp_path) as server:
            assert server.pid not in (0, orphan)
            transport = await connect(Settings(home=tmp_path), "after")
            await transport.close()


async def test_without_a_hub_the_error_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(RpcError, match="troupe up") as caught:
        await connect(Settings(home=tmp_path), "lonely")
    assert caught.value.reason == "BUS_UNREACHABLE"


async def test_an_external_server_is_reached_with_the_settings_credentials(
    server: EmbeddedServer, tmp_path: Path
) -> None:
    password = Credentials.of(server.home).troupe
    bus = BusSettings(url=server.url, user="troupe", password=password)
    async with asyncio.timeout(10):
        transport = await connect(Settings(home=tmp_path / "other", bus=bus), "far")
        await transport.flush()
        await transport.close()


async def test_wrong_credentials_are_named_as_the_reason(server: EmbeddedServer, tmp_path: Path) -> None:
    bus = BusSettings(url=server.url, user="troupe", password="wrong")
    with pytest.raises(RpcError, match="Authorization Violation"):
        await connect(Settings(home=tmp_path, bus=bus), "far", timeout=0.5)


async def test_a_credentials_file_without_the_package_that_reads_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "find_spec", lambda name: None)
    bus = BusSettings(url="nats://127.0.0.1:1", credentials_file=str(tmp_path / "hub.creds"))
    with pytest.raises(SettingsError, match="pip install nkeys"):
        await connect(Settings(home=tmp_path, bus=bus), "far")


async def test_a_certificate_file_that_is_missing_is_named(tmp_path: Path) -> None:
    bus = BusSettings(url="tls://127.0.0.1:1", tls_ca=str(tmp_path / "ca.pem"))
    with pytest.raises(SettingsError, match="tls_ca"):
        await connect(Settings(home=tmp_path, bus=bus), "far")
