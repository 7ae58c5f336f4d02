"""Blobs through the bus: up, down, continued, ranged, deleted; other people's are not there."""

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from actors.blobs import BlobActor, BlobSettings
from bus import Code, RpcError
from bus.channel import Channel
from bus.server import Server
from bus.transports.memory import MemoryBroker, MemoryTransport
from store import BlobWriter
from troupe.blob.v1 import (
    AbandonRequest,
    BeginRequest,
    BlobFileService,
    BlobFileServiceClient,
    BlobInfo,
    BlobService,
    BlobServiceClient,
    DeleteRequest,
    DownloadRequest,
    FinishRequest,
    HoldRequest,
    LocateRequest,
    ReleaseRequest,
    StatRequest,
    UploadBegin,
    UploadRequest,
)

CONTENT = random.Random(7).randbytes(2_500_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
WORD = b"plant-4713"
UPLOAD = "upload-0123456789"


class Hall:
    """The actor on a bus, and somebody who calls."""

    def __init__(self, home: Path, channel: Channel, owner: str) -> None:
        self.home = home
        self.channel = channel
        self.client = BlobServiceClient(channel)
        self.files = BlobFileServiceClient(channel)
        self.metadata = {"troupe-principal": owner}

    async def put(self, content: bytes = CONTENT, **said: Any) -> BlobInfo:
        return (await self.client.upload(steps(content, **said), metadata=self.metadata)).blob

    async def get(self, blob_id: str, **wanted: int) -> tuple[BlobInfo, bytes]:
        known, data = BlobInfo(), bytearray()
        async for response in self.client.download(DownloadRequest(id=blob_id, **wanted), metadata=self.metadata):
            if response.HasField("blob"):
                known = response.blob
            data += response.data
        return known, bytes(data)

    async def stat(self, **key: str) -> BlobInfo:
        return (await self.client.stat(StatRequest(**key), metadata=self.metadata)).blob

    async def delete(self, blob_id: str) -> None:
        await self.client.delete(DeleteRequest(id=blob_id), metadata=self.metadata)

    def holding(self, word: bytes = WORD) -> list[str]:
        """The files below the home that have the word."""
        found = []
        for path in self.home.rglob("*"):
            with suppress(FileNotFoundError, IsADirectoryError):  # it goes meanwhile
                found += [path.name] if word in path.read_bytes() else []
        return found


async def steps(content: bytes, **said: Any) -> AsyncIterator[UploadRequest]:
    yield UploadRequest(begin=UploadBegin(**said))
    for start in range(said.get("offset", 0), len(content), 48_000):
        yield UploadRequest(data=content[start : start + 48_000])


@asynccontextmanager
async def running(home: Path, owner: str = "ada", **settings: int) -> AsyncIterator[Hall]:
    broker = MemoryBroker()
    actor = BlobActor(BlobSettings(**{"min_free_bytes": 0, **settings}), home)
    await actor.start()
    server, channel = Server(MemoryTransport(broker)), Channel(MemoryTransport(broker))
    await server.add(actor, BlobService.INFO)
    await server.add(actor, BlobFileService.INFO)
    try:
        async with asyncio.timeout(30):
            yield Hall(home, channel, owner)
    finally:
        await channel.close()
        await server.drain(1)
        await actor.stop()


@pytest.fixture
async def hall(tmp_path: Path) -> AsyncIterator[Hall]:
    async with running(tmp_path) as made:
        yield made


@pytest.mark.parametrize("size", [0, 1, 48_000, len(CONTENT)])
async def test_content_comes_back_as_it_went(hall: Hall, size: int) -> None:
    content = CONTENT[:size]
    digest = hashlib.sha256(content).hexdigest()
    blob = await hall.put(content, media_type="audio/wav", filename="tệp.wav", size=size, sha256=digest)
    assert (blob.size, blob.sha256, blob.complete) == (size, digest, True)
    assert blob.reference.uri == f"blob:{blob.id}"
    assert (blob.reference.media_type, blob.reference.filename) == ("audio/wav", "tệp.wav")
    assert await hall.get(blob.id) == (blob, content)
    assert await hall.stat(id=blob.reference.uri) == blob


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"offset": 0, "length": 1}, slice(0, 1)),
        ({"offset": 1_048_570, "length": 20}, slice(1_048_570, 1_048_590)),
        ({"offset": 2_000_000}, slice(2_000_000, None)),
        ({"offset": 2_400_000, "length": 10**12}, slice(2_400_000, None)),
        ({"offset": len(CONTENT)}, slice(0, 0)),
        ({"length": 0}, slice(0, 0)),
    ],
)
async def test_a_range_is_given(hall: Hall, wanted: dict[str, int], expected: slice) -> None:
    blob = await hall.put()
    assert (await hall.get(blob.id, **wanted))[1] == CONTENT[expected]


