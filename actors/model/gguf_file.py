"""Reads what a GGUF file says about itself, without the library.

llama.cpp trusts files more than a hub may trust what people drop into a folder. So this reader is quick, bounds what a
file may claim, and has a sentence for what is wrong. The format is described in ggml's docs/gguf.md.
"""

import os
import stat
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from bus import Code, RpcError

MAGIC = b"GGUF"
VERSIONS = (2, 3)
COUNT_LIMIT = 1 << 20
"""Metadata entries or tensors that a file may claim."""
STRING_LIMIT = 4 << 20
"""Bytes of one string; chat templates have some ten thousand."""
ARRAY_LIMIT = 1 << 24
"""Elements of one array; vocabularies have some hundred thousand."""

READS_LIMIT = 1 << 21
"""Reads that one header may take, which is some seconds; a vocabulary of some hundred thousand takes as many."""
HEADER_LIMIT = 64 << 20
"""Bytes that are read of one header; what is left out does not count."""

Scalar = str | int | float | bool

SCALARS: Mapping[int, str] = {
    0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d",
}  # fmt: skip
"""struct's letter for each numeric type of the format."""
STRING, ARRAY = 8, 9

BLOCKS: Mapping[int, tuple[int, int]] = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 36),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292),
    16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82),
    23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2),
    34: (256, 54), 35: (256, 66), 39: (32, 17),
}  # fmt: skip
"""ggml's tensor types: elements and bytes per block. Types that are newer than this table are not checked for size."""

FILE_TYPES: Mapping[int, str] = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S",
    12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K",
    19: "IQ2_XXS", 20: "IQ2_XS", 21: "Q2_K_S", 22: "IQ3_XS", 23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL",
    26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S", 29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M", 32: "BF16", 38: "MXFP4",
}  # fmt: skip
"""llama.cpp's names of file types (general.file_type)."""


RANKS = 4
"""llama.cpp's pooling type of models that say how well a text answers a question, which is a number and no vector."""


@dataclass(frozen=True, slots=True)
class ModelHeader:
    """What a file says about itself. Arrays are left out of `metadata`, they are large and nobody here reads them."""

    metadata: Mapping[str, Scalar]
    parameters: int
    size_bytes: int

    def text(self, key: str) -> str:
        """A string, or empty."""
        value = self.metadata.get(key, "")
        return value if isinstance(value, str) else ""

    def number(self, key: str) -> int:
        """A whole number, or 0."""
        value = self.metadata.get(key, 0)
        return int(value) if isinstance(value, int | float) else 0

    @property
    def architecture(self) -> str:
        """For example "qwen2"."""
        return self.text("general.architecture")

    @property
    def quantization(self) -> str:
        """For example "Q8_0"; empty if the file does not say."""
        return FILE_TYPES.get(self.number("general.file_type"), "") if "general.file_type" in self.metadata else ""

    @property
    def context_tokens(self) -> int:
        """What the model was trained for; 0 if the file does not say."""
        return self.number(f"{self.architecture}.context_length")

    @property
    def embedding_dimensions(self) -> int:
        """Width of the hidden state."""
        return self.number(f"{self.architecture}.embedding_length")

    @property
    def cache_bytes_per_token(self) -> int:
        """Bytes that a token of a call is remembered in, at two per number.

        0 where the file does not say what its layers are, or nothing is remembered.
        """
        of = f"{self.architecture}."
        layers, heads = self.number(f"{of}block_count"), self.number(f"{of}attention.head_count")
        if not layers or not heads or self.embeds_only:
            return 0
        width = self.embedding_dimensions // heads
        key = self.number(f"{of}attention.key_length") or width
        value = self.number(f"{of}attention.value_length") or width
        return layers * (self.number(f"{of}attention.head_count_kv") or heads) * (key + value) * 2

    @property
    def pooling(self) -> int:
        """llama.cpp's pooling type if the model brings its own, else 0."""
        return self.number(f"{self.architecture}.pooling_type")

    @property
    def embeds_only(self) -> bool:
        """Encoders look both ways and cannot continue a text."""
        return self.metadata.get(f"{self.architecture}.attention.causal", True) is False

    @property
    def embeds(self) -> bool:
        """Whether its vectors mean something.

        They do where the file says so under `troupe.services`, and else where the model was trained for them: it brings
        its own pooling, or looks both ways. What a model that continues texts holds inside is no measure of likeness.
        """
        services = self.text("troupe.services")
        if services:
            return "troupe.embedding.v1.EmbeddingService" in services.split(",")
        return self.pooling != RANKS and (self.pooling > 0 or self.embeds_only)

    @property
    def template(self) -> str:
        """The chat template, or empty."""
        return self.text("tokenizer.chat_template")


