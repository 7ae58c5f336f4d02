"""Blobs: documents, images, audio, adapters; whatever is too large for a message. Content is files, what is known rows.

Not JetStream's object store: its purge leaves the bytes in its files, and every byte would travel over the bus. Here a
deleted blob is gone from every file, also when the process dies between two steps:

1. Begin: the row, then an empty file in `partial/`.
2. Finish: the file to the disk, then to its place, then `complete` into the row.
3. Delete: the row, then the file, which is cut to nothing before its name goes, for whoever still has it open.

At the start files without a row are removed, rows without a file too, and a file that came to its place before its row
said so goes back to `partial/`, where its upload can be continued.
"""

import fcntl
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from bus import errors
from bus.errors import Code, RpcError
from store.blob_rows import MAX_HOLDERS, BlobRow, BlobRows

GIGABYTE = 1024 * 1024 * 1024
UPLOAD_SECONDS = 24 * 3600.0
"""An upload that nobody has continued for so long is removed."""

STRAY_SECONDS = 3600.0
"""One that nobody can continue, since the process that wrote its file has ended."""

SWEEP = 100
"""Expired blobs that are removed in one turn."""

_ID = re.compile(r"[0-9a-f]{32}")
_UPLOAD_ID = re.compile(r"[A-Za-z0-9_-]{16,64}")
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,80}/[A-Za-z0-9!#$&^_.+-]{1,80}(;[ -~]{0,100})?")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class BlobLimits:
    """Bytes: of one blob, of all together, and of the disk that stay free."""

    blob: int = 512 * 1024 * 1024
    total: int = 64 * GIGABYTE
    free: int = GIGABYTE


@dataclass(frozen=True, slots=True)
class NewBlob:
    """What is said of content before it comes. expires_in: seconds; None: never."""

    media_type: str = ""
    filename: str = ""
    size: int | None = None
    sha256: str = ""
    expires_in: float | None = None
    upload_id: str = ""

    def checked(self) -> "NewBlob":
        """With its defaults. Raises INVALID_ARGUMENT and names the field."""
        media_type = self.media_type or "application/octet-stream"
        if not _MEDIA_TYPE.fullmatch(media_type):
            raise errors.invalid(f"{media_type[:80]!r} is no media type; write it like audio/wav.", "media_type")
        if len(self.filename.encode()) > 255 or _CONTROL.search(self.filename):
            raise errors.invalid("A file name is at most 255 bytes long and has no control characters.", "filename")
        if self.sha256 and not _SHA256.fullmatch(self.sha256.lower()):
            raise errors.invalid("sha256 is 64 hexadecimal digits.", "sha256")
        if self.upload_id and not _UPLOAD_ID.fullmatch(self.upload_id):
            raise errors.invalid("upload_id is 16 to 64 of the characters A-Z a-z 0-9 _ -.", "upload_id")
        if self.expires_in is not None and not 1 <= self.expires_in <= 3660 * 86400:
            raise errors.invalid("expires_in is 1 second to 10 years.", "expires_in")
        return replace(self, media_type=media_type, sha256=self.sha256.lower())


class BlobFiles:
    """Blobs in a folder, for one process and one thread at a time; everything here may wait for the disk.

    clock: seconds since 1970. after: called with the name of each step that is done, for tests that end there. Raises
    FAILED_PRECONDITION (BLOBS_IN_USE) if another process has the folder.
    """

    def __init__(
        self,
        folder: Path,
        limits: BlobLimits,
        *,
        clock: Callable[[], float] = time.time,
        after: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.limits = limits
        self._folder = folder
        self._clock = clock
        self._after = after
        self._partial = folder / "partial"
        for made in (folder, self._partial):
            made.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = _locked(folder)
        self._rows = BlobRows(folder / "rows.sqlite")
        self._recover()

    def close(self) -> None:
        """Let another process have the folder."""
        self._rows.close()
        self._lock.close()

    # ---- uploads

    def begin(self, owner: str, new: NewBlob) -> tuple[BlobRow, int]:
        """A place for new content, or the one that the same upload has; with the bytes that it may have at most.

        Raises INVALID_ARGUMENT, RESOURCE_EXHAUSTED (MESSAGE_TOO_LARGE, STORE_FULL).
        """
        new = new.checked()
        known = self._rows.upload(owner, new.upload_id)
        if known is not None and not known.complete:
            return known, self._room(known.size, already=known.size or 0)
        if known is not None:
            raise RpcError(Code.ALREADY_EXISTS, "This upload has ended; Stat tells its blob.", reason="UPLOAD_COMPLETE")
        room = self._room(new.size)
        now = self._clock()
        expires_at = None if new.expires_in is None else now + new.expires_in
        row = BlobRow(
            secrets.token_hex(16), owner, new.upload_id, new.media_type, new.filename, new.size, new.sha256,
            complete=False, created_at=now, expires_at=expires_at,
        )  # fmt: skip
        self._rows.add(row)
        self._after("row added")
        os.close(os.open(self.partial(row.id), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        self._after("file made")
        return row, room

    def _room(self, size: int | None, already: int = 0) -> int:
        if size is not None and size > self.limits.blob:
            raise too_large(size, self.limits.blob)
        total = self.limits.total - self._rows.total() + already
        disk = shutil.disk_usage(self._folder).free - self.limits.free
        room = min(total, disk)
        if room < (size or 1) and size != 0:
            what = "what blobs may take together" if total < disk else "the disk"
            raise full(f"{what} has {max(0, room):,} bytes left")
        return min(self.limits.blob if size is None else size, room)

    def scarce(self, row: BlobRow, limit: int) -> bool:
        """The limit that `begin` gave is the room that is left, and less than such content may have."""
        return row.size is None and limit < self.limits.blob

    def partial(self, blob_id: str) -> Path:
        """Where content is written while it comes."""
        return self._partial / blob_id

    def finish(self, row: BlobRow, size: int, sha256: str) -> BlobRow:
        """Its partial file is written and on the disk; make it the blob.

        Raises INVALID_ARGUMENT (SIZE_MISMATCH; DIGEST_MISMATCH, which removes it), and RESOURCE_EXHAUSTED (STORE_FULL).
        NOT_FOUND if it was deleted meanwhile.
        """
        if self._rows.find(row.id) is None:
            raise not_found(row.id)
        if row.size is not None and size != row.size:
            message = f"The content has {size:,} bytes, and {row.size:,} were announced."
            raise errors.invalid(message, "size", reason="SIZE_MISMATCH")
        if row.sha256 and sha256 != row.sha256:
            self.remove(row.id)
            raise damaged()
        if row.size is None:
            self._room(size)
        place = self.path(row.id)
        if not place.parent.exists():
            place.parent.mkdir(mode=0o700)
            _to_disk(self._folder)
        self.partial(row.id).replace(place)
        _to_disk(place.parent)
        self._after("file placed")
        lived = self._clock() - row.created_at
        expires_at = None if row.expires_at is None else row.expires_at + lived
        self._rows.complete(row.id, size, sha256, expires_at)
        self._after("row completed")
        return replace(row, size=size, sha256=sha256, complete=True, expires_at=expires_at)

    def received(self, row: BlobRow) -> int:
        """Bytes that are there."""
        if row.complete:
            return row.size or 0
        try:
            return self.partial(row.id).stat().st_size
        except FileNotFoundError:
            return 0

    # ---- blobs

    def path(self, blob_id: str) -> Path:
        """Where the content of a whole blob is."""
        return self._folder / blob_id[:2] / blob_id

    def find(self, owner: str, blob_id: str) -> BlobRow:
        """A blob of this owner, whole or not. Raises NOT_FOUND (BLOB_NOT_FOUND), also for somebody else's."""
        row = self._rows.find(blob_id) if _ID.fullmatch(blob_id) else None
        if row is None or row.owner != owner or self._over(row):
            raise not_found(blob_id)
        return row

    def upload(self, owner: str, upload_id: str) -> BlobRow:
        """By what the owner called its upload. Raises NOT_FOUND (BLOB_NOT_FOUND)."""
        row = self._rows.upload(owner, upload_id)
        if row is None or self._over(row):
            raise not_found(upload_id)
        return row

    def _over(self, row: BlobRow) -> bool:
        expired = row.complete and row.expires_at is not None and row.expires_at <= self._clock()
        return expired and not self._rows.holders(row.id)

    def remove(self, blob_id: str) -> None:
        """Delete it, whole or not; deleting what is not there does nothing. Afterwards no file has a byte of it."""
        self._rows.remove(blob_id)
        self._after("row removed")
        for place in (self.path(blob_id), self.partial(blob_id)):
            self._erase(place)

    def _erase(self, path: Path) -> None:
        try:
            os.truncate(path, 0)
            self._after("file cut")
            path.unlink()
        except FileNotFoundError:
            return
        _to_disk(path.parent)
        self._after("file removed")

    def hold(self, row: BlobRow, holder: str) -> None:
        """Keep it from expiring. Raises INVALID_ARGUMENT, RESOURCE_EXHAUSTED (TOO_MANY_HOLDERS)."""
        _check_holder(holder)
        if not self._rows.hold(row.id, holder):
            message = f"{MAX_HOLDERS:,} hold this blob already, as many as can."
            raise RpcError(Code.RESOURCE_EXHAUSTED, message, reason="TOO_MANY_HOLDERS")

    def release(self, row: BlobRow, holder: str) -> int:
        """How many hold it still."""
        _check_holder(holder)
        return self._rows.release(row.id, holder)

    def holders(self, row: BlobRow) -> list[str]:
        """Who holds it, sorted."""
        return self._rows.holders(row.id)

    # ---- what is left over

    def sweep(self, busy: Callable[[str], bool] = lambda _: False) -> int:
        """Remove what has expired and uploads that nobody continues; how many. busy: whether one is under way."""
        now = self._clock()
        gone = [row.id for row in self._rows.expired(now, SWEEP)]
        for row in self._rows.unfinished():
            patience = UPLOAD_SECONDS if row.upload_id else STRAY_SECONDS
            if not busy(row.id) and now - self._touched(row) > patience:
                gone.append(row.id)
        for blob_id in gone:
            self.remove(blob_id)
        return len(gone)

    def _touched(self, row: BlobRow) -> float:
        try:
            return max(row.created_at, self.partial(row.id).stat().st_mtime)
        except FileNotFoundError:
            return row.created_at

    def _recover(self) -> None:
        """Bring rows and files together after an end between two steps."""
        rows = {row.id: row for row in self._rows.all()}
        placed = {path.name: path for path in self._folder.glob("??/*")}
        partial = {path.name: path for path in self._partial.iterdir()}
        for name, path in [*placed.items(), *partial.items()]:
            if name not in rows:
                self._erase(path)
        for row in rows.values():
            if not row.complete and not row.upload_id:
                self.remove(row.id)  # nobody can continue it
            elif not row.complete and row.id in placed and row.id not in partial:
                placed[row.id].replace(self.partial(row.id))
            elif row.id not in (placed if row.complete else partial):
                self._rows.remove(row.id)


def _locked(folder: Path) -> BinaryIO:
    lock = (folder / "lock").open("ab")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        message = f"Another process keeps the blobs in {folder}; end it first."
        raise RpcError(Code.FAILED_PRECONDITION, message, reason="BLOBS_IN_USE") from error
    return lock


def _to_disk(folder: Path) -> None:
    """What a folder says of its files lasts."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_holder(holder: str) -> None:
    if not 1 <= len(holder.encode()) <= 200:
        raise errors.invalid("A holder's name is 1 to 200 bytes long.", "holder")


def too_large(size: int, limit: int) -> RpcError:
    """Content is over the limit of one blob."""
    return RpcError(
        Code.RESOURCE_EXHAUSTED,
        f"{size:,} bytes are over the {limit:,} that were announced, or that [actors.blobs] max_upload_bytes allows.",
        reason="MESSAGE_TOO_LARGE",
        metadata={"size": str(size), "limit": str(limit)},
    )


def full(why: str) -> RpcError:
    """There is no room for it."""
    return RpcError(Code.RESOURCE_EXHAUSTED, f"The blob store is full: {why}; delete something.", reason="STORE_FULL")


def not_found(key: str) -> RpcError:
    """There is no such blob, or it is somebody else's."""
    return RpcError(Code.NOT_FOUND, f"There is no blob {key[:80]!r}.", reason="BLOB_NOT_FOUND")


def beyond(offset: int, size: int) -> RpcError:
    """Nothing is there."""
    message = f"Byte {offset:,} is beyond the {size:,} bytes that are there."
    return RpcError(Code.OUT_OF_RANGE, message, reason="BLOB_RANGE", metadata={"size": str(size)})


def damaged() -> RpcError:
    """The content is not what was promised."""
    message = "The content's SHA-256 is not the one that was announced; it was removed. Upload it again."
    return errors.invalid(message, "sha256", reason="DIGEST_MISMATCH")
