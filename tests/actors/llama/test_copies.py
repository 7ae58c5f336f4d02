"""Pages of weights that were copied are let go, and only those."""

import mmap
import re
from dataclasses import replace
from pathlib import Path

import pytest

from actors.llama.buffers import Buffer
from actors.llama.copies import NONE, copied, copied_kinds, let_go
from actors.model.gguf_file import read_header
from forge.architectures import Sizes, llama
from forge.blueprint import Type

SIZES = Sizes(
    layers=3, width=1024, feed_forward=2048, heads=8, kv_heads=4, head_width=128, vocabulary=2048, kind=Type.Q4_0
)
Q4_0 = frozenset({2})


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.gguf"
    llama(SIZES).write(path)
    return path


def resident(path: Path) -> int:
    """Bytes of a file that are mapped into this process and present."""
    found = 0
    for block in re.split(r"\n(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text()):
        if str(path) in block:
            found += int(re.search(r"Rss:\s+(\d+)", block)[1]) * 1024  # type: ignore[index]  # every block has one
    return found


def test_the_processor_decides_which_types_are_put_into_another_order() -> None:
    assert copied_kinds(b"CPU : AVX2 = 1 | REPACK = 1 | ", extra=True) == {2, 12, 20, 39}
    assert 10 in copied_kinds(b"CPU : AVX2 = 1 | AVX512 = 1 | REPACK = 1 | ", extra=True)
    assert 8 in copied_kinds(b"CPU : NEON = 1 | DOTPROD = 1 | REPACK = 1 | ", extra=True)
    assert not copied_kinds(b"CPU : AVX2 = 1 | ", extra=True)
    assert not copied_kinds(b"CPU : AVX2 = 1 | REPACK = 1 | ", extra=False)


def test_matrices_of_these_types_are_copied_and_the_table_of_tokens_is_not(model: Path) -> None:
    header = read_header(model)
    names = {tensor.name for tensor in copied(header, Q4_0, NONE)}
    assert "blk.0.ffn_up.weight" in names and "blk.0.ffn_norm.weight" not in names
    assert "token_embd.weight" not in {tensor.name for tensor in copied(header, Q4_0 | {8}, NONE)}


def test_layers_on_a_card_are_copied_whole(model: Path) -> None:
    header = read_header(model)
    names = {tensor.name for tensor in copied(header, frozenset(), 2)}
    assert {"blk.2.ffn_norm.weight", "blk.2.ffn_up.weight", "output_norm.weight"} <= names
    assert not any(name.startswith(("blk.0.", "blk.1.", "token_embd")) for name in names)


def mapped(path: Path) -> mmap.mmap:
    with path.open("rb") as file:
        pages = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ, flags=mmap.MAP_SHARED)
    sum(pages[:: mmap.PAGESIZE])
    return pages


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="the system does not tell what is resident")
def test_what_was_copied_is_let_go_and_still_reads_the_same(model: Path) -> None:
    header = read_header(model)
    tensors = copied(header, Q4_0, NONE)
    size = sum(tensor.size for tensor in tensors)
    with mapped(model) as pages:
        before = resident(model)
        gone = let_go(model, header, tensors, [Buffer("model", "CPU_REPACK", size)])
        assert 0.95 * size < gone <= size
        assert resident(model) == before - gone
        assert not any(pages[:: mmap.PAGESIZE][-100:])


def test_nothing_is_let_go_where_the_library_tells_another_size(model: Path) -> None:
    header = read_header(model)
    tensors = copied(header, Q4_0, NONE)
    with mapped(model):
        assert let_go(model, header, tensors, [Buffer("model", "CPU_REPACK", 100 << 20)]) == 0
        assert let_go(model, header, tensors, [Buffer("model", "CPU_Mapped", 100 << 20)]) == 0
        assert let_go(model, replace(header, tensors=()), (), []) == 0
