"""One hub in a home, found by those who share it."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from host import running
from host.running import AlreadyRunning, Running, find, held, is_held, record

HUB = Running(process=7, started=1.5, doors={"http": "127.0.0.1:1", "grpc": "127.0.0.1:2"}, bus="nats://127.0.0.1:3")

HOLDS = """
import sys, pathlib
from host.running import Running, held, record
home = pathlib.Path(sys.argv[1])
with held(home):
    record(home, Running(process=7, started=1.5, doors={"http": "127.0.0.1:1", "grpc": "127.0.0.1:2"}, bus="nats://127.0.0.1:3"))
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_hub_is_found_while_its_process_holds_the_home(tmp_path: Path) -> None:
    assert find(tmp_path) is None
    own = subprocess.Popen([sys.executable, "-c", HOLDS, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with own:
        assert own.stdout is not None
        assert own.stdout.readline() == b"held\n"
        assert find(tmp_path) == HUB
        with pytest.raises(AlreadyRunning, match=f"process {own.pid}.*troupe stop"), held(tmp_path):
            pass
        own.kill()
        own.wait()
    # Its record lies there still, and nobody is found by it.
    assert (tmp_path / running.RECORD).exists()
    assert find(tmp_path) is None


def test_an_end_in_order_leaves_no_record(tmp_path: Path) -> None:
    with held(tmp_path):
        record(tmp_path, HUB)
        assert is_held(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [running.LOCK]
    with held(tmp_path):
        assert (tmp_path / running.LOCK).read_text() == str(os.getpid())


def test_a_hub_that_has_not_said_where_it_is_is_not_found(tmp_path: Path) -> None:
    with held(tmp_path):
        assert find(tmp_path) is None
        (tmp_path / running.RECORD).write_text("{")
        assert find(tmp_path) is None


def test_who_looks_does_not_keep_a_hub_from_starting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with held(tmp_path):
        looking = os.open(tmp_path / running.LOCK, os.O_RDWR)
    assert running._locked(looking)
    pauses: list[float] = []

    def looked(seconds: float) -> None:
        pauses.append(seconds)
        os.close(looking)

    monkeypatch.setattr(time, "sleep", looked)
    with held(tmp_path):
        assert len(pauses) == 1


def test_without_locks_a_record_is_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "find_spec", lambda _: None)
    assert find(tmp_path) is None
    record(tmp_path, HUB)
    assert find(tmp_path) == HUB
