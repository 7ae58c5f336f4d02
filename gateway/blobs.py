"""POST /v1/blobs, GET, HEAD and DELETE /v1/blobs/{id}: content that is too large for a message, over HTTP.

Where this process sees the files of the one that keeps blobs, which it does on one machine, content is written and read
in place and never travels over the bus. Elsewhere it goes up and down by BlobService like everybody's.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path
from urllib.parse import parse_qs

from msgspec import Struct

from bus import Code, RpcError, invalid
from bus.context import duration
from bus.stream import MAX_PIECE
from gateway.http.body import RawBody
from gateway.http.exchange import Exchange
from gateway.http.multipart import Part
from gateway.http.ranges import send_content
from gateway.http.routes import Answer, Parameter, Route
from gateway.http.stream import unless_gone
from store import BlobWriter
from troupe.blob.v1 import (
    AbandonRequest,
    BeginRequest,
    BeginResponse,
    BlobFileServiceClient,
    BlobInfo,
    BlobServiceClient,
    DeleteRequest,
    DownloadRequest,
    FinishRequest,
    LocateRequest,
    UploadBegin,
    UploadRequest,
)

ASK_SECONDS = 30.0
"""For each step that is no content; finishing waits for the disk."""

READ_BYTES = 512 * 1024
DATA_BYTES = MAX_PIECE - 16

_FORM = "multipart/form-data"
_NO_TYPE = ("", "application/x-www-form-urlencoded")
"""What curl says of a body when it is not told better."""


class BlobOut(Struct, kw_only=True):
    """What is known of a blob.

    uri: what messages name it by. created_at, expires_at: seconds since 1970; expires_at null: never.
    """

    id: str
    uri: str
    media_type: str
    filename: str
    size: int
    sha256: str
    created_at: int
    expires_at: int | None


# ---- up


async def upload(exchange: Exchange) -> None:
    """Keep the body, or the one file of a form."""
    begin = _begin(exchange)
    if exchange.header("content-type").lower().startswith(_FORM):
        info = await _of_form(exchange, begin)
    else:
        info = await _stored(exchange, begin, exchange.pieces())
    location = (b"location", f"/v1/blobs/{info.id}".encode())
    await exchange.answer(_out(info), status=201, headers=[location])


def _begin(exchange: Exchange) -> UploadBegin:
    """What the request says of its content."""
    query = {name: values[-1] for name, values in parse_qs(exchange.scope["query_string"].decode("latin-1")).items()}
    if unknown := query.keys() - {"filename", "expires_in", "sha256"}:
        name = min(unknown)[:80]
        raise invalid(f"There is no {name!r}; blobs take filename, expires_in and sha256.", name)
    said = exchange.header("content-type")
    begin = UploadBegin(filename=query.get("filename", ""), sha256=query.get("sha256", ""))
    if not said.lower().startswith(_FORM):  # whose file has a type and a size of its own
        begin.media_type = "" if said in _NO_TYPE else said
        if (length := exchange.header("content-length")).isdigit():
            begin.size = int(length)
    if "expires_in" in query:
        begin.expires_in.CopyFrom(duration(_seconds(query["expires_in"])))
    return begin


def _seconds(text: str) -> float:
    if not text.isdecimal() or len(text) > 9:
        raise invalid("expires_in is a whole number of seconds, 1 to 10 years.", "expires_in")
    return float(text)


async def _of_form(exchange: Exchange, begin: UploadBegin) -> BlobInfo:
    parts = aiter(exchange.form())
    async for part in parts:
        if part.filename:
            begin.filename = begin.filename or part.filename
            begin.media_type = part.media_type
            return await _stored(exchange, begin, _alone(part, parts))
    raise invalid("The form has no file: one of its parts needs a filename.", "file")


async def _alone(part: Part, others: AsyncIterator[Part]) -> AsyncIterator[bytes]:
    """The bytes of a form's file. Raises INVALID_ARGUMENT where another one follows, so that none is lost unseen."""
    async for piece in part:
        yield piece
    async for other in others:
        if other.filename:
            raise invalid("The form has more than one file; send each with a request of its own.", other.name)


async def _stored(exchange: Exchange, begin: UploadBegin, pieces: AsyncIterator[bytes]) -> BlobInfo:
    files = BlobFileServiceClient(exchange.hub.channel)
    place = await files.begin(BeginRequest(begin=begin), timeout=ASK_SECONDS, metadata=exchange.metadata)
    done = False
    try:
        writer = await _writer(place)
        if writer is None:
            await _abandoned(exchange, files, place.id)
            return await _over_the_bus(exchange, begin, pieces)
        try:
            async for piece in pieces:
                await writer.write(piece)
            size, sha256 = await writer.finish()
        finally:
            await asyncio.shield(asyncio.ensure_future(writer.close()))
        finish = FinishRequest(id=place.id, size=size, sha256=sha256)
        info = (await files.finish(finish, timeout=ASK_SECONDS, metadata=exchange.metadata)).blob
        done = True
        return info
    finally:
        if not done:
            await _abandoned(exchange, files, place.id)


async def _writer(place: BeginResponse) -> BlobWriter | None:
    """None: this process does not see that file."""
    try:
        return await BlobWriter.open(Path(place.path), limit=place.limit, free=place.free_bytes, scarce=place.scarce)
    except OSError:
        return None


async def _over_the_bus(exchange: Exchange, begin: UploadBegin, pieces: AsyncIterator[bytes]) -> BlobInfo:
    async def steps() -> AsyncIterator[UploadRequest]:
        yield UploadRequest(begin=begin)
        async for piece in pieces:
            for start in range(0, len(piece), DATA_BYTES):
                yield UploadRequest(data=piece[start : start + DATA_BYTES])

    client = BlobServiceClient(exchange.hub.channel)
    return (await client.upload(steps(), metadata=exchange.metadata)).blob


