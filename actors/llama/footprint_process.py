"""Measures what a process of this family takes without a model, and ends.

python -m actors.llama.footprint_process

It loads the smallest model that is shipped, has it answer, and takes off what that model takes by the same estimate
as any other.
"""

import asyncio
import sys

import llama_cpp.llama_cpp as llama
import msgspec

from actors.llama import worker  # noqa: F401  what a worker imports counts
from actors.llama.binding import has_tile_kernels, start_library
from actors.llama.catalog import SHIPPED
from actors.llama.copies import copied_kinds
from actors.llama.engine import LlamaEngine
from actors.llama.engine_limits import contexts, threads
from actors.llama.footprint import Footprint, here
from actors.llama.settings import LlamaSettings
from actors.model.gguf_file import read_header
from actors.model.interface import Job
from actors.model.measuring import resident_bytes
from actors.model.memory import Loading, estimate

MODEL = SHIPPED / "troupe-tiny.gguf"
TOKENS = 256
"""Of its context, all of which are used."""


async def measure() -> Footprint:
    """Of this process."""
    settings = LlamaSettings(context=TOKENS, cache_tokens=TOKENS, slots=1, gpu_layers=0)
    start_library()
    kinds = copied_kinds(llama.llama_print_system_info(), extra=not has_tile_kernels())
    before, _ = resident_bytes()
    engine = await LlamaEngine.open(MODEL, settings)
    async for _ in engine.submit(Job(prompt=[0] * (TOKENS - 8), max_tokens=4)):
        pass
    after, _ = resident_bytes()
    header = read_header(MODEL)
    loading = Loading(contexts(header, settings, accelerated=False), threads(header, settings), copied=kinds)
    await engine.close()
    process = max(before, after - estimate(header, loading).host_bytes)
    return Footprint(before=before, process=process, copied=kinds, on=here())


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(asyncio.run(measure())) + b"\n")
