"""Blobs for an actor: content up and down over the bus, on every transport, in the name of the call it is done for."""

import asyncio
import os
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import BinaryIO

from bus import Code, RpcError, invalid
from bus.channel import Channel
from bus.context import duration
from bus.stream import MAX_PIECE
from troupe.blob.v1 import (
    BlobInfo,
    BlobServiceClient,
    DeleteRequest,
    DownloadRequest,
    HoldRequest,
    Reference,
    ReleaseRequest,
    StatRequest,
    UploadBegin,
    UploadRequest,
)

MAX_IN_MEMORY = 64 * 1024 * 1024
"""What `read` gives at most; larger blobs are fetched into files."""

DATA_BYTES = MAX_PIECE - 16
READ_BYTES = 1024 * 1024

Content = bytes | Path | AsyncIterator[bytes]


class Blobs:
    """What the hub keeps of large content. References may be given as they are in messages, or as ids.

    Calls are made for whoever the running call is made for, and find what belongs to them. Everything raises RpcError
    and nothing else: NOT_FOUND (BLOB_NOT_FOUND) also for somebody else's, what BlobService's methods say, and
    UNAVAILABLE while nobody keeps blobs.
    """

    def __init__(self, channel: Channel) -> None:
        self._client = BlobServiceClient(channel)

    async def put(
        self, content: Content, *, media_type: str = "", filename: str = "", expires_in: float | None = None
    ) -> Reference:
        """Keep it. content: bytes, a file, or pieces as they are made. expires_in: seconds; None: as the hub is set.

        Raises INVALID_ARGUMENT (FILE_UNREADABLE). What a cancelled put has sent is removed.
        """
        begin = UploadBegin(media_type=media_type, filename=filename)
        if expires_in is not None:
            begin.expires_in.CopyFrom(duration(expires_in))
        if not isinstance(content, AsyncIterator):
            begin.size = len(content) if isinstance(content, bytes) else (await _stat(content)).st_size
        return (await self._client.upload(_steps(begin, content))).blob.reference

    async def read(self, reference: Reference | str, limit: int = MAX_IN_MEMORY) -> bytes:
        """All of it. Raises RESOURCE_EXHAUSTED (MESSAGE_TOO_LARGE) above `limit` before anything is read."""
        size = (await self.info(reference)).size
        if size > limit:
            message = f"The blob has {size:,} bytes, and {limit:,} are wanted at most; fetch it into a file."
            raise RpcError(Code.RESOURCE_EXHAUSTED, message, reason="MESSAGE_TOO_LARGE")
        return b"".join([piece async for piece in self.pieces(reference)])

    async def pieces(
        self, reference: Reference | str, offset: int = 0, length: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """It as it comes, or a range of it. Leaving the iterator ends the call."""
        request = DownloadRequest(id=_id(reference), offset=offset)
        if length is not None:
            request.length = length
        async with aclosing(self._client.download(request)) as responses:
            async for response in responses:
                if response.data:
                    yield response.data

    async def fetch(self, reference: Reference | str, path: Path) -> None:
        """Write it to `path`, which appears or changes only when it is whole.

        Raises INVALID_ARGUMENT (FILE_UNWRITABLE).
        """
        try:
            descriptor, beside = await asyncio.to_thread(tempfile.mkstemp, dir=path.parent, prefix=f".{path.name}.")
        except OSError as error:
            raise _unwritable(path, error) from error
        try:
            with os.fdopen(descriptor, "wb") as target:
                await self._write(reference, target)
            await asyncio.to_thread(os.replace, beside, path)
        except BaseException as error:
            Path(beside).unlink(missing_ok=True)  # noqa: ASYNC240  # at once, also while being cancelled
            if isinstance(error, OSError):
                raise _unwritable(path, error) from error
            raise

    async def _write(self, reference: Reference | str, target: BinaryIO) -> None:
        waiting: list[bytes] = []
        async with aclosing(self.pieces(reference)) as pieces:
            async for piece in pieces:
                waiting.append(piece)
                if len(waiting) * DATA_BYTES >= READ_BYTES:
                    await asyncio.to_thread(target.writelines, waiting)
                    waiting.clear()
        await asyncio.to_thread(target.writelines, waiting)

    async def info(self, reference: Reference | str) -> BlobInfo:
        """What is known of it."""
        return (await self._client.stat(StatRequest(id=_id(reference)))).blob

    async def delete(self, reference: Reference | str) -> None:
        """Remove it; afterwards no file of the hub has a byte of it."""
        await self._client.delete(DeleteRequest(id=_id(reference)))

    async def hold(self, reference: Reference | str, holder: str) -> None:
        """Keep it from expiring while this holder needs it, for example "conversation/4711"."""
        await self._client.hold(HoldRequest(id=_id(reference), holder=holder))

    async def release(self, reference: Reference | str, holder: str, *, delete_unheld: bool = False) -> bool:
        """This holder needs it no longer; whether it was deleted with its last holder."""
        request = ReleaseRequest(id=_id(reference), holder=holder, delete_unheld=delete_unheld)
        return (await self._client.release(request)).deleted


def _id(reference: Reference | str) -> str:
    """Raises INVALID_ARGUMENT (NOT_A_BLOB) for content that is not in the store, such as a data URL."""
    uri = reference.uri if isinstance(reference, Reference) else reference
    if isinstance(reference, Reference) and not uri.startswith("blob:"):
        raise invalid(f"{uri[:40]!r} is no blob of the hub.", "uri", reason="NOT_A_BLOB")
    return uri


async def _steps(begin: UploadBegin, content: Content) -> AsyncIterator[UploadRequest]:
    yield UploadRequest(begin=begin)
    if isinstance(content, AsyncIterator):
        async for piece in content:
            for part in _parts(piece):
                yield part
    elif isinstance(content, bytes):
        for part in _parts(content):
            yield part
    else:
        file = await _opened(content)
        with file:
            while read := await asyncio.to_thread(file.read, READ_BYTES):
                for part in _parts(read):
                    yield part


def _parts(data: bytes) -> list[UploadRequest]:
    return [UploadRequest(data=data[start : start + DATA_BYTES]) for start in range(0, len(data), DATA_BYTES)]


async def _stat(path: Path) -> os.stat_result:
    try:
        return await asyncio.to_thread(path.stat)
    except OSError as error:
        raise _unreadable(path, error) from error


async def _opened(path: Path) -> BinaryIO:
    try:
        return await asyncio.to_thread(path.open, "rb")
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> RpcError:
    return invalid(f"{path} cannot be read: {error.strerror}.", "content", reason="FILE_UNREADABLE")


def _unwritable(path: Path, error: OSError) -> RpcError:
    return invalid(f"{path} cannot be written: {error.strerror}.", "path", reason="FILE_UNWRITABLE")
