"""`troupe up`: what it says, and a hub that it starts and stops."""

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from bus.testing import NatsServer
from cli.__main__ import parser
from cli.up import environment, greeting
from host.supervisor import Addresses

from .conftest import PATIENCE_SECONDS, Run
from .conftest import environment as shell

HERE = Addresses(
    {"http": "127.0.0.1:8080", "grpc": "127.0.0.1:50051"},
    "nats://127.0.0.1:4",
    Path("/h"),
    {"echo": "serving", "llama": "backing_off"},
)


def test_the_greeting_tells_every_way_in_and_how_the_processes_are() -> None:
    said = "\n".join(greeting(HERE, keys=False, command="troupe"))
    for words in (
        "http://127.0.0.1:8080/\n",
        "troupe chat\n",
        "/v1/chat/completions -H",
        "127.0.0.1:50051",
        "llama backing off",
    ):
        assert words in said
    assert "Bearer" not in said


def test_a_process_that_does_not_serve_is_told_with_its_log() -> None:
    said = "\n".join(greeting(HERE, keys=False, command="troupe"))
    assert "llama does not serve yet; why is in /h/logs/llama.log" in said
    assert "echo does not" not in said


def test_a_process_that_is_not_installed_is_told_with_its_command() -> None:
    here = Addresses(HERE.doors, HERE.bus, HERE.home, {"song": "not_installed"}, {"song": "voice"})
    said = "\n".join(greeting(here, keys=False, command="troupe"))
    assert "song is not installed; `troupe add voice` installs and starts it" in said
    assert "why is in" not in said


def test_the_body_that_it_shows_is_json() -> None:
    line = next(line for line in greeting(HERE, keys=True, command="troupe") if " -d '" in line)
    assert json.loads(line.partition("'")[2].rstrip("'"))["model"] == "troupe-tiny"


def test_a_hub_with_keys_is_asked_with_one() -> None:
    assert "Authorization: Bearer" in "\n".join(greeting(HERE, keys=True, command="troupe"))


def test_another_port_is_named_to_the_chat() -> None:
    other = Addresses({**HERE.doors, "grpc": "127.0.0.1:6000"}, HERE.bus, HERE.home, HERE.states)
    assert "troupe chat --target 127.0.0.1:6000" in "\n".join(greeting(other, keys=False, command="troupe"))


def test_options_win_over_the_environment() -> None:
    args = parser().parse_args(["up", "--http-port", "9", "--actors", "echo"])
    assert isinstance(args, argparse.Namespace)
    found = environment(args, {"TROUPE_HTTP_PORT": "8", "TROUPE_GRPC_PORT": "7"})
    assert found == {"TROUPE_HTTP_PORT": "9", "TROUPE_GRPC_PORT": "7", "TROUPE_SUPERVISOR_ACTORS": "echo"}


@asynccontextmanager
async def up(tmp_path: Path, *options: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A hub with its home in `hub`, once it is up; its process and the address of its gRPC door."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cli", "up", *options,
        cwd=tmp_path, env=shell(tmp_path / "hub"), stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            target = ""
            while not target:
                line = (await process.stdout.readline()).decode()
                assert line, "the hub ended"
                if line.strip().startswith("gRPC"):
                    target = line.split()[1].rstrip(",")
            yield process, target
            if process.returncode is None:
                process.send_signal(signal.SIGINT)
                assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_hub_starts_answers_and_stops_at_ctrl_c(troupe: Run, tmp_path: Path) -> None:
    async with up(tmp_path, "--http-port", "0", "--grpc-port", "0", "--actors", "echo") as (process, target):
        ended = await troupe("call", "Echo", '{"text": "chào"}', "--target", target)
        assert (ended.code, ended.out) == (0, '{"text": "chào"}\n')
        home = {"TROUPE_HOME": str(tmp_path / "hub")}
        alive = await troupe("alive", "echo", env=home)
        assert (alive.code, alive.out) == (0, "echo serves\n")
        second = await troupe("up", env=home)
        assert (second.code, f"runs in {tmp_path / 'hub'} already (process {process.pid})" in second.err) == (1, True)
        status = await troupe("status", env=home)
        assert (status.code, f"  gRPC  {target}" in status.out) == (0, True)
        assert (await troupe("stop", env=home)).out.endswith("It has ended.\n")
        assert await process.wait() == 0
    alive = await troupe("alive", "echo", env={"TROUPE_HOME": str(tmp_path / "hub")})
    assert alive.code == 1


async def said(process: asyncio.subprocess.Process, words: str) -> str:
    """The line that has these words."""
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_SECONDS):
        while line := (await process.stdout.readline()).decode():
            if words in line:
                return line.strip()
    raise AssertionError(f"the hub ended without {words!r}")


