"""Reading into the page cache: what is missing, in turn with others, told, and given up."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from actors.model import disk_reading
from actors.model.disk_reading import DiskReader, Given, Piece, fill_cache, missing

PATIENCE_SECONDS = 30.0
CHUNK = 1 << 18
LITTLE = 1 << 20
SIZE = LITTLE + CHUNK // 2


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of which nothing is in the cache, and that is no little work."""
    monkeypatch.setattr("actors.model.disk_turns.LITTLE_BYTES", LITTLE)
    monkeypatch.setattr(disk_reading, "CHUNK", CHUNK)
    path = tmp_path / "weights.gguf"
    path.write_bytes(os.urandom(SIZE))
    forget(path)
    return path


def forget(path: Path) -> None:
    """Let the system drop what it has cached of a file."""
    with path.open("rb") as opened:
        os.fsync(opened.fileno())
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


class Load:
    """One load that reads, and what it has told."""

    def __init__(self, name: str, home: Path, read: Callable[[int, int, int], bytes] = os.pread) -> None:
        self.shares: list[float] = []
        self.notes: list[str] = []
        self.waiting, self.given_up = threading.Event(), threading.Event()
        self.reader = DiskReader(
            name, home, told=self.shares.append, waits=self._waits, given_up=self.given_up, read=read
        )

    def run(self, pieces: list[Piece]) -> None:
        with suppress(Given):
            self.reader.read(pieces)

    def _waits(self, note: str, seconds: float | None) -> None:
        self.notes.append(note)
        self.waiting.set()


class Held:
    """Reads when it is let."""

    def __init__(self) -> None:
        self.began, self.let = threading.Event(), threading.Event()

    def read(self, file: int, size: int, offset: int) -> bytes:
        self.began.set()
        assert self.let.wait(PATIENCE_SECONDS)
        return os.pread(file, size, offset)


def test_what_lies_in_the_cache_is_not_missing(file: Path, tmp_path: Path) -> None:
    cold = missing([file])
    assert sum(piece.size for piece in cold) == SIZE
    assert {piece.disk for piece in cold} == {file.stat().st_dev}
    load = Load("small", tmp_path)
    load.reader.read(cold)
    assert missing([file]) == []
    assert load.shares == sorted(load.shares)
    assert (load.shares[0], load.shares[-1], load.notes) == (0.0, 1.0, [])


def test_a_part_that_is_cached_is_left_out(file: Path) -> None:
    with file.open("rb") as opened:
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_RANDOM)  # no reading ahead
        os.pread(opened.fileno(), CHUNK, 2 * CHUNK)
    found = [piece.offset for piece in missing([file])]
    assert 2 * CHUNK not in found
    assert {0, CHUNK, 4 * CHUNK} <= set(found)


def test_what_cannot_be_read_is_left_to_the_engine(tmp_path: Path, file: Path) -> None:
    (tmp_path / "empty").touch()
    assert missing([tmp_path / "absent", tmp_path, tmp_path / "empty"]) == []
    pieces = missing([file])
    file.unlink()
    Load("gone", tmp_path).reader.read(pieces)


def test_of_two_loads_from_one_disk_the_second_waits_and_is_told_for_whom(file: Path, tmp_path: Path) -> None:
    held, pieces = Held(), missing([file])
    first, second = Load("first", tmp_path, held.read), Load("second", tmp_path)
    threads = [threading.Thread(target=load.run, args=(pieces,)) for load in (first, second)]
    threads[0].start()
    assert held.began.wait(PATIENCE_SECONDS)
    threads[1].start()
    assert second.waiting.wait(PATIENCE_SECONDS)
    assert second.notes == ["Waits for the disk: first is being read, 1 MB are left."]
    assert second.shares == []
    held.let.set()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert (first.shares[-1], second.shares[-1]) == (1.0, 1.0)


def test_little_does_not_wait(file: Path, tmp_path: Path) -> None:
    held, pieces = Held(), missing([file])
    first, second = Load("first", tmp_path, held.read), Load("second", tmp_path)
    thread = threading.Thread(target=first.run, args=(pieces,))
    thread.start()
    assert held.began.wait(PATIENCE_SECONDS)
    second.reader.read(pieces[:1])
    assert (second.notes, second.shares[-1]) == ([], 1.0)
    held.let.set()
    thread.join(PATIENCE_SECONDS)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_holder_that_is_killed_or_stopped_holds_nobody_up(
    file: Path, tmp_path: Path, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.model.disk_turns.STALE_SECONDS", 0.2)
    text = (
        "import sys, threading\n"
        "from pathlib import Path\n"
        "from actors.model import disk_turns\n"
        "from actors.model.disk_reading import DiskReader, missing\n"
        f"disk_turns.LITTLE_BYTES = {LITTLE}\n"
        "def read(*_):\n"
        "    print('reads', flush=True)\n"
        "    threading.Event().wait()\n"
        "nothing = lambda *_: None\n"
        "reader = DiskReader('other', Path(sys.argv[2]), told=nothing, waits=nothing, given_up=threading.Event(), "
        "read=read)\n"
        "reader.read(missing([Path(sys.argv[1])]))\n"
    )
    pieces = missing([file])
    with subprocess.Popen(
        [sys.executable, "-c", text, str(file), str(tmp_path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as other:
        try:
            assert other.stdout is not None and other.stdout.readline() == b"reads\n"
            os.kill(other.pid, number)
            load = Load("mine", tmp_path)
            load.reader.read(pieces)
            assert load.shares[-1] == 1.0
        finally:
            other.kill()


async def test_reading_that_is_cancelled_ends_within_a_chunk_also_while_it_waits(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, pieces = Held(), missing([file])
    first = Load("first", tmp_path, held.read)
    thread = threading.Thread(target=first.run, args=(pieces,))
    thread.start()
    assert await asyncio.to_thread(held.began.wait, PATIENCE_SECONDS)
    waits: asyncio.Queue[str] = asyncio.Queue()
    shares: list[float] = []
    filling = asyncio.create_task(
        fill_cache("second", tmp_path, lambda: [file], told=shares.append, waits=lambda note, _: waits.put_nowait(note))
    )
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert "first is being read" in await waits.get()
        filling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await filling
    assert shares == []
    first.given_up.set()
    held.let.set()
    thread.join(PATIENCE_SECONDS)
    assert first.shares[-1] < 1.0


async def test_a_file_that_is_cached_is_told_of_in_no_word(file: Path, tmp_path: Path) -> None:
    file.read_bytes()
    said: list[object] = []
    await fill_cache("warm", tmp_path, lambda: [file], told=said.append, waits=lambda *given: said.append(given))
    assert said == []


def test_where_no_lock_can_be_had_it_reads_all_the_same(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cache").write_text("no folder")
    load = Load("small", tmp_path)
    load.reader.read(missing([file]))
    assert load.shares[-1] == 1.0


def test_given_up_before_it_begins_it_reads_nothing(file: Path, tmp_path: Path) -> None:
    load = Load("small", tmp_path)
    load.given_up.set()
    with pytest.raises(Given):
        load.reader.read([Piece(0, file, 0, 10)])
    assert disk_reading.missing([file])
