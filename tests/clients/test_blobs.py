"""Files up and down through a real gateway, over connections that break."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from actors.blobs import BlobActor, BlobSettings
from bus import Code, RpcError
from bus.testing import Wire
from troupe.blob.v1 import BlobFileService, BlobService, Reference
from troupe_client import Hub, connect

from .conftest import Hall
from .test_documentation import EXAMPLES, run

CONTENT = random.Random(3).randbytes(6_000_000)


@pytest.fixture
async def blobs(hall: Hall, tmp_path: Path) -> AsyncIterator[BlobActor]:
    actor = BlobActor(BlobSettings(min_free_bytes=0, max_upload_bytes=10_000_000), tmp_path / "home")
    await actor.start()
    await hall.server.add(actor, BlobService.INFO)
    await hall.server.add(actor, BlobFileService.INFO)
    yield actor
    await actor.stop()


@pytest.fixture
async def hub(hall: Hall, blobs: BlobActor, make_wire: Callable[[int], object]) -> AsyncIterator[tuple[Hub, Wire]]:
    async with hall.gateway() as rpc:
        wire = await make_wire(rpc.port)  # type: ignore[misc]  # a fixture that makes wires
        async with asyncio.timeout(60), connect(f"127.0.0.1:{wire.port}") as hub:
            yield hub, wire


@pytest.mark.parametrize("size", [0, 1, len(CONTENT)])
async def test_a_file_goes_up_and_comes_down(hub: tuple[Hub, Wire], tmp_path: Path, size: int) -> None:
    own, _ = hub
    source, target = tmp_path / "tệp.wav", tmp_path / "out"
    source.write_bytes(CONTENT[:size])
    told: list[tuple[int, int]] = []
    reference = await own.blobs.upload(source, told=lambda sent, of: told.append((sent, of)))
    assert (reference.media_type, reference.filename) == ("audio/x-wav", "tệp.wav")
    assert not size or told[-1] == (size, size)
    info = await own.blobs.download(reference, target)
    assert target.read_bytes() == CONTENT[:size]
    assert info == await own.blobs.info(info.id)
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")] == []


async def test_the_example_of_the_documents_runs(
    hub: tuple[Hub, Wire], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "talk.wav").write_bytes(CONTENT)
    (example,) = [text for text in EXAMPLES if "blobs" in text]
    await run(example.replace("connect()", f"connect('{hub[0].channel.target}')"), {})
    assert (tmp_path / "copy.wav").read_bytes() == CONTENT


async def test_bytes_go_up_and_a_range_comes_down(hub: tuple[Hub, Wire]) -> None:
    own, _ = hub
    reference = await own.blobs.upload(CONTENT, media_type="image/png", filename="a.png", expires_in=60)
    assert (await own.blobs.info(reference)).HasField("expires_at")
    pieces = [piece async for piece in own.blobs.pieces(reference, 1_000_000, 2_500_000)]
    assert b"".join(pieces) == CONTENT[1_000_000:3_500_000]
    await own.blobs.delete(reference)
    with pytest.raises(RpcError) as caught:
        await own.blobs.info(reference)
    assert (caught.value.code, caught.value.reason) == (Code.NOT_FOUND, "BLOB_NOT_FOUND")


async def test_an_upload_goes_on_where_a_lost_connection_left_it(hub: tuple[Hub, Wire], tmp_path: Path) -> None:
    own, wire = hub
    cuts = 0
    sent: list[int] = []

    def told(there: int, _: int) -> None:
        nonlocal cuts
        sent.append(there)
        if cuts < 2 and there > (3_000_000, 5_000_000)[cuts]:
            cuts += 1
            wire.cut()

    reference = await own.blobs.upload(CONTENT, told=told)
    assert cuts == 2
    assert sent[-1] == len(CONTENT)
    target = tmp_path / "out"
    await own.blobs.download(reference, target)
    assert target.read_bytes() == CONTENT


async def test_a_download_goes_on_where_a_lost_connection_left_it(hub: tuple[Hub, Wire], tmp_path: Path) -> None:
    own, wire = hub
    reference = await own.blobs.upload(CONTENT)
    cut = False

    def told(there: int, _: int) -> None:
        nonlocal cut
        if there > 2_000_000 and not cut:
            cut = True
            wire.cut()

    await own.blobs.download(reference, tmp_path / "out", told=told)
    assert cut
    assert (tmp_path / "out").read_bytes() == CONTENT


async def test_what_cannot_be_read_or_written_is_told_with_its_path(hub: tuple[Hub, Wire], tmp_path: Path) -> None:
    own, _ = hub
    with pytest.raises(RpcError, match=r"missing\.txt cannot be read") as caught:
        await own.blobs.upload(tmp_path / "missing.txt")
    assert (caught.value.code, caught.value.reason) == (Code.INVALID_ARGUMENT, "FILE_UNREADABLE")
    reference = await own.blobs.upload(b"x")
    with pytest.raises(RpcError, match="cannot be written") as caught:
        await own.blobs.download(reference, tmp_path / "no" / "folder")
    assert caught.value.reason == "FILE_UNWRITABLE"


async def test_what_is_not_there_leaves_no_file(hub: tuple[Hub, Wire], tmp_path: Path) -> None:
    own, _ = hub
    with pytest.raises(RpcError) as caught:
        await own.blobs.download(Reference(uri="blob:" + "0" * 32), tmp_path / "out")
    assert caught.value.reason == "BLOB_NOT_FOUND"
    assert list(tmp_path.glob("*out*")) == []


async def test_what_is_too_large_is_refused_before_it_is_sent(hub: tuple[Hub, Wire]) -> None:
    own, _ = hub
    with pytest.raises(RpcError) as caught:
        await own.blobs.upload(CONTENT * 2)
    assert caught.value.reason == "MESSAGE_TOO_LARGE", str(caught.value)
