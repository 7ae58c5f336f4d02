"""Blobs as files: rows and content together, also after an end between two steps."""

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bus import Code, RpcError
from store import BlobFiles, BlobLimits, BlobRow, NewBlob, blob_rows
from store.blobs import STRAY_SECONDS, UPLOAD_SECONDS

WORD = b"plant-\xc4\x91\xe1\xba\xb7c-bi\xe1\xbb\x87t-4711"
NAME = "tên-mật-4712.txt"
LIMITS = BlobLimits(blob=1_000_000, total=2_000_000, free=0)


class Wall:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
def files(tmp_path: Path, wall: Wall) -> Iterator[BlobFiles]:
    made = BlobFiles(tmp_path / "blobs", LIMITS, clock=wall)
    yield made
    made.close()


def put(files: BlobFiles, content: bytes = WORD, owner: str = "ada", **said: Any) -> BlobRow:
    row, _ = files.begin(owner, NewBlob(**said))
    files.partial(row.id).write_bytes(content)
    return files.finish(row, len(content), hashlib.sha256(content).hexdigest())


def found_in(folder: Path, *words: bytes) -> list[str]:
    """Every file below that has one of the words."""
    every = [path for path in folder.rglob("*") if path.is_file()]
    return [path.name for path in every if any(word in path.read_bytes() for word in words)]


def test_content_lies_in_one_file_that_only_its_owner_may_read(files: BlobFiles, tmp_path: Path) -> None:
    row = put(files, filename=NAME, media_type="text/plain")
    path = files.path(row.id)
    assert path.read_bytes() == WORD
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert found_in(tmp_path, WORD) == [row.id]
    known = files.find("ada", row.id)
    assert (known.size, known.media_type, known.filename, known.complete) == (len(WORD), "text/plain", NAME, True)
    assert known.sha256 == hashlib.sha256(WORD).hexdigest()


@pytest.mark.parametrize("key", ["", "x", "../../etc/passwd", "0" * 32])
def test_what_is_not_there_or_somebody_elses_is_the_same_not_found(files: BlobFiles, key: str) -> None:
    row = put(files)
    errors = []
    for owner, blob_id in (("ada", key), ("bob", row.id), ("", row.id)):
        with pytest.raises(RpcError) as caught:
            files.find(owner, blob_id)
        errors.append((caught.value.code, caught.value.reason, caught.value.message.replace(blob_id, "")))
    assert len(set(errors)) == 1
    assert errors[0][:2] == (Code.NOT_FOUND, "BLOB_NOT_FOUND")


def test_deleting_leaves_no_byte_of_content_or_name_in_any_file(files: BlobFiles, tmp_path: Path) -> None:
    others = [put(files, b"another %d" % number) for number in range(20)]
    row = put(files, filename=NAME)
    still_open = os.open(files.path(row.id), os.O_RDONLY)
    assert found_in(tmp_path, WORD, NAME.encode())
    files.remove(row.id)
    files.remove(row.id)
    assert found_in(tmp_path, WORD, NAME.encode()) == []
    assert os.pread(still_open, 100, 0) == b"", "whoever has it open reads nothing either"
    os.close(still_open)
    assert [files.path(other.id).read_bytes() for other in others] == [b"another %d" % number for number in range(20)]


CHILD = f"""
import hashlib, os, signal, sys
from pathlib import Path
from store import BlobFiles, BlobLimits, NewBlob

def after(step):
    if step == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)

files = BlobFiles(Path(sys.argv[1]), BlobLimits(free=0), after=after)
row, _ = files.begin("ada", NewBlob(filename={NAME!r}, upload_id="u" * 16 if sys.argv[3] == "named" else ""))
content = {WORD!r}
files.partial(row.id).write_bytes(content)
row = files.finish(row, len(content), hashlib.sha256(content).hexdigest())
print(row.id, flush=True)
files.remove(row.id)
"""


@pytest.mark.parametrize("step", ["row removed", "file cut", "file removed"])
def test_a_deletion_that_was_killed_between_two_steps_is_done_at_the_next_start(tmp_path: Path, step: str) -> None:
    home = tmp_path / "home"
    blob_id = killed(home / "blobs", step).strip()
    assert len(blob_id) == 32
    files = BlobFiles(home / "blobs", LIMITS)
    assert found_in(home, WORD, NAME.encode()) == []
    with pytest.raises(RpcError, match="no blob"):
        files.find("ada", blob_id)
    files.close()


