"""The client and the commands that talk to a hub run where the system is not POSIX."""

import json
from pathlib import Path

import pytest

from .conftest import Ended, Run, TroupeIn
from .test_log_lines import event

WITHOUT_POSIX = """
import asyncio, logging, multiprocessing, os, shutil, signal, subprocess, sys, tempfile

# What others load from there is their business; they have their own ways on other systems.
import argcomplete, grpc, grpc.aio, prompt_toolkit, prompt_toolkit.input, prompt_toolkit.output, rich.console

for name in ("fcntl", "grp", "pty", "pwd", "readline", "resource", "syslog", "termios", "tty", "uvloop"):
    sys.modules[name] = None
for module, names in {
    os: ("fork", "getegid", "geteuid", "getgid", "getpgid", "getuid", "killpg", "pread", "pwrite", "setsid",
         "O_CLOEXEC", "O_DIRECTORY", "O_NOFOLLOW"),
    signal: ("SIGALRM", "SIGCHLD", "SIGHUP", "SIGKILL", "SIGQUIT", "SIGUSR1", "SIGUSR2", "pause", "pthread_sigmask"),
}.items():
    for name in names:
        delattr(module, name)
"""

COMMAND = f"{WITHOUT_POSIX}\nfrom cli.__main__ import main\nsys.exit(main(sys.argv[1:]))"

CLIENT = f"""{WITHOUT_POSIX}
from troupe.echo.v1 import EchoRequest
from troupe_client import connect

async def main():
    async with connect(sys.argv[1]) as hub:
        print((await hub.echo.echo(EchoRequest(text="xin chào"))).text, await hub.default_model())

asyncio.run(main())
"""


@pytest.fixture
def bare(troupe_in: TroupeIn) -> Run:
    """`troupe` on a system without POSIX."""
    return troupe_in("-c", COMMAND)


async def test_the_python_client_needs_no_posix(troupe_in: TroupeIn, door: str) -> None:
    assert await troupe_in("-c", CLIENT)(door) == Ended(0, "xin chào default\n", "")


async def test_methods_are_called_and_models_listed(bare: Run, door: str) -> None:
    assert (await bare("call", "Echo", '{"text": "hi"}', "--target", door)).out == '{"text": "hi"}\n'
    assert (await bare("call", "Collect", "--target", door, given='{"text": "a"}\n')).code == 0
    assert "tiny" in (await bare("models", "--target", door)).out
    assert (await bare("models", "load", "tiny", "--target", door)).out == "tiny: ready\n"


async def test_a_chat_reaches_the_hub(bare: Run, door: str) -> None:
    ended = await bare("chat", "--target", door, "hello")
    assert (ended.code, "NO_RESPONDERS" in ended.err) == (1, True)  # nobody chats behind this door


async def test_status_finds_the_hub_by_its_record(bare: Run, door: str, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    found = {"process": 7, "started": 1.0, "doors": {"http": "127.0.0.1:1", "grpc": door}, "bus": "nats://x"}
    (tmp_path / "home" / "hub.json").write_text(json.dumps(found))
    ended = await bare("status")
    assert (ended.code, "(process 7)" in ended.out) == (0, True)


async def test_logs_are_read(bare: Run, tmp_path: Path) -> None:
    (tmp_path / "home" / "logs").mkdir(parents=True)
    (tmp_path / "home" / "logs" / "echo.log").write_text(event(0, "greeted") + "\n")
    assert "greeted" in (await bare("logs")).out


async def test_the_rest_of_a_client_runs(bare: Run, unused_tcp_port: int) -> None:
    assert (await bare("version")).code == 0
    assert (await bare("--version")).code == 0
    assert "Register-ArgumentCompleter" in (await bare("completion", "powershell")).out
    ended = await bare("alive", env={"TROUPE_HTTP_PORT": str(unused_tcp_port)})
    assert ended == Ended(1, "the hub does not serve\n", "")
    ended = await bare("alive", "echo")
    assert (ended.code, "BUS_UNREACHABLE" in ended.err) == (1, True)
