"""Hashes of files: computed beside everything else, once, and remembered."""

import asyncio
import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from actors.model import digests as module
from actors.model.digests import Digests, sha256_of, stamps
from bus import Code, RpcError
from bus.transports.memory import MemoryBroker, MemoryTransport
from store import Tables, store_of
from troupe.family.v1 import FileDigest

HELLO = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"


@pytest.fixture
def table() -> Tables:
    return store_of(MemoryTransport(MemoryBroker(), "family-1")).table


def file(path: Path, text: str = "hello") -> Path:
    path.write_text(text)
    return path


class Told:
    """Waits until what is asked for is so; asked anew whenever something was told."""

    def __init__(self) -> None:
        self.event = asyncio.Event()

    def __call__(self) -> None:
        self.event.set()

    async def until(self, so: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not so():
                self.event.clear()
                await self.event.wait()


async def test_a_file_is_hashed_and_told_and_a_list_does_not_wait_for_it(table: Tables, tmp_path: Path) -> None:
    files, told = stamps([file(tmp_path / "a.gguf")]), Told()
    async with Digests(table, told, first=0) as digests:
        digests.want([files])
        assert digests.of(files) == ""
        await told.until(lambda: digests.of(files) == f"sha256:{HELLO}")


async def test_several_files_have_the_hash_of_what_sha256sum_prints(table: Tables, tmp_path: Path) -> None:
    paths = [file(tmp_path / "b", "hello"), file(tmp_path / "a", "hello")]
    files, told = stamps(paths), Told()
    lines = f"{HELLO}  a\n{HELLO}  b\n".encode()
    async with Digests(table, told, first=0) as digests:
        digests.want([files])
        await told.until(lambda: digests.of(files) == f"sha256:{hashlib.sha256(lines).hexdigest()}")


async def test_what_was_hashed_once_is_known_after_a_restart_and_hashed_again_when_it_changes(
    table: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, told = file(tmp_path / "a.gguf"), Told()
    hashed = []
    own = sha256_of

    def counted(path: Path, stop: threading.Event) -> bytes | None:
        hashed.append(path)
        return own(path, stop)

    monkeypatch.setattr(module, "sha256_of", counted)

    async def known() -> None:
        files = stamps([path])
        async with Digests(table, told, first=0) as digests:
            digests.want([files])
            await told.until(lambda: digests.of(files) != "")

    await known()
    await known()
    assert hashed == [path]
    os.utime(path, ns=(1, 1))
    await known()
    assert hashed == [path, path]
    assert len(await (await table(module.TABLE, FileDigest)).keys()) == 1


async def test_leaving_ends_a_hash_that_is_under_way(
    table: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, asked = threading.Event(), threading.Event()

    def endless(path: Path, stop: threading.Event) -> bytes | None:
        began.set()
        stop.wait(20)
        asked.set()
        return None

    monkeypatch.setattr(module, "sha256_of", endless)
    async with asyncio.timeout(20), Digests(table, Told(), first=0) as digests:
        digests.want([stamps([file(tmp_path / "a")])])
        await asyncio.to_thread(began.wait)
    assert asked.is_set()


async def test_a_file_that_vanishes_or_changes_meanwhile_is_not_told_and_holds_up_no_other(
    table: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, changes, stays = (file(tmp_path / name) for name in "abc")
    files = [stamps([each]) for each in (gone, changes, stays)]
    gone.unlink()
    own = sha256_of

    def meanwhile(path: Path, stop: threading.Event) -> bytes | None:
        if path == changes:
            os.utime(path, ns=(7, 7))
        return own(path, stop)

    monkeypatch.setattr(module, "sha256_of", meanwhile)
    told = Told()
    async with Digests(table, told, first=0) as digests:
        digests.want(files)
        await told.until(lambda: digests.of(files[2]) != "")
        assert [digests.of(each) for each in files[:2]] == ["", ""]


async def test_a_store_that_is_away_is_tried_again(
    table: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0)
    tries: list[str] = []

    async def failing(name: str, kind: type[FileDigest], **options: object) -> object:
        tries.append(name)
        if len(tries) < 3:
            raise RpcError(Code.UNAVAILABLE, "Away.", reason="STORE_UNAVAILABLE")
        return await table(name, kind)

    files, told = stamps([file(tmp_path / "a")]), Told()
    async with Digests(failing, told, first=0) as digests:  # type: ignore[arg-type]  # a table of one kind alone
        digests.want([files])
        await told.until(lambda: digests.of(files) != "")
    assert len(tries) == 3


def test_files_that_cannot_be_looked_at_have_no_stamp(tmp_path: Path) -> None:
    assert stamps([file(tmp_path / "a"), tmp_path / "missing"]) == ()
    assert stamps([]) == ()


def test_a_large_file_is_hashed_in_pieces_whether_it_is_cached_or_not(tmp_path: Path) -> None:
    data = os.urandom(module.PIECE * 2 + 12345)
    path = tmp_path / "large"
    path.write_bytes(data)
    wanted = hashlib.sha256(data).digest()
    assert sha256_of(path, threading.Event()) == wanted
    with path.open("rb") as opened:
        os.fsync(opened.fileno())
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    assert sha256_of(path, threading.Event()) == wanted
    stopped = threading.Event()
    stopped.set()
    assert sha256_of(path, stopped) is None
