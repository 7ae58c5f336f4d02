"""What a child process prints: straight into a file of bounded size, without passing through its supervisor."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Self

MAX_BYTES = 8 * 1024 * 1024
TAIL_BYTES = 8 * 1024


class Output:
    """A log file that processes append to; a context that closes it.

    `trim` keeps it bounded: what is over becomes `<name>.1`, in place of the one before.
    """

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path = path
        self._max_bytes = max_bytes
        # Appending, so that writers go on at the new end after a cut.
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._began = os.fstat(self._descriptor).st_size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Write nothing more, and look after the length no longer. Closing twice does nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def fileno(self) -> int:
        """For a child's standard output and error."""
        return self._descriptor

    def trim(self) -> None:
        """Cut the file if it is too long. What is written at this very moment may be lost."""
        if self._descriptor < 0:
            return
        size = os.fstat(self._descriptor).st_size
        if size > self._max_bytes:
            kept = os.pread(self._descriptor, self._max_bytes, size - self._max_bytes)
            os.ftruncate(self._descriptor, 0)
            self._began = 0
            with suppress(OSError):  # no room for what is over
                self.path.with_name(f"{self.path.name}.1").write_bytes(kept)

    def last_line(self) -> str:
        """The last line for people that was written since this was opened; lines of the log are for programs."""
        size = os.fstat(self._descriptor).st_size
        start = max(self._began, size - TAIL_BYTES)
        text = os.pread(self._descriptor, size - start, start).decode("utf-8", errors="replace")
        lines = (line.strip() for line in reversed(text.splitlines()))
        return next((line for line in lines if line and not line.startswith("{")), "")
