"""Blobs as an actor has them, on both transports."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from actors.blobs import BlobActor, BlobSettings
from bus import Code, RpcError
from bus.channel import Channel
from bus.server import Server
from bus.testing import NatsServer
from bus.transports import Transport
from bus.transports.memory import MemoryBroker, MemoryTransport
from bus.transports.nats import NatsTransport
from host.blobs import Blobs
from troupe.blob.v1 import BlobService, Reference

CONTENT = random.Random(5).randbytes(3_000_000)


@pytest.fixture(params=["nats", "memory"])
async def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Blobs]:
    transports: list[Transport]
    if request.param == "nats":
        server: NatsServer = request.getfixturevalue("nats_server")
        transports = [await NatsTransport.connect(server.url, name) for name in ("blobs", "actor")]
    else:
        broker = MemoryBroker()
        transports = [MemoryTransport(broker), MemoryTransport(broker)]
    actor = BlobActor(BlobSettings(min_free_bytes=0), tmp_path / "home")
    await actor.start()
    serving, channel = Server(transports[0]), Channel(transports[1])
    await serving.add(actor, BlobService.INFO)
    async with asyncio.timeout(30):
        yield Blobs(channel)
    await channel.close()
    await serving.drain(1)
    await actor.stop()
    for transport in transports:
        await transport.close()


async def made() -> AsyncIterator[bytes]:
    for start in range(0, len(CONTENT), 100_000):
        yield CONTENT[start : start + 100_000]


async def test_bytes_files_and_pieces_are_kept_and_come_back(blobs: Blobs, tmp_path: Path) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    source.write_bytes(CONTENT)
    for content in (CONTENT, source, made()):
        reference = await blobs.put(content, media_type="audio/wav", filename="a.wav", expires_in=60)
        assert (reference.media_type, reference.filename) == ("audio/wav", "a.wav")
        assert await blobs.read(reference) == CONTENT
        await blobs.fetch(reference, target)
        assert target.read_bytes() == CONTENT
        assert (await blobs.info(reference)).HasField("expires_at")
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["in", "out"]


async def test_a_range_comes_alone(blobs: Blobs) -> None:
    reference = await blobs.put(CONTENT)
    assert b"".join([piece async for piece in blobs.pieces(reference, 10, 100_000)]) == CONTENT[10:100_010]


async def test_holders_are_named_and_the_last_may_take_it_along(blobs: Blobs) -> None:
    reference = await blobs.put(b"x")
    await blobs.hold(reference, "a")
    await blobs.hold(reference, "b")
    assert await blobs.release(reference, "a", delete_unheld=True) is False
    assert await blobs.release(reference, "b", delete_unheld=True) is True
    with pytest.raises(RpcError) as caught:
        await blobs.info(reference)
    assert caught.value.code is Code.NOT_FOUND


async def test_everything_that_goes_wrong_is_an_rpc_error(blobs: Blobs, tmp_path: Path) -> None:
    reference = await blobs.put(CONTENT)
    gone = Reference(uri="blob:" + "0" * 32)
    for attempt, reason in (
        (blobs.put(tmp_path / "missing"), "FILE_UNREADABLE"),
        (blobs.put(tmp_path), "FILE_UNREADABLE"),
        (blobs.fetch(reference, tmp_path / "no" / "folder"), "FILE_UNWRITABLE"),
        (blobs.fetch(gone, tmp_path / "out"), "BLOB_NOT_FOUND"),
        (blobs.read(gone), "BLOB_NOT_FOUND"),
        (blobs.read(reference, limit=1000), "MESSAGE_TOO_LARGE"),
        (blobs.info(Reference(uri="data:text/plain;base64,eA==")), "NOT_A_BLOB"),
    ):
        with pytest.raises(RpcError) as caught:
            await attempt
        assert caught.value.reason == reason
    assert list(tmp_path.glob("*out*")) == []
    await blobs.delete(reference.uri)
