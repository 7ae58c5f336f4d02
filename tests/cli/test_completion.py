"""What shells are answered at the Tab key."""

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import environment


async def completed(line: str, tmp_path: Path) -> list[str]:
    """What bash would be offered behind this line."""
    read, write = os.pipe()
    asked = {"_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line)), "COMP_TYPE": "9", "IFS": "\n"}
    # argcomplete writes to descriptor 8, as its shell code arranges it.
    command = f"exec 8>&{write}; exec {sys.executable} -m cli"
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", command, env=environment(tmp_path / "home") | asked, cwd=tmp_path, pass_fds=(write,)
    )
    os.close(write)
    with os.fdopen(read) as pipe:
        said = await asyncio.to_thread(pipe.read)
    await process.wait()
    return [word.strip() for word in said.replace("\v", "\n").split("\n") if word.strip()]


async def test_commands_are_completed(tmp_path: Path) -> None:
    assert await completed("troupe st", tmp_path) == ["status", "stage", "stop"]


async def test_options_of_a_command_are_completed(tmp_path: Path) -> None:
    assert await completed("troupe up --ht", tmp_path) == ["--http-port"]


async def test_methods_are_completed_in_short_and_in_full(tmp_path: Path) -> None:
    assert await completed("troupe call EchoService/Ec", tmp_path) == ["EchoService/Echo"]
    assert await completed("troupe call troupe.echo.v1.EchoService/Ec", tmp_path) == ["troupe.echo.v1.EchoService/Echo"]


async def test_models_are_those_of_the_hub(tmp_path: Path, door: str, unused_tcp_port: int) -> None:
    assert await completed(f"troupe models --target {door} load ti", tmp_path) == ["tiny"]
    assert await completed(f"troupe models --target {door} show gp", tmp_path) == ["gpt-4o"]
    assert await completed(f"troupe chat --target {door} -m ti", tmp_path) == ["tiny"]
    assert await completed(f"troupe chat --port {unused_tcp_port} -m ti", tmp_path) == []


async def test_jobs_are_those_of_the_hub_and_kinds_of_quantization_are_known(tmp_path: Path, door: str) -> None:
    assert await completed(f"troupe jobs --target {door} show 5f1", tmp_path) == ["5f1c0a44d1b14a0f9d5b0a4b8b1f7c21"]
    assert await completed(f"troupe models --target {door} quantize tiny Q4", tmp_path) == ["Q4_K_M"]


async def test_logs_are_those_of_the_home(tmp_path: Path) -> None:
    (tmp_path / "home" / "logs").mkdir(parents=True)
    (tmp_path / "home" / "logs" / "gateway.log").touch()
    assert await completed("troupe logs ga", tmp_path) == ["gateway"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
async def test_each_shell_gets_code_of_its_own(shell: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cli", "completion", shell], capture_output=True, text=True, check=True
    )
    assert "troupe" in done.stdout
    if program := shutil.which(shell):
        script = done.stdout if shell != "zsh" else f"autoload -U compinit && compinit -u\n{done.stdout}"
        checked = subprocess.run([program, "-n"], input=script, capture_output=True, text=True, check=False)
        assert (checked.returncode, checked.stderr) == (0, "")