async def _abandoned(exchange: Exchange, files: BlobFileServiceClient, blob_id: str) -> None:
    try:
        await files.abandon(AbandonRequest(id=blob_id), timeout=ASK_SECONDS, metadata=exchange.metadata)
    except RpcError:
        return  # the actor sweeps what nobody finishes


# ---- down


async def download(exchange: Exchange) -> None:
    """Content, whole or a range of it; HEAD tells its size and type."""
    files = BlobFileServiceClient(exchange.hub.channel)
    request = LocateRequest(id=exchange.path_parameter("id"))
    work = files.locate(request, timeout=ASK_SECONDS, metadata=exchange.metadata)
    found = await unless_gone(exchange.receive, work)
    info = found.blob
    descriptor = await asyncio.to_thread(_opened, found.path, info.size)

    def read(offset: int, length: int) -> AsyncGenerator[bytes]:
        if descriptor is None:
            return _from_the_bus(exchange, info.id, offset, length)
        return _from_file(descriptor, offset, length)

    try:
        await send_content(
            exchange,
            read,
            size=info.size,
            media_type=info.reference.media_type,
            etag=info.sha256,
            # Always to be saved and never shown as a page of this hub, whose scripts could use its keys.
            filename=info.reference.filename or info.id,
        )
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _opened(path: str, size: int) -> int | None:
    """None: this process does not see that file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    if os.fstat(descriptor).st_size == size:
        return descriptor
    os.close(descriptor)
    return None


async def _from_file(descriptor: int, offset: int, length: int) -> AsyncGenerator[bytes]:
    end = offset + length
    while offset < end:
        data = await asyncio.to_thread(os.pread, descriptor, min(READ_BYTES, end - offset), offset)
        if not data:  # it was cut to nothing
            raise RpcError(Code.NOT_FOUND, "The blob was deleted while it was read.", reason="BLOB_NOT_FOUND")
        offset += len(data)
        yield data


async def _from_the_bus(exchange: Exchange, blob_id: str, offset: int, length: int) -> AsyncGenerator[bytes]:
    request = DownloadRequest(id=blob_id, offset=offset, length=length)
    call = BlobServiceClient(exchange.hub.channel).download(request, metadata=exchange.metadata)
    async with aclosing(call) as responses:
        async for response in responses:
            if response.data:
                yield response.data


async def delete(exchange: Exchange) -> None:
    """Remove it for good."""
    client = BlobServiceClient(exchange.hub.channel)
    request = DeleteRequest(id=exchange.path_parameter("id"))
    await client.delete(request, timeout=ASK_SECONDS, metadata=exchange.metadata)
    await exchange.respond(204, [])


def _out(info: BlobInfo) -> BlobOut:
    return BlobOut(
        id=info.id,
        uri=info.reference.uri,
        media_type=info.reference.media_type,
        filename=info.reference.filename,
        size=info.size,
        sha256=info.sha256,
        created_at=info.created_at.seconds,
        expires_at=info.expires_at.seconds if info.HasField("expires_at") else None,
    )


_ID = "5f1c0a44d1b14a0f9d5b0a4b8b1f7c21"
_EXAMPLE = {
    "id": _ID,
    "uri": f"blob:{_ID}",
    "media_type": "audio/wav",
    "filename": "talk.wav",
    "size": 1_920_044,
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "created_at": 1_795_500_000,
    "expires_at": None,
}
_PATH_ID = Parameter("id", "As the upload's answer has it.", example=_ID)

ROUTES: tuple[Route, ...] = (
    Route(
        verb="POST",
        path="/v1/blobs",
        name="createBlob",
        summary="Keep content: the body, or the one file of multipart/form-data.",
        handle=upload,
        method="troupe.blob.v1.BlobService/Upload",
        body=RawBody(upload=True),
        answers=(Answer(BlobOut, status=201, description="It is on the disk.", example=_EXAMPLE),),
        parameters=(
            Parameter("filename", "File name for people.", "query", example="talk.wav"),
            Parameter("expires_in", "Seconds after which it is deleted unless it is held.", "query", example="86400"),
            Parameter("sha256", "Of the content, hexadecimal; another content is refused.", "query"),
        ),
        errors=(507,),
        admitted=True,
    ),
    Route(
        verb="GET",
        path="/v1/blobs/{id}",
        name="getBlob",
        summary="Content, whole or a range of it.",
        handle=download,
        method="troupe.blob.v1.BlobService/Download",
        answers=(
            Answer(None, "application/octet-stream", description="All of it."),
            Answer(None, "application/octet-stream", status=206, description="The range."),
            Answer(None, "application/octet-stream", status=304, description="The copy is still good."),
        ),
        parameters=(
            _PATH_ID,
            Parameter("range", "One range of bytes.", "header", example="bytes=0-1023"),
            Parameter("if-none-match", "The copy that there is: its ETag.", "header"),
        ),
        errors=(404, 416),
        admitted=True,
    ),
    Route(
        verb="DELETE",
        path="/v1/blobs/{id}",
        name="deleteBlob",
        summary="Remove it: afterwards no file of the hub has a byte of it.",
        handle=delete,
        method="troupe.blob.v1.BlobService/Delete",
        answers=(Answer(None, status=204, description="It is gone."),),
        parameters=(_PATH_ID,),
        errors=(404, 500, 503, 504),
    ),
)
