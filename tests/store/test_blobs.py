"""Blobs, on JetStream and in memory."""

import hashlib
import itertools
import random
from pathlib import Path

import pytest

from bus import Code, RpcError
from store import Blobs, JetStream, JetStreamBlobs, MemoryBlobs

NAMES = itertools.count(1)

CONTENT = random.Random(1).randbytes(700_000)


@pytest.fixture(params=["jetstream", "memory"])
async def blobs(request: pytest.FixtureRequest, jetstream: JetStream) -> Blobs:
    if request.param == "memory":
        return MemoryBlobs(max_blob_bytes=1_000_000)
    return await JetStreamBlobs.open(jetstream, f"blobs{next(NAMES)}", max_blob_bytes=1_000_000)


@pytest.mark.parametrize("content", [b"", b"x", CONTENT])
@pytest.mark.parametrize("name", ["plain", "dir/tệp âm thanh.wav"])
async def test_bytes_come_back_as_they_were(blobs: Blobs, name: str, content: bytes) -> None:
    stored = await blobs.put(name, content)
    assert (stored.name, stored.size, stored.digest) == (name, len(content), hashlib.sha256(content).hexdigest())
    assert await blobs.info(name) == stored
    assert await blobs.read(name) == content


async def test_files_go_in_and_out(blobs: Blobs, tmp_path: Path) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    source.write_bytes(CONTENT)
    await blobs.put("b", source)
    blob = await blobs.fetch("b", target)
    assert target.read_bytes() == CONTENT
    assert blob.size == len(CONTENT)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["in", "out"]


async def test_a_name_holds_one_blob(blobs: Blobs) -> None:
    await blobs.put("b", b"one")
    await blobs.put("b", b"two")
    assert await blobs.read("b") == b"two"
    assert await blobs.names() == ["b"]


async def test_what_is_not_there_is_told(blobs: Blobs, tmp_path: Path) -> None:
    assert await blobs.info("nothing") is None
    assert await blobs.names() == []
    await blobs.delete("nothing")
    for attempt in (blobs.read("nothing"), blobs.fetch("nothing", tmp_path / "out")):
        with pytest.raises(RpcError) as caught:
            await attempt
        assert (caught.value.code, caught.value.reason) == (Code.NOT_FOUND, "BLOB_NOT_FOUND")
    assert list(tmp_path.glob("*out*")) == []


async def test_a_deleted_blob_is_gone(blobs: Blobs) -> None:
    await blobs.put("b", CONTENT)
    await blobs.delete("b")
    assert await blobs.info("b") is None
    assert await blobs.names() == []


async def test_limits_are_told(blobs: Blobs, tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(b"x" * 1_000_001)
    await blobs.put("b", CONTENT)
    for attempt in (blobs.put("c", large), blobs.put("c", b"x" * 1_000_001), blobs.read("b", limit=100)):
        with pytest.raises(RpcError) as caught:
            await attempt
        assert caught.value.reason == "MESSAGE_TOO_LARGE"
    assert await blobs.names() == ["b"]


@pytest.mark.parametrize("name", ["", "x" * 201])
async def test_a_name_that_is_none_is_refused(blobs: Blobs, name: str) -> None:
    with pytest.raises(RpcError) as caught:
        await blobs.put(name, b"")
    assert caught.value.code is Code.INVALID_ARGUMENT


async def test_a_full_store_refuses_and_keeps_what_it_has(jetstream: JetStream) -> None:
    small = await JetStreamBlobs.open(jetstream, f"blobs{next(NAMES)}", max_bytes=1_000_000)
    await small.put("b", CONTENT)
    for blobs in (small, MemoryBlobs(max_bytes=100)):
        with pytest.raises(RpcError) as caught:
            await blobs.put("c", CONTENT)
        assert caught.value.reason == "STORE_FULL"
    assert await small.read("b") == CONTENT


async def test_a_damaged_blob_is_told_and_no_file_appears(jetstream: JetStream, tmp_path: Path) -> None:
    name = f"blobs{next(NAMES)}"
    blobs = await JetStreamBlobs.open(jetstream, name)
    await blobs.put("b", CONTENT)
    stream = f"OBJ_{name}"
    await jetstream.context.purge_stream(stream, seq=2)
    info = await jetstream.context.stream_info(stream)
    assert info.state.first_seq == 2
    with pytest.raises(RpcError) as caught:
        await blobs.fetch("b", tmp_path / "out")
    assert (caught.value.code, caught.value.reason) == (Code.DATA_LOSS, "DIGEST_MISMATCH")
    assert list(tmp_path.glob("*out*")) == []
