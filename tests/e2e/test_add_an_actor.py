"""Follows docs/add-an-actor.md to the letter, in a copy of the repository."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "add-an-actor.md"
BLOCK = re.compile(r"<!-- (?P<kind>[a-z]+)(?:: (?P<what>.*?))? -->\n```[a-z]*\n(?P<text>.*?)```", re.DOTALL)
READY_SECONDS = 60


def blocks(kind: str) -> list[tuple[str, str]]:
    return [(found["what"] or "", found["text"]) for found in BLOCK.finditer(PAGE.read_text()) if found["kind"] == kind]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("troupe")
    for name in (
        "actors",
        "bus",
        "cli",
        "clients",
        "gateway",
        "host",
        "proto",
        "store",
        "buf.yaml",
        "buf.gen.yaml",
        "pyproject.toml",
    ):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(
                source, target / name, ignore=shutil.ignore_patterns("__pycache__", "*.gguf", "node_modules")
            )
        else:
            shutil.copy(source, target / name)
    for name, text in blocks("file"):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_text(text)
    for what, text in blocks("insert"):
        name, after = what.split(" after: ")
        before = (target / name).read_text()
        opening = re.search(rf"^{after} .*\{{\n", before, re.MULTILINE)
        assert opening is not None, f"{name} has no {after}"
        (target / name).write_text(before[: opening.end()] + text + before[opening.end() :])
    return target


def run(copy: Path, *command: str, **environment: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    python_path = os.pathsep.join([str(copy), str(copy / "proto" / "gen")])
    env = {**os.environ, "PATH": path, "PYTHONPATH": python_path, **environment}
    done = subprocess.run(command, cwd=copy, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def generated(copy: Path) -> Path:
    run(copy, "buf", "lint")
    run(copy, "buf", "generate")
    return copy


def test_the_pages_own_test_passes(generated: Path) -> None:
    run(generated, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/actors/test_greeting.py")


def test_the_new_actor_answers_through_the_door(generated: Path, tmp_path: Path) -> None:
    [(_, call)] = blocks("call")
    [(_, output)] = blocks("output")
    found = re.fullmatch(r"troupe call (\S+) '(.*)'\n", call)
    assert found is not None
    with hub(generated, tmp_path) as environment:
        answer = run(generated, sys.executable, "-m", "cli", "call", found[1], found[2], **environment)
    told = [json.loads(line) for line in answer.splitlines()]
    assert told == [json.loads(line) for line in output.splitlines()]


@contextmanager
def hub(copy: Path, home: Path) -> Iterator[dict[str, str]]:
    http, grpc = free_port(), free_port()
    environment = {
        "TROUPE_HOME": str(home),
        "TROUPE_HTTP_PORT": str(http),
        "TROUPE_GRPC_PORT": str(grpc),
        "TROUPE_SUPERVISOR_ACTORS": "greeting",
        "PYTHONPATH": os.pathsep.join([str(copy), str(copy / "proto" / "gen")]),
    }
    process = subprocess.Popen([sys.executable, "-m", "cli", "up"], cwd=copy, env={**os.environ, **environment})
    try:
        wait_for(http, process)
        yield environment
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    """Until /readyz says yes."""
    import httpx

    ends = time.monotonic() + READY_SECONDS
    while time.monotonic() < ends and process.poll() is None:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=2).status_code == 200:
                return
        except httpx.TransportError:
            pass
    pytest.fail("the hub did not become ready")