@pytest.mark.parametrize("step", ["row added", "file made", "file placed"])
def test_an_upload_that_was_killed_leaves_nothing_unless_it_can_be_continued(tmp_path: Path, step: str) -> None:
    for named in ("named", "nameless"):
        home = tmp_path / named
        killed(home / "blobs", step, named)
        files = BlobFiles(home / "blobs", LIMITS)
        if named == "named" and step == "file placed":
            row = files.upload("ada", "u" * 16)
            assert (row.complete, files.received(row)) == (False, len(WORD))
            files.finish(row, len(WORD), hashlib.sha256(WORD).hexdigest())
            assert files.path(row.id).read_bytes() == WORD
            files.remove(row.id)
        assert found_in(home, WORD) == []
        assert named == "named" or found_in(home, NAME.encode()) == []
        files.close()


def test_a_whole_upload_outlives_a_kill(tmp_path: Path) -> None:
    killed(tmp_path / "blobs", "row completed", "named")
    files = BlobFiles(tmp_path / "blobs", LIMITS)
    row = files.upload("ada", "u" * 16)
    assert row.complete
    assert files.path(row.id).read_bytes() == WORD
    files.close()


def killed(folder: Path, step: str, named: str = "nameless") -> str:
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder), step, named], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    return done.stdout


def test_a_second_process_does_not_get_the_folder(files: BlobFiles, tmp_path: Path) -> None:
    with pytest.raises(RpcError) as caught:
        BlobFiles(tmp_path / "blobs", LIMITS)
    assert caught.value.reason == "BLOBS_IN_USE"


def test_files_of_nobody_and_rows_without_files_go_at_the_start(tmp_path: Path) -> None:
    files = BlobFiles(tmp_path, LIMITS)
    row, kept = put(files), put(files, b"kept")
    files.close()
    files.path(row.id).unlink()
    stray = tmp_path / "ab" / ("ab" + "0" * 30)
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(WORD)
    files = BlobFiles(tmp_path, LIMITS)
    assert found_in(tmp_path, WORD) == []
    with pytest.raises(RpcError):
        files.find("ada", row.id)
    assert files.find("ada", kept.id) == kept
    files.close()


def test_what_is_too_large_is_refused_before_a_byte_is_written(files: BlobFiles) -> None:
    with pytest.raises(RpcError) as caught:
        files.begin("ada", NewBlob(size=1_000_001))
    assert (caught.value.code, caught.value.reason) == (Code.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE")
    assert files.begin("ada", NewBlob(size=1_000_000))[1] == 1_000_000
    assert files.begin("ada", NewBlob())[1] == 1_000_000


def test_all_together_have_a_limit_that_announced_content_counts_for(files: BlobFiles) -> None:
    files.begin("ada", NewBlob(size=900_000))
    row, _ = files.begin("bob", NewBlob(size=900_000))
    with pytest.raises(RpcError, match="200,000 bytes left") as caught:
        files.begin("ada", NewBlob(size=300_000))
    assert caught.value.reason == "STORE_FULL"
    unknown, left = files.begin("ada", NewBlob())
    assert (left, files.scarce(unknown, left), files.scarce(row, 900_000)) == (200_000, True, False)
    assert files.begin("ada", NewBlob(size=0))[1] == 0
    files.remove(row.id)
    files.begin("ada", NewBlob(size=300_000))


def test_the_disk_keeps_its_floor(tmp_path: Path) -> None:
    files = BlobFiles(tmp_path, BlobLimits(free=2**62))
    with pytest.raises(RpcError, match="the disk") as caught:
        files.begin("ada", NewBlob(size=1))
    assert caught.value.reason == "STORE_FULL"
    files.close()


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"media_type": "audio"}, "media_type"),
        ({"media_type": "text/html\r\nx: y"}, "media_type"),
        ({"filename": "a\nb"}, "filename"),
        ({"filename": "đ" * 128}, "filename"),
        ({"sha256": "abc"}, "sha256"),
        ({"upload_id": "short"}, "upload_id"),
        ({"upload_id": "with space and more"}, "upload_id"),
        ({"expires_in": 0.5}, "expires_in"),
        ({"expires_in": 1e12}, "expires_in"),
    ],
)
def test_what_is_said_wrongly_is_refused_with_its_field(files: BlobFiles, said: dict[str, Any], field: str) -> None:
    with pytest.raises(RpcError) as caught:
        files.begin("ada", NewBlob(**said))
    assert (caught.value.code, caught.value.field) == (Code.INVALID_ARGUMENT, field)


