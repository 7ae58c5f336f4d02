"""SHA-256 of the files of models: computed once, beside everything else, and remembered in a table.

A list never waits for a hash: it tells those that are known. What is not is hashed one file after the other, in a
thread of the lowest priority, and what a file brings into the page cache is taken out of it again, so that the weights
of models that are in use stay there.
"""

import asyncio
import hashlib
import os
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple, Self

import structlog

from bus import RpcError
from store import Table, Tables, ended
from troupe.family.v1 import FileDigest

TABLE = "model_digests"
MOST = 10_000
"""Files that are remembered; over that, those that are not there any more are forgotten."""
PIECE = 4 << 20
START_SECONDS = 5.0
"""The hub's start has the machine for itself."""
AGAIN_SECONDS = 30.0
"""Until a store that is away, or a file that could not be read, is tried again."""

log = structlog.get_logger(__name__)


class Stamp(NamedTuple):
    """A file as it was when it was looked at."""

    path: Path
    size: int
    modified_ns: int


Files = tuple[Stamp, ...]
"""All files of a model, by name."""


def stamps(paths: Sequence[Path]) -> Files:
    """The files as they are now; none where one of them cannot be looked at. Blocks."""
    found = []
    for path in sorted(paths):
        try:
            seen = path.stat()
        except OSError:
            return ()
        found.append(Stamp(path, seen.st_size, seen.st_mtime_ns))
    return tuple(found)


class Digests:
    """An async context; leaving it ends the hashing that is under way.

    table: where they are remembered. told: called whenever one has become known. first: seconds until it begins.
    """

    def __init__(self, table: Tables, told: Callable[[], None], first: float = START_SECONDS) -> None:
        self._open = table
        self._told = told
        self._first = first
        self._known: dict[Stamp, bytes] = {}
        self._wanted: dict[Files, None] = {}
        self._news = asyncio.Event()
        self._stop = threading.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="digests of models")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        if self._task is not None:
            await ended(self._task)

    def of(self, files: Files) -> str:
        """As `Model.digest` has it; empty: it is not known yet."""
        if not files or not all(each in self._known for each in files):
            return ""
        hashes = [self._known[each] for each in files]
        if len(files) == 1:
            return f"sha256:{hashes[0].hex()}"
        lines = [f"{found.hex()}  {each.path.name}\n" for found, each in zip(hashes, files, strict=True)]
        return f"sha256:{hashlib.sha256(''.join(lines).encode()).hexdigest()}"

    def want(self, models: Sequence[Files]) -> None:
        """These are all models that there are; the unknown ones are hashed, the smallest first."""
        unknown = [files for files in models if files and not all(each in self._known for each in files)]
        self._wanted = dict.fromkeys(sorted(unknown, key=lambda files: sum(each.size for each in files)))
        if self._wanted:
            self._news.set()

    # ---- in the background

    async def _run(self) -> None:
        await asyncio.sleep(self._first)
        table = await self._opened()
        async with _niced() as thread:
            while True:
                self._news.clear()
                while self._wanted:
                    files = next(iter(self._wanted))
                    del self._wanted[files]
                    for each in files:
                        if each not in self._known:
                            await self._learn(table, thread, each)
                    self._told()
                await self._news.wait()

    async def _opened(self) -> Table[FileDigest]:
        """The table, after what it remembers is known here."""
        while True:
            try:
                table = await self._open(TABLE, FileDigest)
                await self._read(table)
            except RpcError as error:
                log.warning("digests.unread", error=error.message)
                await asyncio.sleep(AGAIN_SECONDS)
            else:
                self._told()
                return table

    async def _read(self, table: Table[FileDigest]) -> None:
        rows = []
        async with aclosing(table.watch()) as changes:
            async for change in changes:
                if change is None:
                    break
                if change.value is not None:
                    rows.append((change.key, change.value))
        for key, row in rows:
            if len(rows) > MOST and not await asyncio.to_thread(os.path.exists, row.path):
                await table.delete(key)
            else:
                self._known[Stamp(Path(row.path), row.size_bytes, row.modified_ns)] = row.sha256
        self.want(list(self._wanted))

    async def _learn(self, table: Table[FileDigest], thread: ThreadPoolExecutor, stamp: Stamp) -> None:
        """Hash a file and remember it. One that changes meanwhile comes again under another stamp."""
        hashing = asyncio.get_running_loop().run_in_executor(thread, sha256_of, stamp.path, self._stop)
        try:
            found = await asyncio.shield(hashing)
        except asyncio.CancelledError:
            self._stop.set()
            await asyncio.gather(hashing, return_exceptions=True)
            raise
        except OSError as problem:
            log.info("digest.unread", path=str(stamp.path), error=problem.strerror)
            return
        if found is None or await asyncio.to_thread(stamps, [stamp.path]) != (stamp,):
            return
        self._known[stamp] = found
        row = FileDigest(path=str(stamp.path), size_bytes=stamp.size, modified_ns=stamp.modified_ns, sha256=found)
        try:
            await table.put(hashlib.sha256(row.path.encode()).hexdigest(), row)
        except RpcError as error:
            log.warning("digest.unwritten", path=row.path, error=error.message)


@asynccontextmanager
async def _niced() -> AsyncIterator[ThreadPoolExecutor]:
    """A thread that computes when nobody else wants to."""
    thread = ThreadPoolExecutor(1, "digests", initializer=_give_way)
    try:
        yield thread
    finally:
        thread.shutdown(wait=False, cancel_futures=True)


def _give_way() -> None:
    """On Linux a thread has a priority of its own."""
    if hasattr(os, "setpriority"):
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)


def sha256_of(path: Path, stop: threading.Event) -> bytes | None:
    """The hash of a file, read in pieces; None once `stop` is set. Raises OSError. Blocks."""
    digest, offset, piece = hashlib.sha256(), 0, bytearray(PIECE)
    with path.open("rb", buffering=0) as file:
        while not stop.is_set():
            count, cached = _read(file.fileno(), piece, offset)
            if not count:
                return digest.digest()
            digest.update(memoryview(piece)[:count])
            if not cached:
                _forget(file.fileno(), offset, count)
            offset += count
    return None


def _read(file: int, into: bytearray, offset: int) -> tuple[int, bool]:
    """Bytes that were read, and whether they lay in the page cache before."""
    nowait = getattr(os, "RWF_NOWAIT", None)
    if nowait is not None:
        try:
            count = os.preadv(file, [into], offset, nowait)
        except OSError:  # they do not, or the file system cannot tell
            pass
        else:
            if count:
                return count, True
    return os.preadv(file, [into], offset), False


def _forget(file: int, offset: int, count: int) -> None:
    if hasattr(os, "posix_fadvise"):
        with suppress(OSError):
            os.posix_fadvise(file, offset, count, os.POSIX_FADV_DONTNEED)
