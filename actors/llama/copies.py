"""Weights that llama.cpp has copied out of the mapped file: onto a card, or into an order that suits the processor.

It maps the whole file, reads it all in, and leaves the pages of what it has copied where they are: a model in Q4_K_M
would take nearly twice its size. They are let go here. They stay in the system's cache of files as long as there is
room, for the next load.
"""

import ctypes
import mmap
from collections.abc import Iterator, Sequence
from pathlib import Path

from actors.llama.buffers import Buffer
from actors.model.gguf_file import parts
from actors.model.gguf_header import ModelHeader, Tensor

DONTNEED, NOHUGEPAGE = 4, 15
"""Advice of Linux's madvise: to end that pages are mapped here, and to map no blocks of 2 MiB.

Without the second, what was let go comes back with any small tensor between.
"""
ROWS = 8
"""Matrices of so many rows, or a multiple, are put into another order."""
ROUNDING = 1 << 20
"""How far the library's figures and ours may lie apart: it pads tensors, and rounds."""

X86_COPIED, X86_512_COPIED = frozenset({2, 12, 20, 39}), frozenset({10})
"""ggml's types that are put into another order: Q4_0, Q4_K, IQ4_NL, MXFP4; with AVX-512 Q2_K (ggml's repack.cpp)."""
ARM_COPIED = frozenset({2, 8, 12, 13, 14, 20, 39})
"""The same on ARM with dot products: Q4_0, Q8_0, Q4_K, Q5_K, Q6_K, IQ4_NL, MXFP4."""


def copied_kinds(system: bytes, *, extra: bool) -> frozenset[int]:
    """Types of tensors that are put into another order here.

    system: what llama_print_system_info says. extra: it may be done at all.
    """
    if not extra or b"REPACK = 1" not in system:
        return frozenset()
    kinds: frozenset[int] = frozenset()
    if b"AVX2 = 1" in system:
        kinds |= X86_COPIED
    if b"AVX512 = 1" in system:
        kinds |= X86_512_COPIED
    if b"NEON = 1" in system and b"DOTPROD = 1" in system:
        kinds |= ARM_COPIED
    return kinds


def copied(header: ModelHeader, kinds: frozenset[int], first: int) -> list[Tensor]:
    """Tensors whose pages nobody reads any more. first: the first layer on a card; one more than all: none is."""
    return [tensor for tensor in header.tensors if _is_copied(tensor, kinds, first)]


def _is_copied(tensor: Tensor, kinds: frozenset[int], first: int) -> bool:
    if tensor.name.startswith("token_embd"):
        return False  # read by rows, from the file
    on_card = tensor.layer >= first if tensor.layer is not None else first != NONE
    reordered = tensor.kind in kinds and len(tensor.axes) > 1 and tensor.axes[1] % ROWS == 0
    return on_card or reordered


NONE = 1 << 30
"""No layer is on a card."""


def let_go(path: Path, header: ModelHeader, tensors: Sequence[Tensor], buffers: Sequence[Buffer]) -> int:
    """Let go the pages of these tensors, if they are what the library says that it has copied; bytes that were let go.

    Does nothing where the system has no such pages.
    """
    told = sum(each.size for each in buffers if each.kind == "model" and not each.mapped)
    table = header.tensor("token_embd.weight")
    twice = table.size if table is not None and header.tensor("output.weight") is None else 0
    expected = sum(tensor.size for tensor in tensors)
    if not told or min(abs(told - expected), abs(told - twice - expected)) > ROUNDING:
        return 0
    gone = 0
    for number, file in enumerate(parts(path)):
        ranges = [_range(tensor, header.starts[number]) for tensor in tensors if tensor.file == number]
        gone += sum(_let_go(start, end) for start, end in _mapped(file, ranges))
    return gone


def _range(tensor: Tensor, start: int) -> tuple[int, int]:
    return start + tensor.offset, start + tensor.offset + tensor.size


def _mapped(file: Path, ranges: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Whole pages of these parts of a file, as addresses in this process."""
    try:
        lines = Path("/proc/self/maps").read_text().splitlines()
        inode = str(file.stat().st_ino)
    except OSError:
        return
    page = mmap.PAGESIZE
    for line in lines:
        fields = line.split(maxsplit=5)
        if len(fields) < 6 or fields[4] != inode:
            continue
        low, high = (int(each, 16) for each in fields[0].split("-"))
        offset = int(fields[2], 16)
        for start, end in ranges:
            first = max(low, low + -(-(start - offset) // page) * page)
            last = min(high, low + (end - offset) // page * page)
            if first < last:
                yield first, last


def _let_go(start: int, end: int) -> int:
    madvise = ctypes.CDLL(None, use_errno=True).madvise
    madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    madvise(start, end - start, NOHUGEPAGE)
    return end - start if madvise(start, end - start, DONTNEED) == 0 else 0
