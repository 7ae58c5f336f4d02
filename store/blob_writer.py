"""Content on its way into a file: hashed and written beside the loop, while the next of it comes."""

import asyncio
import errno
import hashlib
import os
import shutil
from pathlib import Path
from typing import BinaryIO

from bus.errors import Code, RpcError
from store.blobs import beyond, full, too_large

BATCH_BYTES = 1024 * 1024
"""So much is handed to a thread at once; twice as much is in memory at most."""

CHECK_BYTES = 32 * 1024 * 1024
"""After so much it is seen whether the disk still has room."""


class BlobWriter:
    """Writes one file, from `offset` on. Made by `open`, ended by `finish` or `close`.

    size: bytes of the file so far. Another task may `close` it while one writes, whose next `write` then raises
    ABORTED. A cancelled `write` leaves the writer fit for `close`, which keeps what came.
    """

    def __init__(
        self, file: BinaryIO, digest: "hashlib._Hash", size: int, limit: int, free: int, *, scarce: bool = False
    ) -> None:
        self.size = size
        self._file = file
        self._digest = digest
        self._limit = limit
        self._scarce = scarce
        self._free = free
        self._checked = size
        self._chunks: list[bytes] = []
        self._waiting = 0
        self._flushing: asyncio.Future[None] | None = None
        self._turn = asyncio.Lock()

    @classmethod
    async def open(
        cls, path: Path, *, limit: int, free: int = 0, offset: int = 0, scarce: bool = False
    ) -> "BlobWriter":
        """Go on in a file that exists; what is behind `offset` is cut off.

        limit: bytes of the whole file. free: bytes of the disk that must stay free. scarce: there is no room for more
        than the limit, which the content itself could have. Raises OSError where it cannot be opened, OUT_OF_RANGE
        (BLOB_RANGE) if it is shorter than `offset`.
        """
        file, digest = await asyncio.to_thread(_opened, path, offset)
        return cls(file, digest, offset, limit, free, scarce=scarce)

    async def write(self, data: bytes) -> None:
        """The next bytes. Raises RESOURCE_EXHAUSTED (MESSAGE_TOO_LARGE, STORE_FULL), ABORTED (UPLOAD_TAKEN_OVER)."""
        async with self._turn:
            self._check_open()
            if self.size + len(data) > self._limit:
                raise self._excess(self.size + len(data))
            self.size += len(data)
            self._chunks.append(data)
            self._waiting += len(data)
            if self._waiting >= BATCH_BYTES:
                await self._flush()

    def _excess(self, size: int) -> RpcError:
        if self._scarce:
            return full(f"there is room for {self._limit:,} bytes of this content, and it has more")
        return too_large(size, self._limit)

    def _check_open(self) -> None:
        if self._file.closed:
            message = "The upload was continued by another call, or deleted."
            raise RpcError(Code.ABORTED, message, reason="UPLOAD_TAKEN_OVER")

    async def _flush(self) -> None:
        await self._settled()
        chunks, self._chunks, self._waiting = self._chunks, [], 0
        self._flushing = asyncio.get_running_loop().run_in_executor(None, self._put, chunks, self.size)

    async def _settled(self) -> None:
        if self._flushing is None:
            return
        try:
            await asyncio.shield(self._flushing)
        except OSError as error:
            raise _of_disk(error) from error

    def _put(self, chunks: list[bytes], size: int) -> None:
        if size - self._checked >= CHECK_BYTES:
            self._checked = size
            free = shutil.disk_usage(self._file.name).free
            if free < self._free:
                raise OSError(errno.ENOSPC, f"the disk has {free:,} bytes left")
        for chunk in chunks:
            self._digest.update(chunk)
            _write_all(self._file, chunk)

    async def finish(self) -> tuple[int, str]:
        """All of it is on the disk: its size and SHA-256. Raises as `write`."""
        async with self._turn:
            self._check_open()
            await self._flush()
            await self._settled()
            try:
                await asyncio.to_thread(self._end)
            except OSError as error:
                raise _of_disk(error) from error
        return self.size, self._digest.hexdigest()

    def _end(self) -> None:
        os.fdatasync(self._file.fileno())
        self._file.close()

    async def close(self) -> None:
        """Let go of the file; what came is kept, as far as it could be written. Closing twice does nothing."""
        async with self._turn:
            if self._file.closed:
                return
            if self._flushing is not None:
                await asyncio.wait([self._flushing])
                broken = self._flushing.cancelled() or self._flushing.exception() is not None
                self._chunks = [] if broken else self._chunks
            await asyncio.to_thread(self._keep)

    def _keep(self) -> None:
        try:
            for chunk in self._chunks:
                _write_all(self._file, chunk)
        except OSError:  # the disk is full; less is kept
            pass
        finally:
            self._file.close()


def _write_all(file: BinaryIO, chunk: bytes) -> None:
    """Unbuffered files may take less than they are given, when the disk is nearly full."""
    written = file.write(chunk)
    while written < len(chunk):
        written += file.write(memoryview(chunk)[written:])


def _opened(path: Path, offset: int) -> "tuple[BinaryIO, hashlib._Hash]":
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    file = os.fdopen(descriptor, "r+b", buffering=0)
    digest = hashlib.sha256()
    left = offset
    try:
        while left and (read := file.read(min(left, BATCH_BYTES))):
            digest.update(read)
            left -= len(read)
        if left:
            raise beyond(offset, offset - left)
        file.truncate(offset)
    except BaseException:
        file.close()
        raise
    file.seek(offset)
    return file, digest


def _of_disk(error: OSError) -> RpcError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return full(error.strerror or "the disk is full")
    return RpcError(Code.INTERNAL, f"The content could not be written: {error}.", reason="STORE_FAILED")
