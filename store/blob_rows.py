"""What is known of each blob: one SQLite file, whose deleted rows leave no byte behind."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

MAX_HOLDERS = 1000

# Deleted content is overwritten (secure_delete), and the journal, which has it once more, goes with each commit
# (journal_mode DELETE). A write-ahead log would keep it until somebody checkpoints.
_SETTINGS = """
pragma journal_mode = delete;
pragma secure_delete = on;
pragma synchronous = full;
pragma foreign_keys = on;
pragma temp_store = memory;
"""
_SCHEMA = """
create table if not exists blob (
    id text primary key,
    owner text not null,
    upload_id text not null,
    media_type text not null,
    filename text not null,
    size integer,
    sha256 text not null,
    complete integer not null,
    created_at real not null,
    expires_at real
) without rowid;
create unique index if not exists upload on blob (owner, upload_id) where upload_id != '';
create index if not exists expiry on blob (expires_at) where expires_at is not null;
create table if not exists holder (
    blob text not null references blob (id) on delete cascade,
    name text not null,
    primary key (blob, name)
) without rowid;
"""
_COLUMNS = "id, owner, upload_id, media_type, filename, size, sha256, complete, created_at, expires_at"


@dataclass(frozen=True, slots=True)
class BlobRow:
    """A blob. owner: who put it there, "" is the hub itself. Times are seconds since 1970."""

    id: str
    owner: str
    upload_id: str
    """What its owner called the upload; empty: it cannot be continued."""
    media_type: str
    filename: str
    size: int | None
    """Of the whole content; None: not known yet."""
    sha256: str
    complete: bool
    created_at: float
    expires_at: float | None


class BlobRows:
    """The table, for one thread at a time."""

    def __init__(self, path: Path) -> None:
        path.touch(mode=0o600)
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.executescript(_SETTINGS + _SCHEMA)

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        self._db.execute("begin immediate")
        try:
            yield self._db
        except BaseException:
            self._db.execute("rollback")
            raise
        self._db.execute("commit")

    def add(self, row: BlobRow) -> None:
        """Write a new one down."""
        values = [getattr(row, name) for name in BlobRow.__slots__]
        with self._change() as db:
            db.execute(f"insert into blob ({_COLUMNS}) values ({','.join('?' * len(values))})", values)  # noqa: S608

    def complete(self, blob_id: str, size: int, sha256: str, expires_at: float | None) -> None:
        """Its content is whole."""
        with self._change() as db:
            db.execute(
                "update blob set complete = 1, size = ?, sha256 = ?, expires_at = ? where id = ?",
                (size, sha256, expires_at, blob_id),
            )

    def remove(self, blob_id: str) -> None:
        """Forget it and its holders; what is not there is forgotten already."""
        with self._change() as db:
            db.execute("delete from blob where id = ?", (blob_id,))

    def find(self, blob_id: str) -> BlobRow | None:
        """By its id."""
        return self._one("id = ?", blob_id)

    def upload(self, owner: str, upload_id: str) -> BlobRow | None:
        """By what its owner called it."""
        return self._one("owner = ? and upload_id = ? and upload_id != ''", owner, upload_id)

    def _one(self, where: str, *values: str) -> BlobRow | None:
        return next(self._some(where, *values), None)

    def _some(self, where: str, *values: object) -> Iterator[BlobRow]:
        for found in self._db.execute(f"select {_COLUMNS} from blob where {where}", values).fetchall():  # noqa: S608
            row = BlobRow(*found)
            yield replace(row, complete=bool(row.complete))

    def all(self) -> list[BlobRow]:
        """Every one."""
        return list(self._some("1"))

    def expired(self, now: float, limit: int) -> list[BlobRow]:
        """At most `limit` whose time is over and that nobody holds."""
        unheld = "not exists (select 1 from holder where blob = id)"
        return list(self._some(f"expires_at <= ? and complete and {unheld} limit {int(limit)}", now))

    def unfinished(self) -> list[BlobRow]:
        """Uploads that have not ended."""
        return list(self._some("not complete"))

    def total(self) -> int:
        """Bytes of all, also of those that were announced and are still coming."""
        found: int = self._db.execute("select coalesce(sum(size), 0) from blob").fetchone()[0]
        return found

    def hold(self, blob_id: str, holder: str) -> bool:
        """Whether there was room for one more."""
        with self._change() as db:
            db.execute("insert or ignore into holder values (?, ?)", (blob_id, holder))
            if len(self.holders(blob_id)) <= MAX_HOLDERS:
                return True
            db.execute("delete from holder where blob = ? and name = ?", (blob_id, holder))
            return False

    def release(self, blob_id: str, holder: str) -> int:
        """How many are left."""
        with self._change() as db:
            db.execute("delete from holder where blob = ? and name = ?", (blob_id, holder))
        return len(self.holders(blob_id))

    def holders(self, blob_id: str) -> list[str]:
        """Sorted."""
        return [name for (name,) in self._db.execute("select name from holder where blob = ? order by 1", (blob_id,))]

    def close(self) -> None:
        """Close the file."""
        self._db.close()