async def test_a_range_beyond_the_end_is_refused(hall: Hall) -> None:
    blob = await hall.put(b"abc")
    with pytest.raises(RpcError) as caught:
        await hall.get(blob.id, offset=4)
    assert (caught.value.code, caught.value.metadata["size"]) == (Code.OUT_OF_RANGE, "3")


async def test_an_interrupted_upload_is_continued_where_it_stopped(hall: Hall) -> None:
    arrived = asyncio.Event()

    async def half() -> AsyncIterator[UploadRequest]:
        yield UploadRequest(begin=UploadBegin(upload_id=UPLOAD, size=len(CONTENT), sha256=DIGEST))
        for start in range(0, 1_200_000, 48_000):
            yield UploadRequest(data=CONTENT[start : start + 48_000])
        arrived.set()
        await asyncio.Event().wait()

    broken = asyncio.ensure_future(hall.client.upload(half(), metadata=hall.metadata))
    await arrived.wait()
    broken.cancel()
    await asyncio.wait([broken])
    known = await hall.stat(upload_id=UPLOAD)
    while known.size == 0:  # its last bytes are written while it ends
        known = await hall.stat(upload_id=UPLOAD)
    assert not known.complete
    with pytest.raises(RpcError) as caught:
        await hall.get(known.id)
    assert caught.value.reason == "BLOB_INCOMPLETE"
    blob = await hall.put(upload_id=UPLOAD, offset=known.size)
    assert (blob.id, blob.sha256, blob.size) == (known.id, DIGEST, len(CONTENT))
    assert (await hall.stat(upload_id=UPLOAD)) == blob
    with pytest.raises(RpcError) as caught:
        await hall.put(upload_id=UPLOAD)
    assert caught.value.reason == "UPLOAD_COMPLETE"


async def test_an_upload_is_continued_by_another_process_after_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path) as hall:
        with pytest.raises(RpcError) as caught:
            await hall.put(CONTENT[:700_000], upload_id=UPLOAD, size=len(CONTENT))
        assert caught.value.reason == "SIZE_MISMATCH"
    async with running(tmp_path) as hall:
        known = await hall.stat(upload_id=UPLOAD)
        assert known.size == 700_000
        assert (await hall.put(upload_id=UPLOAD, offset=600_000)).sha256 == DIGEST


async def test_bytes_that_never_came_cannot_be_skipped(hall: Hall) -> None:
    with pytest.raises(RpcError) as caught:
        await hall.put(upload_id=UPLOAD, offset=1)
    assert (caught.value.code, caught.value.reason) == (Code.OUT_OF_RANGE, "BLOB_RANGE")


async def test_of_two_calls_that_write_one_upload_the_later_one_goes_on(hall: Hall) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[UploadRequest]:
        yield UploadRequest(begin=UploadBegin(upload_id=UPLOAD))
        for _ in range(100):
            yield UploadRequest(data=b"old" * 10_000)
        begun.set()
        await go_on.wait()
        yield UploadRequest(data=b"older")

    first = asyncio.ensure_future(hall.client.upload(slow(), metadata=hall.metadata))
    await begun.wait()
    while not (await hall.stat(upload_id=UPLOAD)).size:
        pass
    blob = await hall.put(upload_id=UPLOAD)
    go_on.set()
    with pytest.raises(RpcError) as caught:
        await first
    assert caught.value.reason == "UPLOAD_TAKEN_OVER"
    assert (await hall.get(blob.id))[1] == CONTENT


