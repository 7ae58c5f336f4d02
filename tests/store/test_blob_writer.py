import asyncio
import hashlib
import random
from pathlib import Path

import pytest

from bus import Code, RpcError
from store import BlobWriter
from store import blob_writer as module

CONTENT = random.Random(1).randbytes(3_500_000)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "content"
    made.touch()
    return made


async def test_what_is_written_is_hashed_and_on_the_disk(path: Path) -> None:
    writer = await BlobWriter.open(path, limit=len(CONTENT))
    for start in range(0, len(CONTENT), 48_000):
        await writer.write(CONTENT[start : start + 48_000])
    assert await writer.finish() == (len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    assert path.read_bytes() == CONTENT


async def test_nothing_is_a_content_too(path: Path) -> None:
    writer = await BlobWriter.open(path, limit=0)
    assert await writer.finish() == (0, hashlib.sha256(b"").hexdigest())


async def test_an_interrupted_writer_keeps_what_came_and_another_goes_on(path: Path) -> None:
    first = await BlobWriter.open(path, limit=len(CONTENT))
    await first.write(CONTENT[:2_000_000])
    await first.write(CONTENT[2_000_000:2_500_000])
    await first.close()
    await first.close()
    assert path.read_bytes() == CONTENT[:2_500_000]
    second = await BlobWriter.open(path, limit=len(CONTENT), offset=2_400_000)
    assert path.stat().st_size == 2_400_000
    await second.write(CONTENT[2_400_000:])
    assert await second.finish() == (len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    assert path.read_bytes() == CONTENT


async def test_a_writer_that_another_closed_says_so(path: Path) -> None:
    writer = await BlobWriter.open(path, limit=100)
    await writer.close()
    for attempt in (writer.write(b"x"), writer.finish()):
        with pytest.raises(RpcError) as caught:
            await attempt
        assert (caught.value.code, caught.value.reason) == (Code.ABORTED, "UPLOAD_TAKEN_OVER")


async def test_a_writer_that_is_cancelled_can_be_closed(path: Path) -> None:
    writer = await BlobWriter.open(path, limit=len(CONTENT))
    writing = asyncio.create_task(writer.write(CONTENT[:2_000_000]))
    await asyncio.sleep(0)
    writing.cancel()
    await asyncio.wait([writing])
    await writer.close()
    assert CONTENT.startswith(path.read_bytes())


async def test_one_byte_over_the_limit_is_refused(path: Path) -> None:
    writer = await BlobWriter.open(path, limit=10)
    await writer.write(b"x" * 10)
    with pytest.raises(RpcError) as caught:
        await writer.write(b"x")
    assert caught.value.reason == "MESSAGE_TOO_LARGE"
    await writer.close()


async def test_a_place_beyond_the_end_is_refused(path: Path) -> None:
    path.write_bytes(b"x" * 5)
    with pytest.raises(RpcError) as caught:
        await BlobWriter.open(path, limit=10, offset=6)
    assert (caught.value.code, caught.value.reason) == (Code.OUT_OF_RANGE, "BLOB_RANGE")
    assert path.read_bytes() == b"x" * 5


async def test_what_there_is_no_room_for_is_told_apart_from_what_is_too_large(path: Path) -> None:
    for scarce, reason in ((True, "STORE_FULL"), (False, "MESSAGE_TOO_LARGE")):
        writer = await BlobWriter.open(path, limit=10, scarce=scarce)
        with pytest.raises(RpcError, match="10") as caught:
            await writer.write(b"x" * 11)
        assert caught.value.reason == reason
        assert ("announced" in caught.value.message) is not scarce
        await writer.close()


async def test_a_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(OSError, match="link"):
        await BlobWriter.open(tmp_path / "link", limit=10)


async def test_a_disk_that_gets_full_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHECK_BYTES", 1)
    writer = await BlobWriter.open(path, limit=len(CONTENT), free=2**62)
    with pytest.raises(RpcError) as caught:
        await writer.write(CONTENT)
        await writer.write(CONTENT[:0])
        await writer.finish()
    assert caught.value.reason == "STORE_FULL"
    await writer.close()


async def test_a_disk_that_is_full_is_told() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full")
    writer = BlobWriter(full.open("wb", buffering=0), hashlib.sha256(), 0, len(CONTENT), 0)
    with pytest.raises(RpcError) as caught:
        await writer.write(CONTENT)
        await writer.finish()
    assert caught.value.reason == "STORE_FULL"
    await writer.close()