async def test_the_terminal_tells_what_is_restarted_and_what_a_stop_waits_for(tmp_path: Path) -> None:
    async with up(tmp_path, "--http-port", "0", "--grpc-port", "0", "--actors", "echo") as (process, target):
        children = psutil.Process(process.pid).children()
        next(child for child in children if "gateway" in child.cmdline()).suspend()
        line = await said(process, "gateway:")
        assert line.startswith("gateway: killed: it was stopped and told nothing for ")
        assert line.endswith("; it is started again.")
        assert await said(process, "gateway:") == "gateway: serves again."
        call = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cli", "call", "Repeat", '{"text": "x", "count": 20, "interval": "0.2s"}'),
            *("--target", target),
            env=shell(tmp_path / "hub"), stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert call.stdout is not None
        for _ in range(8):  # the gateway has told of it meanwhile
            assert await call.stdout.readline()
        process.send_signal(signal.SIGINT)
        line = await said(process, "Stopping")
        assert line == "Stopping; waits for 1 answer, at most 10 s. Ctrl-C again stops at once."
        told = (await call.communicate())[0].splitlines()
        assert len(told) == 12
        assert await process.wait() == 0


async def test_an_unknown_actor_is_refused_before_anything_starts(troupe: Run) -> None:
    ended = await troupe("up", "--actors", "eco")
    assert (ended.code, "Did you mean echo?" in ended.err) == (2, True)


async def test_a_home_that_cannot_be_used_is_named(troupe: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for home, told in (("file", "file is a file, and a home is a folder"), ("file/below", "file is a file, so that")):
        ended = await troupe("up", "--home", str(tmp_path / home))
        assert (ended.code, f"{tmp_path / told}" in ended.err, "TROUPE_HOME" in ended.err) == (1, True, True)
        assert "Traceback" not in ended.err
        assert "Errno" not in ended.err


async def test_an_open_door_without_a_key_is_refused_before_anything_starts(troupe: Run) -> None:
    ended = await troupe("up", env={"TROUPE_HTTP_HOST": "0.0.0.0"})
    assert (ended.code, "API key" in ended.err) == (2, True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f'[[auth.keys]]\nname = "one"\nhash = "{"0" * 64}"\nscopes = ["chta"]', "Did you mean chat?"),
        ("[http]\nport = 9001\n[grpc]\nport = 9001", "[grpc] port: 9001 is the port of [http] too"),
        ("[supervisor]\ndrain_seconds = inf", "a finite number is expected"),
    ],
)
async def test_settings_that_no_process_could_use_are_refused_before_anything_starts(
    troupe: Run, tmp_path: Path, text: str, words: str
) -> None:
    file = tmp_path / "own.toml"
    file.write_text(text)
    ended = await troupe("up", "--config", str(file))
    assert (ended.code, words in ended.err, f"{file}: [" in ended.err) == (2, True, True)


async def test_a_wrong_value_for_an_actor_is_refused_before_anything_starts(troupe: Run) -> None:
    ended = await troupe("up", env={"TROUPE_ACTORS_LLAMA_SLOTS": "0"})
    assert (ended.code, "[actors.llama] slots" in ended.err) == (2, True)


async def test_a_bus_that_refuses_the_password_is_told_at_once(troupe: Run, nats_server: NatsServer) -> None:
    nats_server.stop()
    nats_server.authorization = "authorization { user: troupe, password: right }"
    nats_server.start()
    url = f"nats://troupe:secret@127.0.0.1:{nats_server.port}"
    ended = await troupe("up", "--http-port", "0", "--grpc-port", "0", env={"NATS_URL": url})
    assert ended.code == 1
    assert "UNAUTHENTICATED (BUS_REFUSED): The NATS server at 127.0.0.1" in ended.err
    assert "NATS_URL" in ended.err
    assert "secret" not in ended.err


async def test_the_file_that_config_names_reaches_the_process_of_a_model(troupe: Run, tmp_path: Path) -> None:
    pytest.importorskip("llama_cpp")
    file = tmp_path / "elsewhere" / "mine.toml"
    file.parent.mkdir()
    file.write_text(
        '[http]\nport = 0\n[grpc]\nport = 0\n[supervisor]\nactors = ["llama", "models"]\n[actors.llama]\ncontext = 77\n'
    )
    request = {"model": "troupe-tiny", "messages": [{"role": "ROLE_USER", "parts": [{"text": "word " * 200}]}]}
    async with up(tmp_path, "--config", str(file)) as (_, target):
        ended = await troupe("call", "Generate", json.dumps(request), "--target", target)
        assert ended.code == 1
        assert "CONTEXT_LENGTH_EXCEEDED" in ended.err
        assert "the model's context holds 77" in ended.err