async def test_an_upload_without_a_name_leaves_nothing_when_it_breaks(hall: Hall) -> None:
    arrived = asyncio.Event()

    async def half() -> AsyncIterator[UploadRequest]:
        yield UploadRequest(begin=UploadBegin())
        yield UploadRequest(data=WORD * 200_000)
        arrived.set()
        await asyncio.Event().wait()

    broken = asyncio.ensure_future(hall.client.upload(half(), metadata=hall.metadata))
    await arrived.wait()
    while not hall.holding():
        await asyncio.sleep(0)
    broken.cancel()
    await asyncio.wait([broken])
    while list((hall.home / "blobs" / "partial").iterdir()):  # first cut to nothing, then taken away
        await asyncio.sleep(0)


async def test_what_is_too_large_is_refused_at_the_first_message_or_when_it_gets_there(tmp_path: Path) -> None:
    sent = 0

    async def counted(content: bytes, **said: Any) -> AsyncIterator[UploadRequest]:
        nonlocal sent
        async for step in steps(content, **said):
            sent += len(step.data)
            yield step

    async with running(tmp_path, max_upload_bytes=500_000) as hall:
        for said in ({"size": len(CONTENT)}, {}):
            sent = 0
            with pytest.raises(RpcError) as caught:
                await hall.client.upload(counted(CONTENT, **said), metadata=hall.metadata)
            assert (caught.value.code, caught.value.reason) == (Code.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE")
        assert list((tmp_path / "blobs" / "partial").iterdir()) == []
        with pytest.raises(RpcError) as caught:
            await hall.put(b"x" * 11, size=10)
        assert caught.value.reason == "MESSAGE_TOO_LARGE"


@pytest.mark.parametrize(
    "messages",
    [[], [UploadRequest(data=b"x")], [UploadRequest(begin=UploadBegin()), UploadRequest(begin=UploadBegin())]],
)
async def test_an_upload_begins_with_one_begin(hall: Hall, messages: list[UploadRequest]) -> None:
    with pytest.raises(RpcError) as caught:
        await hall.client.upload(given(messages), metadata=hall.metadata)
    assert (caught.value.code, caught.value.field) == (Code.INVALID_ARGUMENT, "begin")


async def given(messages: Iterable[UploadRequest]) -> AsyncIterator[UploadRequest]:
    for message in messages:
        yield message


async def test_content_that_is_not_what_was_promised_is_told_and_gone(hall: Hall) -> None:
    with pytest.raises(RpcError) as caught:
        await hall.put(WORD, sha256="0" * 64)
    assert (caught.value.code, caught.value.reason) == (Code.INVALID_ARGUMENT, "DIGEST_MISMATCH")
    assert hall.holding() == []


async def test_a_deleted_blob_is_in_no_file_and_whoever_reads_it_is_told(hall: Hall) -> None:
    blob = await hall.put(WORD * 500_000, filename="plant-4713.txt")
    reading = aiter(hall.client.download(DownloadRequest(id=blob.id), metadata=hall.metadata))
    await anext(reading)
    assert hall.holding()
    await hall.delete(blob.id)
    assert hall.holding() == []
    with pytest.raises(RpcError) as caught:
        async for _ in reading:
            pass
    assert caught.value.reason == "BLOB_NOT_FOUND"
    for attempt in (hall.stat(id=blob.id), hall.get(blob.id), hall.delete(blob.id)):
        with pytest.raises(RpcError) as caught:
            await attempt
        assert (caught.value.code, caught.value.reason) == (Code.NOT_FOUND, "BLOB_NOT_FOUND")


async def test_an_upload_that_is_deleted_meanwhile_ends_and_leaves_nothing(hall: Hall) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[UploadRequest]:
        yield UploadRequest(begin=UploadBegin(upload_id=UPLOAD))
        yield UploadRequest(data=WORD * 200_000)
        begun.set()
        await go_on.wait()
        yield UploadRequest(data=WORD * 200_000)

    first = asyncio.ensure_future(hall.client.upload(slow(), metadata=hall.metadata))
    await begun.wait()
    while not hall.holding():
        await asyncio.sleep(0)
    await hall.delete((await hall.stat(upload_id=UPLOAD)).id)
    assert hall.holding() == []
    go_on.set()
    with pytest.raises(RpcError) as caught:
        await first
    assert caught.value.reason == "UPLOAD_TAKEN_OVER"
    assert hall.holding() == []


async def test_somebody_elses_blob_is_not_there(hall: Hall) -> None:
    blob = await hall.put(upload_id=UPLOAD)
    bob = Hall(hall.home, hall.channel, "bob")
    attempts = [
        bob.stat(id=blob.id),
        bob.stat(upload_id=UPLOAD),
        bob.get(blob.id),
        bob.delete(blob.id),
        bob.client.hold(HoldRequest(id=blob.id, holder="x"), metadata=bob.metadata),
        bob.client.release(ReleaseRequest(id=blob.id, holder="x", delete_unheld=True), metadata=bob.metadata),
        bob.files.locate(LocateRequest(id=blob.id), metadata=bob.metadata),
        bob.files.finish(FinishRequest(id=blob.id), metadata=bob.metadata),
    ]
    for attempt in attempts:
        with pytest.raises(RpcError) as caught:
            await attempt
        assert (caught.value.code, caught.value.reason) == (Code.NOT_FOUND, "BLOB_NOT_FOUND")
    await bob.files.abandon(AbandonRequest(id=blob.id), metadata=bob.metadata)
    assert (await hall.get(blob.id))[1] == CONTENT


async def test_a_holder_keeps_a_blob_and_the_last_one_may_take_it_along(hall: Hall) -> None:
    blob = await hall.put(b"x", expires_in=Duration(seconds=3600))
    assert blob.expires_at.seconds == pytest.approx(blob.created_at.seconds + 3600, abs=5)
    for name in ("b", "a", "a"):
        await hall.client.hold(HoldRequest(id=blob.id, holder=name), metadata=hall.metadata)
    assert list((await hall.stat(id=blob.id)).holders) == ["a", "b"]
    for name, deleted in (("a", False), ("a", False), ("b", True)):
        request = ReleaseRequest(id=blob.id, holder=name, delete_unheld=True)
        assert (await hall.client.release(request, metadata=hall.metadata)).deleted is deleted
    with pytest.raises(RpcError, match="no blob"):
        await hall.stat(id=blob.id)


async def test_nothing_named_is_refused(hall: Hall) -> None:
    with pytest.raises(RpcError) as caught:
        await hall.stat()
    assert caught.value.code is Code.INVALID_ARGUMENT


async def test_a_process_that_sees_the_files_writes_and_reads_in_place(hall: Hall) -> None:
    said = UploadBegin(size=len(CONTENT), media_type="audio/wav")
    begun = await hall.files.begin(BeginRequest(begin=said), metadata=hall.metadata)
    assert begun.limit == len(CONTENT)
    writer = await BlobWriter.open(Path(begun.path), limit=begun.limit, free=begun.free_bytes)
    await writer.write(CONTENT)
    size, sha256 = await writer.finish()
    finish = FinishRequest(id=begun.id, size=size, sha256=sha256)
    blob = (await hall.files.finish(finish, metadata=hall.metadata)).blob
    assert (await hall.get(blob.id)) == (blob, CONTENT)
    located = await hall.files.locate(LocateRequest(id=blob.id), metadata=hall.metadata)
    assert (located.blob, Path(located.path).read_bytes()) == (blob, CONTENT)
    with pytest.raises(RpcError) as caught:
        await hall.files.finish(finish, metadata=hall.metadata)
    assert caught.value.reason == "SIZE_MISMATCH"


async def test_a_file_that_is_not_what_was_said_is_not_taken_over_and_can_be_abandoned(hall: Hall) -> None:
    begun = await hall.files.begin(BeginRequest(begin=UploadBegin()), metadata=hall.metadata)
    Path(begun.path).write_bytes(WORD)
    with pytest.raises(RpcError) as caught:
        await hall.files.finish(FinishRequest(id=begun.id, size=3, sha256=DIGEST), metadata=hall.metadata)
    assert caught.value.reason == "SIZE_MISMATCH"
    for _ in range(2):
        await hall.files.abandon(AbandonRequest(id=begun.id), metadata=hall.metadata)
    assert hall.holding() == []
    with pytest.raises(RpcError, match="continued"):
        await hall.files.begin(BeginRequest(begin=UploadBegin(upload_id=UPLOAD)), metadata=hall.metadata)


async def test_what_expired_is_swept(tmp_path: Path) -> None:
    async with running(tmp_path, expires_in_seconds=1) as hall:
        blob = await hall.put(WORD)
        assert blob.HasField("expires_at")
        with pytest.raises(RpcError, match="no blob"):
            while True:
                await hall.stat(id=blob.id)
    async with running(tmp_path) as hall:
        while hall.holding():
            await asyncio.sleep(0)
