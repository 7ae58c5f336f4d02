"""TLS to a NATS server that the settings name, its certificates of an authority that was made here."""

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from structlog.testing import capture_logs

from bus import Code, RpcError
from bus.testing import Ear, NatsServer
from bus.testing.hall import until
from host.embedded import connect
from host.settings import Settings, load

LONGER_THAN_THE_TEST = 60.0
"""Seconds to try: what is refused must not wait for their end."""


class Secured:
    """A server that speaks TLS and wants a password, and the certificates around it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority, self.stranger = trustme.CA(), trustme.CA()
        self.ca, self.other_ca = folder / "ca.pem", folder / "other.pem"
        self.authority.cert_pem.write_to_path(str(self.ca))
        self.stranger.cert_pem.write_to_path(str(self.other_ca))
        self.server = NatsServer(folder / "nats")
        self.server.authorization = "authorization { user: troupe, password: right }"

    def start(self, name: str = "127.0.0.1", *, verify: bool = False) -> None:
        """Start it with a certificate for `name`; with `verify` it asks its clients for theirs."""
        certificate, key = self.certificate(name)
        files = f'cert_file: "{certificate}", key_file: "{key}", ca_file: "{self.ca}"'
        self.server.tls = f"tls {{ {files}, verify: {str(verify).lower()} }}"
        self.server.start()

    def certificate(self, name: str) -> tuple[Path, Path]:
        """Certificate and key that the authority gives to `name`."""
        issued = self.authority.issue_cert(name)
        certificate, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        issued.cert_chain_pems[0].write_to_path(str(certificate))
        issued.private_key_pem.write_to_path(str(key))
        return certificate, key

    def settings(self, **changes: str) -> Settings:
        """A file of settings that is right but for `changes`."""
        keys = {"url": self.server.url, "user": "troupe", "password": "right", "tls_ca": str(self.ca), **changes}
        file = self.folder / "troupe.toml"
        file.write_text("[bus]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items() if value))
        return load(file, {"TROUPE_HOME": str(self.folder)})


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[Secured]:
    secured = Secured(tmp_path)
    yield secured
    secured.server.stop()


async def refusal(settings: Settings) -> RpcError:
    with pytest.raises(RpcError) as caught:
        async with asyncio.timeout(10):
            await connect(settings, "p", timeout=LONGER_THAN_THE_TEST)
    return caught.value


async def test_the_authority_that_the_settings_name_is_trusted(secured: Secured) -> None:
    secured.start()
    one = await connect(secured.settings(), "one")
    two = await connect(secured.settings(url=secured.server.url.replace("nats://", "tls://")), "two")
    ear = Ear()
    await one.subscribe("a", ear)
    two.publish("a", b"over TLS")
    assert (await ear.hears(1))[0].payload == b"over TLS"
    for transport in (one, two):
        await transport.close()


@pytest.mark.parametrize("ca", ["other", "none"])
async def test_a_certificate_of_an_unknown_authority_is_refused_at_once(secured: Secured, ca: str) -> None:
    secured.start()
    error = await refusal(secured.settings(tls_ca=str(secured.other_ca) if ca == "other" else ""))
    assert (error.code, error.reason) == (Code.FAILED_PRECONDITION, "BUS_UNTRUSTED")
    for words in (f"127.0.0.1:{secured.server.port}", "certificate", "[bus] tls_ca"):
        assert words in error.message


async def test_a_certificate_for_another_name_is_refused_at_once(secured: Secured) -> None:
    secured.start("nats.example")
    error = await refusal(secured.settings())
    assert error.reason == "BUS_UNTRUSTED"
    assert "127.0.0.1" in error.message


async def test_a_wrong_password_is_told_at_once_and_not_shown(secured: Secured) -> None:
    secured.start()
    error = await refusal(secured.settings(password="wrong-secret"))
    assert (error.code, error.reason) == (Code.UNAUTHENTICATED, "BUS_REFUSED")
    assert "Authorization Violation" in error.message
    assert "secret" not in error.message


async def test_of_several_servers_one_that_refuses_is_told_too(secured: Secured) -> None:
    secured.start()
    away = NatsServer(secured.folder / "away")
    error = await refusal(secured.settings(url=f"{away.url},{secured.server.url}", password="wrong"))
    assert error.reason == "BUS_REFUSED"


async def test_a_server_may_ask_for_a_certificate(secured: Secured) -> None:
    secured.start(verify=True)
    error = await refusal(secured.settings())
    assert error.reason == "BUS_REFUSED"
    assert "tls_cert" in error.message
    certificate, key = secured.certificate("client.example")
    transport = await connect(secured.settings(tls_cert=str(certificate), tls_key=str(key)), "p")
    await transport.close()


async def test_no_password_goes_to_a_server_that_leaves_tls_out(secured: Secured) -> None:
    heard = bytearray()
    gone = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"x","version":"2.15.0","auth_required":true,"max_payload":1048576}\r\n')
        heard.extend(await reader.read())
        writer.close()
        gone.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    error = await refusal(secured.settings(url=f"nats://127.0.0.1:{port}"))
    assert (error.code, error.reason) == (Code.FAILED_PRECONDITION, "BUS_UNTRUSTED")
    assert "does not ask for TLS" in error.message
    await gone.wait()
    assert bytes(heard) == b""
    server.close()
    await server.wait_closed()


async def test_a_password_that_is_changed_meanwhile_is_told_once_until_it_is_right_again(secured: Secured) -> None:
    secured.start()
    transport = await connect(secured.settings(), "p")
    back = asyncio.Event()
    transport.on_reconnect(back.set)

    async def restart(password: str) -> None:
        await asyncio.to_thread(secured.server.stop)
        secured.server.authorization = f"authorization {{ user: troupe, password: {password} }}"
        await asyncio.to_thread(secured.server.start)

    with capture_logs() as logs:
        await restart("other")
        await until(lambda: sum("does not let this process in" in entry.get("error", "") for entry in logs) > 3)
        warnings = [entry for entry in logs if entry["log_level"] == "warning" and "let this" in entry["error"]]
    assert len(warnings) == 1
    await restart("right")
    async with asyncio.timeout(10):
        await back.wait()
    await transport.flush()
    await transport.close()


@pytest.mark.parametrize("command", [["alive", "echo"], ["up", "--http-port", "0", "--grpc-port", "0"]])
async def test_whoever_starts_a_process_reads_why_it_may_not_join(secured: Secured, command: list[str]) -> None:
    secured.start()
    secured.settings(tls_ca=str(secured.other_ca))
    shell = {name: value for name, value in os.environ.items() if not name.startswith(("TROUPE_", "NATS_"))}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli", *command, "--config", str(secured.folder / "troupe.toml")),
        env={**shell, "TROUPE_HOME": str(secured.folder)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(30):
        said, _ = await process.communicate()
    assert process.returncode == 1
    assert "has a certificate that is not trusted here" in said.decode()
    assert "[bus] tls_ca" in said.decode()
