"""What a process of this family takes without a model: measured once on each machine, in a process that then ends.

python -m actors.llama.footprint

It loads the smallest model that is shipped, has it answer, and takes off what that model takes by the same estimate
as any other.
"""

import asyncio
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

from actors.llama.settings import LlamaSettings
from actors.model.needs import PROCESS_BYTES

TOKENS = 256
"""Of its context, all of which are used."""
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
    command = [sys.executable, "-m", "actors.llama.footprint"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=PATIENCE_SECONDS, check=True)
        return msgspec.json.decode(done.stdout.splitlines()[-1], type=Footprint)
    except (OSError, subprocess.SubprocessError, msgspec.MsgspecError, IndexError) as problem:
        log.warning("model.footprint", error=str(problem))
        return Footprint()


async def _measure() -> Footprint:
    import llama_cpp.llama_cpp as llama

    from actors.llama import worker  # noqa: F401  what a worker imports counts
    from actors.llama.binding import has_tile_kernels, start_library
    from actors.llama.catalog import SHIPPED
    from actors.llama.copies import copied_kinds
    from actors.llama.engine import LlamaEngine
    from actors.llama.engine_limits import contexts, threads
    from actors.model.gguf_file import read_header
    from actors.model.interface import Job
    from actors.model.measuring import resident_bytes
    from actors.model.memory import Loading, estimate

    path = SHIPPED / "troupe-tiny.gguf"
    settings = LlamaSettings(context=TOKENS, cache_tokens=TOKENS, slots=1, gpu_layers=0)
    start_library()
    kinds = copied_kinds(llama.llama_print_system_info(), extra=not has_tile_kernels())
    before, _ = resident_bytes()
    engine = await LlamaEngine.open(path, settings)
    async for _ in engine.submit(Job(prompt=[0] * (TOKENS - 8), max_tokens=4)):
        pass
    after, _ = resident_bytes()
    header = read_header(path)
    loading = Loading(contexts(header, settings, accelerated=False), threads(header, settings), copied=kinds)
    await engine.close()
    return Footprint(
        before=before,
        process=max(before, after - estimate(header, loading).host_bytes),
        copied=kinds,
        on=here(),
    )


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(asyncio.run(_measure())) + b"\n")
