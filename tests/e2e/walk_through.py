"""A page of the documentation that is followed to the letter, in a copy of the repository.

A page marks its blocks: `<!-- file: PATH -->` is written, `<!-- insert: PATH after: NAME -->` goes to a table's head,
`<!-- home: PATH -->` lies in the hub's home, `<!-- call -->` and `<!-- output -->` are a call and what it prints.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import httpx
import pytest

from bus.testing.nats_server import free_port

ROOT = Path(__file__).parents[2]
LEFT = shutil.ignore_patterns(
    ".git", ".venv", "build", "dist", "__pycache__", "node_modules", ".hypothesis", ".*_cache", "*.gguf"
)
"""What a copy does without: what is made anew, and models."""

RUN_SECONDS = 280
"""What a loaded machine may take for what is otherwise a matter of seconds, of a minute for the fast tests."""
BLOCK = re.compile(r"<!-- (?P<kind>[a-z]+)(?:: (?P<what>.*?))? -->\n```[a-z]*\n(?P<text>.*?)```", re.DOTALL)
READY_SECONDS = 60


class Command:
    """A command that runs; a context at whose end it does not any more."""

    def __init__(self, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        self._out, self._error = tempfile.TemporaryFile("w+"), tempfile.TemporaryFile("w+")  # noqa: SIM115  # see __exit__
        self._process = subprocess.Popen(command, cwd=folder, env=environment, stdout=self._out, stderr=self._error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._out.close()
        self._error.close()

    def ended(self) -> str:
        """What it has printed, once it has ended; it must succeed."""
        code = self._process.wait(RUN_SECONDS)
        self._out.seek(0)
        self._error.seek(0)
        printed = self._out.read()
        assert code == 0, printed + self._error.read()
        return printed


class Page:
    """A page and the copy that its steps were done in."""

    def __init__(self, name: str, copy: Path) -> None:
        self.copy = copy
        self._text = (ROOT / "docs" / name).read_text()

    def blocks(self, kind: str) -> list[tuple[str, str]]:
        """What the blocks of a kind are about, and their texts."""
        return [(found["what"] or "", found["text"]) for found in BLOCK.finditer(self._text) if found["kind"] == kind]

    def follow(self) -> None:
        """Copy the repository and do what the page says: files and tables."""
        shutil.copytree(ROOT, self.copy, ignore=LEFT, dirs_exist_ok=True)
        for name, text in self.blocks("file"):
            (self.copy / name).parent.mkdir(parents=True, exist_ok=True)
            (self.copy / name).write_text(text)
        for what, text in self.blocks("insert"):
            name, after = what.split(" after: ")
            before = (self.copy / name).read_text()
            opening = re.search(rf"^{after} .*\{{\n", before, re.MULTILINE)
            assert opening is not None, f"{name} has no {after}"
            (self.copy / name).write_text(before[: opening.end()] + text + before[opening.end() :])

    def run(self, *command: str, **environment: str) -> str:
        """What a command prints in the copy; it must succeed."""
        with self.begin(*command, **environment) as running:
            return running.ended()

    def begin(self, *command: str, **environment: str) -> "Command":
        """Start a command in the copy."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        env = {**os.environ, "PATH": path, "PYTHONPATH": self._python_path, **environment}
        return Command(command, self.copy, env)

    def call(self, **environment: str) -> list[dict[str, Any]]:
        """What the page's call prints, a message per line, but for what tells that it waits."""
        [(_, call)] = self.blocks("call")
        found = re.fullmatch(r"troupe call (\S+) '(.*)'\n", call)
        assert found is not None
        return self.told(self.run(sys.executable, "-m", "cli", "call", found[1], found[2], **environment))

    def told(self, output: str) -> list[dict[str, Any]]:
        """Messages in an output."""
        messages: list[dict[str, Any]] = [json.loads(line) for line in output.splitlines()]
        return [message for message in messages if "progress" not in message]

    @contextmanager
    def hub(self, home: Path, actors: str) -> Iterator[dict[str, str]]:
        """A hub of the copy with these actors; what a client of it needs in its environment."""
        http, grpc = free_port(), free_port()
        for name, text in self.blocks("home"):
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            (home / name).write_text(text)
        environment = {
            "TROUPE_HOME": str(home),
            "TROUPE_HTTP_PORT": str(http),
            "TROUPE_GRPC_PORT": str(grpc),
            "TROUPE_SUPERVISOR_ACTORS": actors,
            "PYTHONPATH": self._python_path,
        }
        command = [sys.executable, "-m", "cli", "up"]
        process = subprocess.Popen(command, cwd=self.copy, env={**os.environ, **environment})
        try:
            _wait_for(http, process)
            yield environment
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)

    @property
    def _python_path(self) -> str:
        return os.pathsep.join(str(self.copy / each) for each in ("", "proto/gen", "clients/python"))


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    """Until /readyz says yes."""
    ends = time.monotonic() + READY_SECONDS
    while time.monotonic() < ends and process.poll() is None:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=2).status_code == 200:
                return
        except httpx.TransportError:
            pass
    pytest.fail("the hub did not become ready")
