"""What a process of this family takes without a model: measured once on each machine, in a process that then ends."""

import platform
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import msgspec
import structlog

from actors.model.needs import PROCESS_BYTES

PATIENCE_SECONDS = 60.0
FILE = Path("cache") / "llama-footprint.json"
"""In TROUPE_HOME."""

log = structlog.get_logger(__name__)


class Footprint(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured.

    before: bytes when the library has started. process: bytes without the model when one has loaded and answered.
    copied: types of tensors that are put into another order. on: by what it was measured.
    """

    before: int = 0
    process: int = PROCESS_BYTES
    copied: frozenset[int] = frozenset()
    on: str = ""


class KnownFootprint:
    """The footprint of this machine: kept in a file of this home, measured once where that does not tell it.

    measure: how; blocks for a second or two.
    """

    def __init__(self, home: Path, measure: Callable[[], Footprint] | None = None) -> None:
        self._file = home / FILE
        self._measure = measure or measure_footprint
        self._known: Footprint | None = None
        self._turn = threading.Lock()

    def get(self) -> Footprint:
        """As it is known; measured now if it is not. What cannot be measured is more than any process takes. Blocks."""
        with self._turn:
            if self._known is None:
                self._known = self._from_file() or self._to_file(self._measure())
        return self._known

    def _from_file(self) -> Footprint | None:
        try:
            found = msgspec.json.decode(self._file.read_bytes(), type=Footprint)
        except (OSError, msgspec.MsgspecError):
            return None
        return found if found.on == here() else None

    def _to_file(self, found: Footprint) -> Footprint:
        if found.on:
            with suppress(OSError):
                self._file.parent.mkdir(parents=True, exist_ok=True)
                self._file.write_bytes(msgspec.json.encode(found))
        return found


def engine() -> str:
    """The library and its version."""
    return f"llama-cpp-python {version('llama-cpp-python')}"


def here() -> str:
    """What a footprint depends on."""
    return f"{engine()}, Python {platform.python_version()}, {platform.machine()}"


def measure_footprint() -> Footprint:
    """Measure in a process of its own; takes a second or two. Blocks."""
    command = [sys.executable, "-m", "actors.llama.footprint_process"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=PATIENCE_SECONDS, check=True)
        return msgspec.json.decode(done.stdout.splitlines()[-1], type=Footprint)
    except (OSError, subprocess.SubprocessError, msgspec.MsgspecError, IndexError) as problem:
        log.warning("model.footprint", error=str(problem))
        return Footprint()
