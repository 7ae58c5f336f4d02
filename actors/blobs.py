"""Keeps content that is too large for a message, for whoever put it there."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import structlog
from google.protobuf.timestamp_pb2 import Timestamp

from bus import Code, Context, RpcError, invalid
from bus.stream import MAX_PIECE
from store import BlobFiles, BlobLimits, BlobRow, BlobWriter, NewBlob
from store.blobs import GIGABYTE, beyond, not_found
from troupe.blob.v1 import (
    AbandonRequest,
    AbandonResponse,
    BeginRequest,
    BeginResponse,
    BlobFileService,
    BlobInfo,
    BlobService,
    DeleteRequest,
    DeleteResponse,
    DownloadRequest,
    DownloadResponse,
    FinishRequest,
    FinishResponse,
    HoldRequest,
    HoldResponse,
    LocateRequest,
    LocateResponse,
    Reference,
    ReleaseRequest,
    ReleaseResponse,
    StatRequest,
    StatResponse,
    UploadBegin,
    UploadRequest,
    UploadResponse,
)

READ_BYTES = 1024 * 1024
"""Read from the disk at once."""

DATA_BYTES = MAX_PIECE - 16
"""Bytes of one message of a download, so that it fits one frame."""

SWEEP_SECONDS = 10.0

T = TypeVar("T")
log = structlog.get_logger(__name__)


class BlobSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The section [actors.blobs]."""

    max_upload_bytes: int = 512 * 1024 * 1024
    """Bytes of one blob; over HTTP `[limits] max_upload_bytes` holds too. More is refused as soon as it is known."""

    max_total_bytes: int = 64 * GIGABYTE
    """Bytes of all blobs together."""

    min_free_bytes: int = GIGABYTE
    """Bytes that stay free of the disk."""

    expires_in_seconds: int = 0
    """After which a blob goes that did not say when, unless somebody holds it; 0: never."""


