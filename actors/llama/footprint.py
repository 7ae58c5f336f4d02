"""What a process of this family takes without a model: measured once on each machine, in a process that then ends.

python -m actors.llama.footprint

It loads the smallest model that is shipped, has it answer, and takes off what that model takes by the same estimate
as any other.
"""

import asyncio
import subprocess
import sys
from importlib.metadata import version

import msgspec
import structlog

from actors.llama.settings import LlamaSettings

TOKENS = 256
"""Of its context, all of which are used."""
PATIENCE_SECONDS = 60.0

log = structlog.get_logger(__name__)


class Footprint(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured. All 0 or empty: it could not be.

    before: bytes when the library has started. process: bytes without the model when one has loaded and answered.
    copied: types of tensors that are put into another order. offloads: the library can use a card. engine: its name and
    version.
    """

    before: int = 0
    process: int = 0
    copied: frozenset[int] = frozenset()
    offloads: bool = False
    engine: str = ""


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
        offloads=bool(llama.llama_supports_gpu_offload()),
        engine=f"llama-cpp-python {version('llama-cpp-python')}",
    )


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(asyncio.run(_measure())) + b"\n")
