"""What llama.cpp itself plans for a model that is not loaded, in a process that then ends: it may abort.

python tests/actors/llama/plans.py FILE CELLS SLOTS PARTED
"""

import ctypes
import re
import subprocess
import sys
from pathlib import Path

import llama_cpp.llama_cpp as llama
import msgspec

from actors.llama.binding import _context_parameters
from actors.llama.buffers import read_line

CACHE = re.compile(r"llama_kv_cache: size =\s+(\d+\.\d+) MiB")


class Planned(msgspec.Struct, frozen=True):
    """Mebibytes of the cache of keys and values, of states, of the buffer of computations and of what comes out."""

    cache: float
    state: float
    compute: float
    output: float


def planned(path: Path, cells: int, slots: int, *, parted: bool) -> Planned:
    """As llama.cpp plans it. Nothing of the weights is read."""
    command = [sys.executable, __file__, str(path), str(cells), str(slots), str(int(parted))]
    done = subprocess.run(command, capture_output=True, check=True, timeout=120)
    return msgspec.json.decode(done.stdout, type=Planned)


def _plan(path: bytes, cells: int, slots: int, parted: bool) -> Planned:
    lines: list[str] = []
    listener = llama.llama_log_callback(lambda _, text, __: lines.append(text.decode("utf-8", "replace")))
    llama.llama_log_set(listener, ctypes.c_void_p(0))
    llama.llama_backend_init()
    parameters = llama.llama_model_default_params()
    parameters.no_alloc, parameters.load_mode = True, 0
    model = llama.llama_model_load_from_file(path, parameters)
    assert model, lines[-3:]
    assert llama.llama_init_from_model(model, _context_parameters(cells, 512, slots, 1, parted))
    sums = dict.fromkeys(("RS", "compute", "output"), 0.0)
    for line in lines:
        buffer = read_line(line)
        if buffer is not None and buffer.kind in sums:
            sums[buffer.kind] += buffer.size / 2**20
    cache = sum(float(found[1]) for line in lines if (found := CACHE.search(line)))
    return Planned(cache, sums["RS"], sums["compute"], sums["output"])


if __name__ == "__main__":
    file, *numbers = sys.argv[1:]
    cells, slots, parted = map(int, numbers)
    sys.stdout.buffer.write(msgspec.json.encode(_plan(file.encode(), cells, slots, bool(parted))))
