"""Reads what a GGUF file says about itself, without the library.

llama.cpp trusts files more than a hub may trust what people drop into a folder. So this reader is quick, bounds what a
file may claim, and has a sentence for what is wrong. The format is described in ggml's docs/gguf.md.
"""

import os
import re
import stat
import struct
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from actors.model.gguf_header import ModelHeader, Scalar, Tensor, Texts
from bus import Code, RpcError

MAGIC = b"GGUF"
VERSIONS = (2, 3)
COUNT_LIMIT = 1 << 20
"""Metadata entries or tensors that a file may claim."""
STRING_LIMIT = 4 << 20
"""Bytes of one string; chat templates have some ten thousand."""
ARRAY_LIMIT = 1 << 24
"""Elements of one array; vocabularies have some hundred thousand."""
KEPT_LIMIT = 1024
"""Elements of an array of numbers that is kept: one for each layer."""
LISTS = ("general.", "troupe.")
"""Keys of arrays of strings that are kept as they are begin so; of all others only their sizes are."""
LIST_LIMIT, LISTED_BYTES = 256, 200
"""Strings of such an array, and bytes of one of them; a longer array is left out."""
PARTS_LIMIT = 1000
"""Files that one model may come in."""

READS_LIMIT = 1 << 21
"""Reads that one header may take, which is some seconds; a vocabulary of some hundred thousand takes as many."""
HEADER_LIMIT = 64 << 20
"""Bytes that are read of one header; what is left out does not count."""

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
    34: (256, 54), 35: (256, 66), 39: (32, 17), 40: (64, 36), 41: (128, 18),
}  # fmt: skip
"""ggml's tensor types: elements and bytes per block. Types that are newer than this table are not checked for size."""

PIECE = 1 << 20
"""Bytes that are read at once of a long list of texts."""
LENGTH = struct.Struct("<Q")
PART = re.compile(r"(?P<name>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})")
"""How the files of a model in several are named."""
SPLIT = "split.count"


def parts(path: Path) -> list[Path]:
    """All files of the model whose first one this is, whether they are there or not."""
    named = PART.fullmatch(path.stem)
    count = int(named["count"]) if named else 1
    if named is None or int(named["number"]) != 1 or not 1 < count <= PARTS_LIMIT:
        return [path]
    return [path.with_name(f"{named['name']}-{number:05}-of-{count:05}.gguf") for number in range(1, count + 1)]


def read_header(path: Path) -> ModelHeader:
    """Read and check a model's header and the sizes it claims, of all its files where it comes in several.

    Raises RpcError MODEL_LOAD_FAILED with what is wrong.
    """
    header, others = _read(path), parts(path)[1:]
    for number, other in enumerate(others, 1):
        if not other.exists():
            raise _broken(path, f"its part {other.name} is not there")
        part = _read(other)
        header = replace(
            header,
            parameters=header.parameters + part.parameters,
            size_bytes=header.size_bytes + part.size_bytes,
            tensors=(*header.tensors, *(replace(tensor, file=number) for tensor in part.tensors)),
            starts=(*header.starts, *part.starts),
        )
    if header.number(SPLIT) > 1 and len(others) + 1 != header.number(SPLIT):
        wanted = f"{path.stem}-00001-of-{header.number(SPLIT):05}.gguf"
        raise _broken(
            path, f"it is one of {header.number(SPLIT)} files of a model; they are found by names as {wanted}"
        )
    return header