class BlobActor(BlobService, BlobFileService):
    """One process with a folder of its own; its disk work is done by one thread, so that no two steps of it meet."""

    def __init__(self, settings: BlobSettings, home: Path) -> None:
        self._settings = settings
        self._folder = home / "blobs"
        self._thread = ThreadPoolExecutor(1, "blobs")
        self._writers: dict[str, BlobWriter] = {}
        self._opening = asyncio.Lock()
        self._sweeping: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Take the folder and bring it in order; raises FAILED_PRECONDITION (BLOBS_IN_USE)."""
        own = self._settings
        limits = BlobLimits(own.max_upload_bytes, own.max_total_bytes, own.min_free_bytes)
        self._files = await self._do(BlobFiles, self._folder, limits)
        self._sweeping = asyncio.create_task(self._sweep())

    async def stop(self) -> None:
        """Let go of the folder."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            with suppress(asyncio.CancelledError):
                await self._sweeping
            await self._do(self._files.close)
        self._thread.shutdown()

    async def _do(self, work: Callable[..., T], *arguments: Any) -> T:
        """In the thread, to its end, even if the caller leaves."""
        done = asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)
        return await asyncio.shield(done)

    async def _sweep(self) -> None:
        while True:
            try:
                while await self._do(self._files.sweep, self._writers.__contains__):
                    pass
            except OSError as error:
                log.warning("blobs.not_swept", error=str(error))
            await asyncio.sleep(SWEEP_SECONDS)

    # ---- up

    async def upload(self, requests: AsyncIterator[UploadRequest], ctx: Context) -> UploadResponse:
        first = await anext(aiter(requests), UploadRequest())
        if first.WhichOneof("step") != "begin":
            raise invalid("The first message of an upload is its begin.", "begin")
        row, limit = await self._do(self._files.begin, ctx.principal, self._new(first.begin))
        kept = False
        try:
            writer = await self._writer(row, limit, first.begin.offset)
            try:
                await _write(writer, requests)
                size, sha256 = await writer.finish()
                row = await self._do(self._files.finish, row, size, sha256)
                kept = True
            finally:
                await self._leave(row, writer)
        finally:
            if not kept and not row.upload_id:
                await self._do(self._files.remove, row.id)
        return UploadResponse(blob=await self._info(row))

    def _new(self, begin: UploadBegin) -> NewBlob:
        seconds: float | None = self._settings.expires_in_seconds or None
        if begin.HasField("expires_in"):
            seconds = begin.expires_in.ToNanoseconds() / 1e9
        size = begin.size if begin.HasField("size") else None
        return NewBlob(begin.media_type, begin.filename, size, begin.sha256, seconds, begin.upload_id)

    async def _writer(self, row: BlobRow, limit: int, offset: int) -> BlobWriter:
        """A writer at this place; a call that writes the same upload has lost it, most likely with its connection."""
        async with self._opening:  # two that open one file at once would write into each other
            before = self._writers.pop(row.id, None)
            if before is not None:
                await before.close()
            try:
                free = self._settings.min_free_bytes
                writer = await BlobWriter.open(
                    self._files.partial(row.id),
                    limit=limit,
                    free=free,
                    offset=offset,
                    scarce=self._files.scarce(row, limit),
                )
            except FileNotFoundError:  # deleted meanwhile
                raise not_found(row.id) from None
            self._writers[row.id] = writer
            return writer

    async def _leave(self, row: BlobRow, writer: BlobWriter) -> None:
        if self._writers.get(row.id) is writer:
            del self._writers[row.id]
        await asyncio.shield(asyncio.ensure_future(writer.close()))

    # ---- down

    async def download(self, request: DownloadRequest, ctx: Context) -> AsyncIterator[DownloadResponse]:
        row = await self._whole(ctx, request.id)
        size = row.size or 0
        if request.offset > size:
            raise beyond(request.offset, size)
        end = min(size, request.offset + request.length) if request.HasField("length") else size
        descriptor = await self._do(self._opened, row)
        try:
            yield DownloadResponse(blob=await self._info(row))
            for start in range(request.offset, end, READ_BYTES):
                wanted = min(READ_BYTES, end - start)
                read = await asyncio.to_thread(os.pread, descriptor, wanted, start)
                if len(read) < wanted:  # it was cut to nothing: deleted
                    raise not_found(row.id)
                for place in range(0, wanted, DATA_BYTES):
                    yield DownloadResponse(data=read[place : place + DATA_BYTES])
        finally:
            os.close(descriptor)

    def _opened(self, row: BlobRow) -> int:
        try:
            return os.open(self._files.path(row.id), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise not_found(row.id) from None

    async def _whole(self, ctx: Context, key: str) -> BlobRow:
        row = await self._do(self._files.find, ctx.principal, _id(key))
        if not row.complete:
            message = "The upload of this blob has not ended; Stat tells how far it is."
            raise RpcError(Code.FAILED_PRECONDITION, message, reason="BLOB_INCOMPLETE")
        return row

    # ---- what is known

    async def stat(self, request: StatRequest, ctx: Context) -> StatResponse:
        match request.WhichOneof("key"):
            case "id":
                row = await self._do(self._files.find, ctx.principal, _id(request.id))
            case "upload_id":
                row = await self._do(self._files.upload, ctx.principal, request.upload_id)
            case _:
                raise invalid("Name a blob by id or an upload by upload_id.", "id")
        return StatResponse(blob=await self._info(row))

    async def delete(self, request: DeleteRequest, ctx: Context) -> DeleteResponse:
        row = await self._do(self._files.find, ctx.principal, _id(request.id))
        await self._remove(row.id)
        return DeleteResponse()

    async def _remove(self, blob_id: str) -> None:
        writer = self._writers.pop(blob_id, None)
        if writer is not None:
            await writer.close()
        await self._do(self._files.remove, blob_id)

    async def hold(self, request: HoldRequest, ctx: Context) -> HoldResponse:
        row = await self._do(self._files.find, ctx.principal, _id(request.id))
        await self._do(self._files.hold, row, request.holder)
        return HoldResponse(blob=await self._info(row))

    async def release(self, request: ReleaseRequest, ctx: Context) -> ReleaseResponse:
        row = await self._do(self._files.find, ctx.principal, _id(request.id))
        left = await self._do(self._files.release, row, request.holder)
        delete = request.delete_unheld and not left
        if delete:
            await self._remove(row.id)
        return ReleaseResponse(deleted=delete)

    async def _info(self, row: BlobRow) -> BlobInfo:
        received = await self._do(self._files.received, row)
        info = BlobInfo(
            reference=Reference(uri=f"blob:{row.id}", media_type=row.media_type, filename=row.filename),
            id=row.id,
            size=received,
            sha256=row.sha256 if row.complete else "",
            complete=row.complete,
            created_at=_timestamp(row.created_at),
            holders=await self._do(self._files.holders, row),
        )
        if row.expires_at is not None:
            info.expires_at.CopyFrom(_timestamp(row.expires_at))
        return info

    # ---- files in place

    async def begin(self, request: BeginRequest, ctx: Context) -> BeginResponse:
        if request.begin.upload_id or request.begin.offset:
            raise invalid("What is written in place cannot be continued; leave upload_id and offset out.", "begin")
        row, limit = await self._do(self._files.begin, ctx.principal, self._new(request.begin))
        path = str(self._files.partial(row.id))
        scarce = self._files.scarce(row, limit)
        return BeginResponse(id=row.id, path=path, limit=limit, free_bytes=self._settings.min_free_bytes, scarce=scarce)

    async def finish(self, request: FinishRequest, ctx: Context) -> FinishResponse:
        row = await self._do(self._files.find, ctx.principal, _id(request.id))
        received = await self._do(self._files.received, row)
        if row.complete or received != request.size:
            raise invalid(f"The file has {received:,} bytes, not {request.size:,}.", "size", reason="SIZE_MISMATCH")
        row = await self._do(self._files.finish, row, request.size, request.sha256)
        return FinishResponse(blob=await self._info(row))

    async def abandon(self, request: AbandonRequest, ctx: Context) -> AbandonResponse:
        with suppress(RpcError):
            row = await self._do(self._files.find, ctx.principal, _id(request.id))
            if not row.complete:
                await self._remove(row.id)
        return AbandonResponse()

    async def locate(self, request: LocateRequest, ctx: Context) -> LocateResponse:
        row = await self._whole(ctx, request.id)
        return LocateResponse(blob=await self._info(row), path=str(self._files.path(row.id)))


async def _write(writer: BlobWriter, requests: AsyncIterator[UploadRequest]) -> None:
    async for request in requests:
        if request.WhichOneof("step") == "begin":
            raise invalid("An upload has one begin, its first message.", "begin")
        await writer.write(request.data)


def _id(key: str) -> str:
    return key.removeprefix("blob:")


def _timestamp(seconds: float) -> Timestamp:
    value = Timestamp()
    value.FromNanoseconds(int(seconds * 1e9))
    return value
