"""Blobs: documents, images, audio, adapters; whatever is too large for a message."""

import asyncio
import hashlib
import io
import os
import tempfile
from base64 import urlsafe_b64decode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar

from nats.js.api import ObjectInfo, StorageType
from nats.js.errors import BucketNotFoundError, DigestMismatchError, NotFoundError, ObjectNotFoundError
from nats.js.object_store import ObjectStore

from bus import errors
from bus.errors import Code, RpcError
from store.jetstream import JetStream

MAX_NAME_BYTES = 200
MAX_BLOB_BYTES = 1024 * 1024 * 1024
MAX_IN_MEMORY = 64 * 1024 * 1024
"""What `read` gives at most; larger blobs are fetched into files."""

STALL_SECONDS = 30.0
SLOWEST_BYTES_PER_SECOND = 1024 * 1024

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Blob:
    """What is known of a blob. digest: SHA-256 in hexadecimal."""

    name: str
    size: int
    digest: str


class Blobs(Protocol):
    """Names are any text of 1 to 200 bytes, and a name holds one blob.

    Everything raises UNAVAILABLE (STORE_UNAVAILABLE) if the store does not answer in time, and where a blob is needed
    that is not there, NOT_FOUND (BLOB_NOT_FOUND).
    """

    async def put(self, name: str, content: bytes | Path) -> Blob:
        """Store bytes, or a file's content. The old blob of this name stays readable until this one is whole.

        Raises RESOURCE_EXHAUSTED (MESSAGE_TOO_LARGE, STORE_FULL).
        """

    async def read(self, name: str, limit: int = MAX_IN_MEMORY) -> bytes:
        """The content. Raises RESOURCE_EXHAUSTED (MESSAGE_TOO_LARGE) above `limit`, DATA_LOSS (DIGEST_MISMATCH)."""

    async def fetch(self, name: str, path: Path) -> Blob:
        """Write the content to `path`, which appears or changes only when it is whole. Raises DATA_LOSS."""

    async def info(self, name: str) -> Blob | None:
        """None: there is no such blob."""

    async def delete(self, name: str) -> None:
        """Remove it; removing what is not there does nothing."""

    async def names(self) -> list[str]:
        """All names, sorted."""


class JetStreamBlobs:
    """Blobs in a JetStream object store. Made by `open`."""

    def __init__(self, jetstream: JetStream, store: ObjectStore, max_blob_bytes: int) -> None:
        self._jetstream = jetstream
        self._store = store
        self._max_blob_bytes = max_blob_bytes

    @classmethod
    async def open(
        cls,
        jetstream: JetStream,
        name: str,
        *,
        max_bytes: int | None = None,
        max_blob_bytes: int = MAX_BLOB_BYTES,
    ) -> "JetStreamBlobs":
        """The store of this name, made if there is none.

        max_bytes: of the disk, reserved from the beginning; None: what the server has for all.
        """
        context = jetstream.context

        async def bucket() -> ObjectStore:
            try:
                return await context.object_store(name)
            except (BucketNotFoundError, NotFoundError):
                return await context.create_object_store(bucket=name, max_bytes=max_bytes, storage=StorageType.FILE)

        return cls(jetstream, await jetstream.repeat(bucket), max_blob_bytes)

    async def put(self, name: str, content: bytes | Path) -> Blob:
        checked(name)
        check_size(await asyncio.to_thread(size_of, content), self._max_blob_bytes)

        async def write() -> ObjectInfo:
            with await asyncio.to_thread(reading, content) as source:
                return await self._store.put(name, source)  # type: ignore[arg-type]  # it asks for readinto only

        return known(await self._jetstream.repeat(write))

    async def read(self, name: str, limit: int = MAX_IN_MEMORY) -> bytes:
        blob = await self._needed(name)
        check_size(blob.size, limit)
        # A file even here: without one nats-py joins the chunks in quadratic time.
        with tempfile.TemporaryFile() as target:
            await self._copy(blob, target)
            target.seek(0)
            return await asyncio.to_thread(target.read)

    async def fetch(self, name: str, path: Path) -> Blob:
        blob = await self._needed(name)
        return await whole(path, blob, lambda target: self._copy(blob, target))

    async def _copy(self, blob: Blob, target: BinaryIO) -> None:
        async def copy() -> None:
            target.seek(0)
            target.truncate()
            async with asyncio.timeout(STALL_SECONDS + blob.size / SLOWEST_BYTES_PER_SECOND):
                await self._store.get(blob.name, writeinto=target)  # type: ignore[arg-type]  # it asks for write only

        try:
            await self._jetstream.repeat(copy)
        except TimeoutError as error:
            raise RpcError(
                Code.UNAVAILABLE, f"The blob {blob.name!r} stopped coming.", reason="STORE_UNAVAILABLE", retry_after=1.0
            ) from error
        except RpcError as error:
            if isinstance(error.__cause__, DigestMismatchError):
                raise damaged(blob.name) from error
            raise

    async def _needed(self, name: str) -> Blob:
        blob = await self.info(name)
        if blob is None:
            raise not_found(name)
        return blob

    async def info(self, name: str) -> Blob | None:
        checked(name)

        async def find() -> Blob | None:
            try:
                return known(await self._store.get_info(name))
            except ObjectNotFoundError:
                return None

        return await self._jetstream.repeat(find)

    async def delete(self, name: str) -> None:
        checked(name)

        async def remove() -> None:
            try:
                await self._store.delete(name)
            except ObjectNotFoundError:
                return

        await self._jetstream.repeat(remove)

    async def names(self) -> list[str]:
        async def find() -> list[str]:
            try:
                return sorted(str(found.name) for found in await self._store.list(ignore_deletes=True))
            except NotFoundError:
                return []

        return await self._jetstream.repeat(find)