def _read(path: Path) -> ModelHeader:
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
        self._tensors: list[Tensor] = []
        self._arrays: dict[str, list[float]] = {}
        self._texts: dict[str, Texts] = {}
        self._lists: dict[str, list[str]] = {}

    def read(self) -> ModelHeader:
        tensors, entries = self._preamble()
        metadata: dict[str, Scalar] = {}
        for _ in range(entries):
            key = self._string()
            value = self._value(key, self._number("I"))
            if value is not None:
                metadata[key] = value
        parameters = self._read_tensors(tensors)
        alignment = metadata.get("general.alignment", 32)
        aligned = alignment if isinstance(alignment, int) and alignment > 0 else 32
        start = -(-self._file.tell() // aligned) * aligned
        self._check_complete(start)
        own = (self._tensors, self._arrays, self._texts, self._lists)
        return ModelHeader(metadata, parameters, self._size, *own, (start,))

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
        self._note(1, count)
        data = self._file.read(count)
        if len(data) < count:
            raise self._ends()
        return data

    def _note(self, reads: int, count: int) -> None:
        """Something is read: so many times, and so many bytes together."""
        self._reads, self._read = self._reads + reads, self._read + count
        if self._reads > READS_LIMIT or self._read > HEADER_LIMIT:
            raise _broken(self._path, "its header is larger than any model's")

    def _ends(self) -> RpcError:
        return _broken(self._path, f"it ends within its header, after {self._size} bytes; the copy is incomplete")

    def _number(self, letter: str) -> int:
        return int(struct.unpack("<" + letter, self._take(struct.calcsize("<" + letter)))[0])

    def _string(self) -> str:
        length = self._number("Q")
        if length > STRING_LIMIT:
            raise _broken(self._path, f"it claims a string of {length} bytes")
        return self._take(length).decode("utf-8", "replace")

    def _value(self, key: str, kind: int) -> Scalar | None:
        if kind == STRING:
            return self._string()
        if kind == ARRAY:
            self._take_array(key)
            return None
        if kind not in SCALARS:
            raise _broken(self._path, f"it has a metadata value of the unknown type {kind}")
        value: Scalar = struct.unpack("<" + SCALARS[kind], self._take(struct.calcsize("<" + SCALARS[kind])))[0]
        return value

    def _take_array(self, key: str) -> None:
        kind, count = self._number("I"), self._number("Q")
        if count > ARRAY_LIMIT:
            raise _broken(self._path, f"it claims an array of {count} elements")
        if kind == STRING and key.startswith(LISTS) and count <= LIST_LIMIT:
            kept = self._lists[key] = list[str]()
            self._texts[key] = self._measure_texts(count, kept)
        elif kind == STRING:
            self._texts[key] = self._measure_texts(count)
        elif kind not in SCALARS:
            raise _broken(self._path, f"it has an array of the unknown type {kind}")
        elif count <= KEPT_LIMIT:
            form = f"<{count}{SCALARS[kind]}"
            self._arrays[key] = list(struct.unpack(form, self._take(struct.calcsize(form))))
        else:
            self._skip(count * struct.calcsize("<" + SCALARS[kind]))

    def _measure_texts(self, count: int, kept: list[str] | None = None) -> Texts:
        """Their sizes; the short ones go into `kept`."""
        if kept is None:
            return self._measure_many(count)
        size = long = 0
        for _ in range(count):
            length = self._number("Q")
            if length <= LISTED_BYTES:
                kept.append(self._take(length).decode("utf-8", "replace"))
            else:
                self._skip(length)
            size += length
            long += heap_bytes(length)
        return Texts(count, size, long)

    def _measure_many(self, count: int) -> Texts:
        """The same from large pieces: one by one a vocabulary of 262,144 texts takes 0.4 s."""
        self._note(count, 8 * count)
        begin, data, place = self._file.tell(), b"", 0
        size = long = 0
        for _ in range(count):
            if place + 8 > len(data):
                begin, place = begin + place, 0
                self._file.seek(begin)
                data = self._file.read(PIECE)
                if len(data) < 8:
                    raise self._ends()
            length = LENGTH.unpack_from(data, place)[0]
            place += 8 + length
            if begin + place > self._size:
                raise self._ends()
            size += length
            if length > 15:
                long += heap_bytes(length)
        self._file.seek(begin + place)
        return Texts(count, size, long)

    def _skip(self, count: int) -> None:
        target = self._file.tell() + count
        if target > self._size:
            raise self._ends()
        self._file.seek(target)

    def _read_tensors(self, count: int) -> int:
        """All tensors; how many parameters they have."""
        parameters = 0
        for _ in range(count):
            name = self._string()
            dimensions = self._number("I")
            if dimensions > 4:
                raise _broken(self._path, f"it has a tensor of {dimensions} dimensions")
            axes, elements = [], 1
            for _ in range(dimensions):
                axes.append(self._number("Q"))
                elements *= axes[-1]
            kind, offset = self._number("I"), self._number("Q")
            block, width = BLOCKS.get(kind, (1, 0))
            parameters += elements
            self._tensors.append(Tensor(name, axes, kind, offset, elements // block * width))
        return parameters

    def _check_complete(self, start: int) -> None:
        """Whether the file has all the bytes that its tensors claim: llama.cpp would read what is not there."""
        end = max((each.offset + each.size for each in self._tensors), default=0)
        if end and start + end > self._size:
            missing = start + end - self._size
            cut = next(each.name for each in self._tensors if start + each.offset + each.size > self._size)
            raise _broken(
                self._path,
                f"{missing} of its {start + end} bytes are missing, from the tensor {cut[:80]} on; "
                "the copy is incomplete",
            )


def heap_bytes(length: int) -> int:
    """What a C++ string of so many bytes takes besides itself: nothing up to 15, else a block of the C library's."""
    return 0 if length <= 15 else (length + 1 + 8 + 15) // 16 * 16