def read_header(path: Path) -> ModelHeader:
    """Read and check a file's header and the sizes it claims. Raises RpcError MODEL_LOAD_FAILED with what is wrong."""
    try:
        with open(path, "rb", opener=_at_once) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise _broken(path, "it is no regular file")
            return _Reader(file, path, status.st_size).read()
    except OSError as problem:
        raise _broken(path, f"it cannot be read ({problem.strerror})") from problem
    except (struct.error, UnicodeDecodeError) as problem:
        raise _broken(path, "its header is damaged") from problem


def _at_once(path: str, flags: int) -> int:
    """Open a file; a pipe that nobody writes to is not waited for."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _broken(path: Path, why: str) -> RpcError:
    message = f"{path.name} cannot be loaded: {why}. Replace the file by a complete GGUF file."
    return RpcError(Code.FAILED_PRECONDITION, message, reason="MODEL_LOAD_FAILED")


class _Reader:
    def __init__(self, file: BinaryIO, path: Path, size: int) -> None:
        self._file = file
        self._path = path
        self._size = size
        self._reads = self._read = 0

    def read(self) -> ModelHeader:
        tensors, entries = self._preamble()
        metadata: dict[str, Scalar] = {}
        for _ in range(entries):
            key = self._string()
            value = self._value(self._number("I"))
            if value is not None:
                metadata[key] = value
        parameters, data_bytes = self._tensors(tensors)
        alignment = metadata.get("general.alignment", 32)
        self._check_complete(alignment if isinstance(alignment, int) and alignment > 0 else 32, data_bytes)
        return ModelHeader(metadata, parameters, self._size)

    def _preamble(self) -> tuple[int, int]:
        if self._size < 24 or self._take(4) != MAGIC:
            raise _broken(self._path, "it is no GGUF file")
        version = self._number("I")
        if version not in VERSIONS:
            raise _broken(self._path, f"its GGUF version is {version}; {' and '.join(map(str, VERSIONS))} can be read")
        tensors, entries = self._number("Q"), self._number("Q")
        if tensors > COUNT_LIMIT or entries > COUNT_LIMIT:
            raise _broken(self._path, f"it claims {tensors} tensors and {entries} metadata entries")
        return tensors, entries

    def _take(self, count: int) -> bytes:
        self._reads, self._read = self._reads + 1, self._read + count
        if self._reads > READS_LIMIT or self._read > HEADER_LIMIT:
            raise _broken(self._path, "its header is larger than any model's")
        data = self._file.read(count)
        if len(data) < count:
            raise _broken(self._path, f"it ends within its header, after {self._size} bytes; the copy is incomplete")
        return data

    def _number(self, letter: str) -> int:
        return int(struct.unpack("<" + letter, self._take(struct.calcsize("<" + letter)))[0])

    def _string(self) -> str:
        length = self._number("Q")
        if length > STRING_LIMIT:
            raise _broken(self._path, f"it claims a string of {length} bytes")
        return self._take(length).decode("utf-8", "replace")

    def _value(self, kind: int) -> Scalar | None:
        if kind == STRING:
            return self._string()
        if kind == ARRAY:
            self._skip_array()
            return None
        if kind not in SCALARS:
            raise _broken(self._path, f"it has a metadata value of the unknown type {kind}")
        value: Scalar = struct.unpack("<" + SCALARS[kind], self._take(struct.calcsize("<" + SCALARS[kind])))[0]
        return value

    def _skip_array(self) -> None:
        kind, count = self._number("I"), self._number("Q")
        if count > ARRAY_LIMIT:
            raise _broken(self._path, f"it claims an array of {count} elements")
        if kind == STRING:
            for _ in range(count):
                self._skip(self._number("Q"))
        elif kind in SCALARS:
            self._skip(count * struct.calcsize("<" + SCALARS[kind]))
        else:
            raise _broken(self._path, f"it has an array of the unknown type {kind}")

    def _skip(self, count: int) -> None:
        target = self._file.tell() + count
        if target > self._size:
            raise _broken(self._path, f"it ends within its header, after {self._size} bytes; the copy is incomplete")
        self._file.seek(target)

    def _tensors(self, count: int) -> tuple[int, int]:
        """Parameters of all tensors, and where the last one's data must end, counted from the first one's beginning."""
        parameters = end = 0
        for _ in range(count):
            self._string()
            axes = self._number("I")
            if axes > 4:
                raise _broken(self._path, f"it has a tensor of {axes} dimensions")
            elements = 1
            for _ in range(axes):
                elements *= self._number("Q")
            kind, offset = self._number("I"), self._number("Q")
            block, width = BLOCKS.get(kind, (1, 0))
            parameters += elements
            end = max(end, offset + elements // block * width)
        return parameters, end

    def _check_complete(self, alignment: int, data_bytes: int) -> None:
        start = -(-self._file.tell() // alignment) * alignment
        if data_bytes and start + data_bytes > self._size:
            missing = start + data_bytes - self._size
            raise _broken(
                self._path, f"{missing} of its {start + data_bytes} bytes are missing; the copy is incomplete"
            )