def test_content_that_is_not_what_was_promised_is_not_kept(files: BlobFiles, tmp_path: Path) -> None:
    with pytest.raises(RpcError) as caught:
        put(files, size=5)
    assert caught.value.reason == "SIZE_MISMATCH"
    with pytest.raises(RpcError) as caught:
        put(files, sha256="0" * 64, upload_id="u" * 16)
    assert (caught.value.code, caught.value.reason) == (Code.INVALID_ARGUMENT, "DIGEST_MISMATCH")
    with pytest.raises(RpcError, match="no blob"):
        files.upload("ada", "u" * 16)
    content = put(files, sha256=hashlib.sha256(WORD).hexdigest().upper(), size=len(WORD))
    assert content.complete


def test_an_upload_is_continued_by_its_owner_under_its_own_name(files: BlobFiles) -> None:
    first, _ = files.begin("ada", NewBlob(upload_id="u" * 16, size=100))
    files.partial(first.id).write_bytes(b"x" * 40)
    again, room = files.begin("ada", NewBlob(upload_id="u" * 16))
    assert (again, files.received(again), room) == (first, 40, 100)
    other, _ = files.begin("bob", NewBlob(upload_id="u" * 16))
    assert other.id != first.id
    files.partial(first.id).write_bytes(b"x" * 100)
    files.finish(first, 100, hashlib.sha256(b"x" * 100).hexdigest())
    with pytest.raises(RpcError) as caught:
        files.begin("ada", NewBlob(upload_id="u" * 16))
    assert caught.value.reason == "UPLOAD_COMPLETE"
    assert files.upload("ada", "u" * 16).complete


def test_a_blob_expires_after_its_time_unless_somebody_holds_it(files: BlobFiles, wall: Wall, tmp_path: Path) -> None:
    held, loose, lasting = put(files, expires_in=60), put(files, expires_in=60), put(files)
    files.hold(held, "conversation/1")
    files.hold(held, "conversation/1")
    files.hold(held, "conversation/2")
    assert files.holders(held) == ["conversation/1", "conversation/2"]
    wall.now += 59
    assert files.sweep() == 0
    wall.now += 2
    with pytest.raises(RpcError, match="no blob"):
        files.find("ada", loose.id)
    assert files.sweep() == 1
    assert sorted(found_in(tmp_path, WORD)) == sorted([held.id, lasting.id])
    assert files.release(held, "conversation/1") == 1
    assert files.release(held, "nobody") == 1
    assert files.sweep() == 0
    assert files.release(held, "conversation/2") == 0
    assert files.sweep() == 1
    assert found_in(tmp_path, WORD) == [lasting.id]


def test_holders_are_bounded(files: BlobFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blob_rows, "MAX_HOLDERS", 3)
    row = put(files)
    for number in range(3):
        files.hold(row, str(number))
    files.hold(row, "1")
    with pytest.raises(RpcError) as caught:
        files.hold(row, "one more")
    assert caught.value.reason == "TOO_MANY_HOLDERS"
    for name in ("", "x" * 201):
        with pytest.raises(RpcError) as caught:
            files.hold(row, name)
        assert caught.value.field == "holder"


def test_uploads_that_nobody_continues_are_removed(files: BlobFiles, wall: Wall, tmp_path: Path) -> None:
    named, _ = files.begin("ada", NewBlob(upload_id="u" * 16))
    nameless, _ = files.begin("ada", NewBlob())
    for row in (named, nameless):
        files.partial(row.id).write_bytes(WORD)
        os.utime(files.partial(row.id), (wall.now, wall.now))
    wall.now += STRAY_SECONDS + 1
    assert files.sweep(lambda blob_id: blob_id == nameless.id) == 0, "it is under way"
    assert files.sweep() == 1
    assert found_in(tmp_path, WORD) == [named.id]
    wall.now += UPLOAD_SECONDS
    assert files.sweep() == 1
    assert found_in(tmp_path, WORD) == []
