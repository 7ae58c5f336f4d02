"""A model that is really loaded and used to the last cell, in a process that then ends, beside its estimate.

python tests/actors/llama/loaded.py FILE SETTINGS
"""

import asyncio
import subprocess
import sys
from pathlib import Path

import msgspec

from actors.llama import worker  # noqa: F401  what a worker imports counts
from actors.llama.binding import start_library
from actors.llama.engine import LlamaEngine
from actors.llama.engine_limits import loading
from actors.llama.footprint import Footprint
from actors.llama.settings import LlamaSettings
from actors.model.gguf_file import read_header
from actors.model.interface import Job, SamplingSettings
from actors.model.measuring import measured, resident_bytes
from actors.model.memory import estimate

SPARE = 24
"""Tokens of a context that are left for the answer."""


class Loaded(msgspec.Struct, frozen=True):
    """Bytes.

    estimated: before. told: by the process itself when it had loaded. used: resident when all had been used.
    """

    estimated: int
    told: int
    used: int


def loaded(path: Path, footprint: Footprint, **settings: int) -> Loaded:
    """Load it, fill its contexts, and say what it took."""
    wanted = msgspec.json.encode({"settings": settings, "footprint": footprint})
    command = [sys.executable, __file__, str(path), wanted.decode()]
    done = subprocess.run(command, capture_output=True, timeout=300, check=False)
    if done.returncode:
        raise AssertionError(done.stderr.decode()[-2000:])
    return msgspec.json.decode(done.stdout, type=Loaded)


class _Wanted(msgspec.Struct):
    settings: dict[str, int]
    footprint: Footprint


async def _load(path: Path, wanted: _Wanted) -> Loaded:
    settings = msgspec.convert(wanted.settings, LlamaSettings)
    start_library()
    before, _ = resident_bytes()
    expected = estimate(read_header(path), loading(read_header(path), settings, wanted.footprint)).host_bytes
    engine = await LlamaEngine.open(path, settings)
    told = measured(before, *engine.memory()).host_bytes
    await _use(engine, settings.slots)
    used, _ = resident_bytes()
    await engine.close()
    return Loaded(expected, told, used)


async def _use(engine: LlamaEngine, slots: int) -> None:
    """As many whole contexts as the cache holds, one call in each slot, and a batch of embeddings."""
    info = engine.info
    greedy, room = SamplingSettings(temperature=0), info.context_tokens - SPARE

    def prompt(number: int, length: int) -> list[int]:
        return [(7 * place + 11 * number) % info.vocabulary for place in range(length)]

    if info.generates:
        lengths = [room, room, *[16] * slots][: max(2, slots)]
        jobs = [Job(prompt(number, length), 2, greedy) for number, length in enumerate(lengths)]
        for stream in [engine.submit(job) for job in jobs]:
            async for _ in stream:
                pass
    if info.embeds:
        inputs = [prompt(number, info.embedding_tokens - SPARE) for number in range(2)]
        async for _ in engine.embed(inputs):
            pass


if __name__ == "__main__":
    asked = msgspec.json.decode(sys.argv[2], type=_Wanted)
    sys.stdout.buffer.write(msgspec.json.encode(asyncio.run(_load(Path(sys.argv[1]), asked))))
