"""The hub that runs in a home: the lock that lets there be one, and the record of where it is reached.

The record is for whoever shares the home with it: `troupe status`, and clients that nobody told an address.
"""

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import msgspec

LOCK = "hub.lock"
RECORD = "hub.json"

ATTEMPTS = 5
PAUSE_SECONDS = 0.01


class AlreadyRunning(Exception):
    """A hub runs in this home. home: which; process: its number, or "unknown"."""

    def __init__(self, home: Path, process: str) -> None:
        super().__init__(
            f"A hub runs in {home} already (process {process}). Stop it first (`troupe stop`), or choose another "
            "TROUPE_HOME."
        )


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """A hub as others find it. started: seconds since 1970; doors: their addresses, "127.0.0.1:50051", by name."""

    process: int
    started: float
    doors: dict[str, str]
    bus: str


@contextmanager
def held(home: Path) -> Iterator[None]:
    """Hold a home, which is there, until the context or the process ends. Raises AlreadyRunning, OSError."""
    lock = take(home / LOCK, home)
    try:
        yield
    finally:
        (home / RECORD).unlink(missing_ok=True)
        os.close(lock)


def take(file: Path, home: Path) -> int:
    """A lock of this process on a file, as its descriptor; the kernel lets go of it with the process.

    Raises AlreadyRunning naming the home if another process has it, OSError.
    """
    lock = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    # Whoever looks whether it is held has it for a moment.
    for _ in range(ATTEMPTS):
        if _locked(lock):
            break
        time.sleep(PAUSE_SECONDS)
    else:
        owner = os.pread(lock, 32, 0).decode() or "unknown"
        os.close(lock)
        raise AlreadyRunning(home, owner)
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)
    return lock


def _locked(lock: int) -> bool:
    import fcntl

    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def record(home: Path, running: Running) -> None:
    """Let others find the hub that runs here. Raises OSError."""
    draft = home / f"{RECORD}.{secrets.token_hex(4)}"
    try:
        draft.write_bytes(msgspec.json.encode(running))
        draft.replace(home / RECORD)
    finally:
        draft.unlink(missing_ok=True)


def find(home: Path) -> Running | None:
    """The hub that runs in this home now; None where none does, or it has not come far enough to say."""
    if not is_held(home):
        return None
    with suppress(OSError, msgspec.MsgspecError):
        return msgspec.json.decode((home / RECORD).read_bytes(), type=Running)
    return None


def holder(home: Path) -> int:
    """The number of the process that holds the home; 0 if none does."""
    if not is_held(home):
        return 0
    with suppress(OSError, ValueError):
        return int((home / LOCK).read_text())
    return 0


def is_held(home: Path) -> bool:
    """A hub runs in this home. Where the system has no such locks, one that has left a record does."""
    if find_spec("fcntl") is None:
        return (home / RECORD).exists()
    try:
        lock = os.open(home / LOCK, os.O_RDWR)
    except OSError:
        return False
    try:
        return not _locked(lock)
    finally:
        os.close(lock)