class MemoryBlobs:
    """The same in this process, gone with it."""

    def __init__(self, *, max_bytes: int = MAX_IN_MEMORY, max_blob_bytes: int = MAX_BLOB_BYTES) -> None:
        self._max_bytes = max_bytes
        self._max_blob_bytes = max_blob_bytes
        self._contents: dict[str, bytes] = {}

    async def put(self, name: str, content: bytes | Path) -> Blob:
        checked(name)
        check_size(await asyncio.to_thread(size_of, content), self._max_blob_bytes)
        data = content if isinstance(content, bytes) else await asyncio.to_thread(content.read_bytes)
        if sum(map(len, self._contents.values())) + len(data) > self._max_bytes:
            raise RpcError(Code.RESOURCE_EXHAUSTED, "The store is full; delete something.", reason="STORE_FULL")
        self._contents[name] = data
        return _described(name, data)

    async def read(self, name: str, limit: int = MAX_IN_MEMORY) -> bytes:
        data = self._needed(name)
        check_size(len(data), limit)
        return data

    async def fetch(self, name: str, path: Path) -> Blob:
        data = self._needed(name)

        async def write(target: BinaryIO) -> None:
            target.write(data)

        return await whole(path, _described(name, data), write)

    def _needed(self, name: str) -> bytes:
        if checked(name) not in self._contents:
            raise not_found(name)
        return self._contents[name]

    async def info(self, name: str) -> Blob | None:
        data = self._contents.get(checked(name))
        return None if data is None else _described(name, data)

    async def delete(self, name: str) -> None:
        self._contents.pop(checked(name), None)

    async def names(self) -> list[str]:
        return sorted(self._contents)


async def whole(path: Path, blob: Blob, write: Callable[[BinaryIO], Awaitable[None]]) -> Blob:
    """Write a file beside `path` and put it in its place once it is whole."""
    descriptor, beside = await asyncio.to_thread(tempfile.mkstemp, dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as target:
            await write(target)
        await asyncio.to_thread(os.replace, beside, path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)  # noqa: ASYNC240  # at once, also while being cancelled
        raise
    return blob


def checked(name: str) -> str:
    """Raises INVALID_ARGUMENT unless it can name a blob."""
    if not 1 <= len(name.encode()) <= MAX_NAME_BYTES:
        raise errors.invalid(
            f"A blob's name is 1 to {MAX_NAME_BYTES} bytes long, this one {len(name.encode())}.", "name"
        )
    return name


def size_of(content: bytes | Path) -> int:
    """Bytes of it."""
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def reading(content: bytes | Path) -> BinaryIO:
    """It as an open file."""
    return io.BytesIO(content) if isinstance(content, bytes) else content.open("rb")


def check_size(size: int, limit: int) -> None:
    """Raises RESOURCE_EXHAUSTED (MESSAGE_TOO_LARGE)."""
    if size > limit:
        raise RpcError(
            Code.RESOURCE_EXHAUSTED,
            f"A blob of {size:,} bytes is over the limit of {limit:,}.",
            reason="MESSAGE_TOO_LARGE",
            metadata={"size": str(size), "limit": str(limit)},
        )


def known(info: ObjectInfo) -> Blob:
    """What the object store says of a blob."""
    digest = urlsafe_b64decode((info.digest or "").removeprefix("SHA-256=")).hex()
    return Blob(str(info.name), info.size or 0, digest)


def _described(name: str, data: bytes) -> Blob:
    return Blob(name, len(data), hashlib.sha256(data).hexdigest())


def not_found(name: str) -> RpcError:
    """There is no blob of this name."""
    return RpcError(Code.NOT_FOUND, f"There is no blob {name!r}.", reason="BLOB_NOT_FOUND")


def damaged(name: str) -> RpcError:
    """The content is not what was stored."""
    return RpcError(
        Code.DATA_LOSS, f"The blob {name!r} is damaged: its digest does not match.", reason="DIGEST_MISMATCH"
    )
