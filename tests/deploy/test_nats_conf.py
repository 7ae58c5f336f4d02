"""deploy/nats.conf, read by a real server."""

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from bus import subjects
from bus.testing.nats_server import executable, free_port

CONFIG = Path(__file__).parents[2] / "deploy" / "nats.conf"
PASSWORD = "t0123abc"
START_SECONDS = 20.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The address of a server with this configuration, but on free ports and with its data in a new folder."""
    port = free_port()
    text = CONFIG.read_text()
    for kept, given in (
        ("0.0.0.0:4222", f"127.0.0.1:{port}"),
        ("http: 127.0.0.1:8222", ""),
        ("/data", str(tmp_path / "data")),
    ):
        assert text.count(kept) == 1
        text = text.replace(kept, given)
    (tmp_path / "nats.conf").write_text(text)
    process = subprocess.Popen(
        [executable(), "-c", str(tmp_path / "nats.conf")],
        env={"TROUPE_BUS_PASSWORD": PASSWORD},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    yield f"nats://127.0.0.1:{port}"
    process.kill()
    process.wait()


async def connect(url: str, password: str) -> Client:
    async def ignore(_: Exception) -> None:
        return

    async with asyncio.timeout(START_SECONDS):
        return await nats.connect(
            url, user="troupe", password=password, reconnect_time_wait=0.05, error_cb=ignore, max_reconnect_attempts=200
        )


async def test_troupe_gets_in_with_its_password_and_has_jetstream(server: str) -> None:
    client = await connect(server, PASSWORD)
    assert (await client.jetstream().account_info()).memory == 0
    await client.close()


async def test_without_the_password_nobody_gets_in(server: str) -> None:
    await (await connect(server, PASSWORD)).close()  # it listens
    for login in ("{}", '{"user": "troupe", "pass": "another"}'):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(server.rpartition(":")[2]))
        writer.write(f"CONNECT {login}\r\nPING\r\n".encode())
        async with asyncio.timeout(START_SECONDS):
            said = await reader.read()
        writer.close()
        await writer.wait_closed()
        assert b"-ERR 'Authorization Violation'" in said
        # A command begins its line; elsewhere the server's random name may spell it.
        assert b"\r\nPONG" not in said


async def test_connections_that_come_and_go_are_told_where_the_bus_listens(server: str) -> None:
    client = await connect(server, PASSWORD)
    told: asyncio.Queue[str] = asyncio.Queue()

    async def hear(message: Msg) -> None:
        await told.put(message.subject)

    await client.subscribe(subjects.CONNECTED, cb=hear)
    await client.subscribe(subjects.DISCONNECTED, cb=hear)
    await client.flush()
    await (await connect(server, PASSWORD)).close()
    seen: set[str] = set()
    async with asyncio.timeout(START_SECONDS):
        while seen != {subjects.CONNECTED, subjects.DISCONNECTED}:  # the first one's own may still come
            seen.add(await told.get())
    await client.close()


def test_what_was_acknowledged_is_on_the_disk() -> None:
    assert "sync_interval: always" in CONFIG.read_text()
