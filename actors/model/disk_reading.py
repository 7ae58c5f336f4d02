"""Reading a model's files into the page cache before its engine opens them: in order, and one model at a time.

Engines map their files, so that the disk is read wherever they happen to look first. Read in order beforehand, it gives
all it can, and how far that is can be told. The token of a disk is a lock on a file of the home: the kernel gives it
back whatever becomes of its holder.
"""

import asyncio
import ctypes
import mmap
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import msgspec

from actors.model.disk_turns import Read, Reading, Turn

CHUNK = 8 << 20
"""Bytes that are read at once, and whose place in the cache is asked for at once."""
ASK_SECONDS = 0.1
"""Between two tries for the token."""
TELL_SECONDS = 0.25
"""Between two words of the holder to those that wait."""
MAX_WORD = 4096


class Given(Exception):
    """Reading was given up."""


async def fill_cache(
    model: str,
    home: Path,
    files: Callable[[], Sequence[Path]],
    *,
    told: Callable[[float], None],
    waits: Callable[[str, float | None], None],
) -> None:
    """Return when a model's files are in the page cache, as far as they could be read. See `DiskReader`.

    files: which they are; may block, as all of this does in a thread. Cancelled, reading ends within a chunk.
    """
    loop, given_up = asyncio.get_running_loop(), threading.Event()

    def soon(call: Callable[..., None]) -> Callable[..., None]:
        return lambda *given: None if given_up.is_set() else tell(call, *given)

    def tell(call: Callable[..., None], *given: object) -> None:
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(call, *given)

    def work() -> None:
        reader = DiskReader(model, home, told=soon(told), waits=soon(waits), given_up=given_up)
        with suppress(Given):
            reader.read(missing(files()))

    reading = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        await asyncio.shield(reading)
    except asyncio.CancelledError:
        given_up.set()
        await asyncio.wait([reading])
        raise


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a file that is not in the cache. disk: the number of the device that it lies on."""

    disk: int
    path: Path
    offset: int
    size: int


def missing(files: Sequence[Path]) -> list[Piece]:
    """What of these files has to come from a disk; what cannot be told is taken to be there. Takes 10 ms a gigabyte.

    Whoever may not write a file is not told by the kernel what of it is cached, and hears that all is.
    """
    return [piece for path in files for piece in _missing_of(path)]


def _missing_of(path: Path) -> Iterator[Piece]:
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if status.st_size == 0:
                return
            for offset, cached in _cached(file.fileno(), status.st_size):
                if not cached:
                    size = min(CHUNK, status.st_size - offset)
                    yield Piece(status.st_dev, path, offset, size)
    except (OSError, ValueError):
        return


def _cached(file: int, size: int) -> Iterator[tuple[int, bool]]:
    """Of each chunk its offset, and whether all of it is in the page cache."""
    try:
        mincore = ctypes.CDLL(None, use_errno=True).mincore
    except (AttributeError, OSError):  # Windows
        return
    # A private mapping that may be written gives its address; nothing is written.
    with mmap.mmap(file, size, access=mmap.ACCESS_COPY) as mapped:
        first = ctypes.c_char.from_buffer(mapped)
        address = ctypes.addressof(first)
        del first
        pages = (ctypes.c_ubyte * (CHUNK // mmap.PAGESIZE))()
        for offset in range(0, size, CHUNK):
            length = min(CHUNK, size - offset)
            count = -(-length // mmap.PAGESIZE)
            failed = mincore(ctypes.c_void_p(address + offset), ctypes.c_size_t(length), pages)
            yield offset, bool(failed) or all(page & 1 for page in pages[:count])


class DiskReader:
    """Reads what a model lacks in the cache, from each disk in its turn. For one thread.

    model: for those who wait. home: where the locks lie. told: hears the share that is read of what was missing, 0 to
    1. waits: hears what is waited for, with seconds or None, whenever that is news. given_up: set, reading ends within
    a chunk.
    """

    def __init__(
        self,
        model: str,
        home: Path,
        *,
        told: Callable[[float], None],
        waits: Callable[[str, float | None], None],
        given_up: threading.Event,
        read: Callable[[int, int, int], bytes] = os.pread,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model = model
        self._folder = home / "cache" / "disks"
        self._told = told
        self._waits = waits
        self._given_up = given_up
        self._read = read
        self._clock = clock
        self._done = 0
        self._all = 0

    def read(self, pieces: Sequence[Piece]) -> None:
        """Read all of them. Raises Given where that is given up; a file that cannot be read is left to its engine."""
        self._all = sum(piece.size for piece in pieces)
        for disk in sorted({piece.disk for piece in pieces}):
            self._read_from(disk, [piece for piece in pieces if piece.disk == disk])

    def _read_from(self, disk: int, pieces: Sequence[Piece]) -> None:
        turn = Turn(sum(piece.size for piece in pieces), self._clock())
        token = self._token(disk) if turn.wants_token else None
        try:
            beside = self._wait(turn, token)
            self._read_all(pieces, turn, None if beside else token)
        finally:
            if token is not None:
                os.close(token)

    def _token(self, disk: int) -> int | None:
        """The file whose lock is the token, opened; None: there is no place for it, and nobody waits."""
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            name = f"{os.major(disk)}-{os.minor(disk)}"
            return os.open(self._folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return None

    def _wait(self, turn: Turn, token: int | None) -> bool:
        """Return when it may read; True: beside another one."""
        if token is None:
            return True
        told = ""
        while True:
            got = _locked(token)
            decided = turn.decide(None if got else _word(token), self._clock(), got=got)
            if isinstance(decided, Read):
                return decided.beside
            if decided.note != told:
                told = decided.note
                self._waits(decided.note, decided.seconds)
            self._check(ASK_SECONDS)

    def _check(self, within: float = 0.0) -> None:
        """Raises Given where reading is given up within so many seconds; else returns after them."""
        if self._given_up.wait(within):
            raise Given

    def _read_all(self, pieces: Sequence[Piece], turn: Turn, token: int | None) -> None:
        began, last, before = self._clock(), float("-inf"), turn.left
        with _Files() as files, suppress(OSError):
            self._told(self._done / self._all)
            for piece in pieces:
                self._check()
                now = self._clock()
                if token is not None and now - last >= TELL_SECONDS:
                    last, speed = now, (before - turn.left) / max(now - began, 1e-6)
                    _say(token, Reading(self._model, turn.left, speed, now))
                self._read(files.open(piece.path), piece.size, piece.offset)
                turn.left -= piece.size
                self._done += piece.size
                self._told(self._done / self._all)


class _Files:
    """The file that is being read, opened once for all its pieces."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file >= 0:
            os.close(self._file)

    def open(self, path: Path) -> int:
        if path != self._path:
            self.__exit__()
            self._path, self._file = None, -1
            self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            self._path = path
        return self._file


def _locked(token: int) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows: nobody waits for anybody
        return True
    try:
        fcntl.flock(token, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _say(token: int, reading: Reading) -> None:
    """Tell those that wait; what cannot be written is not told."""
    with suppress(OSError):
        os.pwrite(token, msgspec.json.encode(reading).ljust(MAX_WORD), 0)


def _word(token: int) -> Reading | None:
    """What the holder told last; None: nothing that can be read."""
    try:
        return msgspec.json.decode(os.pread(token, MAX_WORD, 0), type=Reading)
    except (OSError, msgspec.MsgspecError):
        return None
