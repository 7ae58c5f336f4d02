"""Large content: files up and down, continued where a lost connection left them."""

import asyncio
import hashlib
import mimetypes
import os
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, suppress
from pathlib import Path
from typing import BinaryIO, Self

from google.protobuf.duration_pb2 import Duration

from bus.errors import Code, RpcError, invalid
from troupe.blob.v1 import (
    BlobInfo,
    BlobServiceClient,
    DeleteRequest,
    DownloadRequest,
    DownloadResponse,
    Reference,
    StatRequest,
    UploadBegin,
    UploadRequest,
)
from troupe_client.channel import GrpcChannel
from troupe_client.patience import Patience

DATA_BYTES = 48 * 1024 - 16
"""Bytes of one message, so that it fits one frame of the hub."""

READ_BYTES = 1024 * 1024
ASK_SECONDS = 10.0
"""How long asking how far an upload is may take, for each attempt."""

Told = Callable[[int, int], None]
"""Is told how many bytes are there, of how many."""


def _unheard(_there: int, _size: int) -> None:
    """Nobody wants to know."""


class Blobs:
    """What a hub keeps of large content. `service` is the typed client of everything else that it offers.

    References may be given as messages have them, or as ids.
    """

    def __init__(self, channel: GrpcChannel) -> None:
        self.service = BlobServiceClient(channel)
        self._channel = channel

    async def upload(
        self,
        content: Path | bytes,
        *,
        media_type: str = "",
        filename: str | None = None,
        expires_in: float | None = None,
        told: Told = _unheard,
    ) -> Reference:
        """Keep a file, or bytes; what messages name it by.

        media_type: empty: by the file's name. filename: None: the file's own. expires_in: seconds after which it is
        deleted; None: as the hub is set. After a lost connection it goes on where the hub has it. Raises RpcError:
        INVALID_ARGUMENT (FILE_UNREADABLE), RESOURCE_EXHAUSTED (MESSAGE_TOO_LARGE, STORE_FULL), and what calls raise.
        When it is cancelled, the hub keeps what it has for a day under a name that nobody knows.
        """
        name = (content.name if isinstance(content, Path) else "") if filename is None else filename
        source = await asyncio.to_thread(_Source, content)
        with source:
            begin = UploadBegin(
                media_type=media_type or mimetypes.guess_type(name)[0] or "",
                filename=name,
                size=source.size,
                upload_id=secrets.token_urlsafe(24),
            )
            if expires_in is not None:
                begin.expires_in.CopyFrom(_duration(expires_in))
            return (await self._uploaded(begin, source, told)).reference

    async def _uploaded(self, begin: UploadBegin, source: "_Source", told: Told) -> BlobInfo:
        patience = Patience(self._channel.patience)
        while True:
            try:
                return (await self.service.upload(_steps(begin, source, told))).blob
            except RpcError as error:
                if error.code not in (Code.UNAVAILABLE, Code.ABORTED):
                    raise
                await asyncio.sleep(patience.delay(error))
            known = await self._known(begin.upload_id)
            if known.complete:  # its answer was lost, and nothing else
                return known
            if known.size > begin.offset:
                patience.renew()
            begin.offset = known.size

    async def _known(self, upload_id: str) -> BlobInfo:
        try:
            return (await self.service.stat(StatRequest(upload_id=upload_id), timeout=ASK_SECONDS)).blob
        except RpcError as error:
            if error.reason == "BLOB_NOT_FOUND":  # its beginning did not arrive
                return BlobInfo()
            raise

    async def download(self, reference: Reference | str, path: Path, *, told: Told = _unheard) -> BlobInfo:
        """Write a blob to `path`, which appears or changes only when it is whole and its SHA-256 is right.

        After a lost connection it goes on where it stopped. Raises RpcError: NOT_FOUND (BLOB_NOT_FOUND),
        INVALID_ARGUMENT (FILE_UNWRITABLE), DATA_LOSS (DIGEST_MISMATCH). Failed or cancelled it leaves nothing.
        """
        part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        try:
            with await asyncio.to_thread(part.open, "xb") as target:
                known = await self._downloaded(reference, target, told)
            await asyncio.to_thread(part.replace, path)
        except OSError as error:
            raise invalid(f"{path} cannot be written: {error.strerror}.", "path", reason="FILE_UNWRITABLE") from error
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)
        return known

    async def _downloaded(self, reference: Reference | str, target: BinaryIO, told: Told) -> BlobInfo:
        info = await self.info(reference)
        digest, received = hashlib.sha256(), 0
        async with aclosing(self.pieces(reference)) as pieces:
            async for piece in pieces:
                await asyncio.to_thread(_take, target, digest, piece)
                received += len(piece)
                told(received, info.size)
        if digest.hexdigest() != info.sha256:
            raise RpcError(Code.DATA_LOSS, "The blob came damaged; fetch it again.", reason="DIGEST_MISMATCH")
        return info

    async def pieces(
        self, reference: Reference | str, offset: int = 0, length: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """A blob as it comes, or a range of it, in pieces of about 1 MiB. Continued like a download."""
        patience = Patience(self._channel.patience)
        end = None if length is None else offset + length
        while True:
            request = DownloadRequest(id=_id(reference), offset=offset)
            if end is not None:
                request.length = end - offset
            try:
                async with aclosing(_joined(self.service.download(request))) as joined:
                    async for piece in joined:
                        offset += len(piece)
                        patience.renew()
                        yield piece
                return
            except RpcError as error:
                if error.code is not Code.UNAVAILABLE:
                    raise
                await asyncio.sleep(patience.delay(error))

    async def info(self, reference: Reference | str) -> BlobInfo:
        """What is known of a blob. Raises NOT_FOUND (BLOB_NOT_FOUND), also for somebody else's."""
        return (await self.service.stat(StatRequest(id=_id(reference)))).blob

    async def delete(self, reference: Reference | str) -> None:
        """Remove a blob; afterwards no file of the hub has a byte of it."""
        await self.service.delete(DeleteRequest(id=_id(reference)))


class _Source:
    """What is uploaded, readable from any byte on."""

    def __init__(self, content: Path | bytes) -> None:
        self._data = content if isinstance(content, bytes) else b""
        self._file: BinaryIO | None = None
        self.size = len(self._data)
        if isinstance(content, Path):
            try:
                self._file = content.open("rb")
                self.size = os.fstat(self._file.fileno()).st_size
            except OSError as error:
                message = f"{content} cannot be read: {error.strerror}."
                raise invalid(message, "content", reason="FILE_UNREADABLE") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def read(self, offset: int) -> bytes:
        """From there on, at most 1 MiB; empty at the end."""
        if self._file is None:
            return self._data[offset : offset + READ_BYTES]
        self._file.seek(offset)
        return self._file.read(min(READ_BYTES, max(0, self.size - offset)))


async def _steps(begin: UploadBegin, source: _Source, told: Told) -> AsyncIterator[UploadRequest]:
    yield UploadRequest(begin=begin)
    offset = begin.offset
    while read := await asyncio.to_thread(source.read, offset):
        for start in range(0, len(read), DATA_BYTES):
            yield UploadRequest(data=read[start : start + DATA_BYTES])
        offset += len(read)
        told(offset, source.size)


async def _joined(responses: AsyncGenerator[DownloadResponse, None]) -> AsyncGenerator[bytes, None]:
    parts: list[bytes] = []
    size = 0
    async for response in responses:
        parts.append(response.data)
        size += len(response.data)
        if size >= READ_BYTES:
            yield b"".join(parts)
            parts, size = [], 0
    if size:
        yield b"".join(parts)


def _take(target: BinaryIO, digest: "hashlib._Hash", piece: bytes) -> None:
    digest.update(piece)
    target.write(piece)


def _id(reference: Reference | str) -> str:
    return reference.uri if isinstance(reference, Reference) else reference


def _duration(seconds: float) -> Duration:
    value = Duration()
    value.FromNanoseconds(int(seconds * 1e9))
    return value
