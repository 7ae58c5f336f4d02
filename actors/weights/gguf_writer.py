"""Writes a GGUF file from parts that are there already: metadata, and tensors as bytes in ggml's own layout.

The format is described in ggml's docs/gguf.md; nothing is computed and no library is needed.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ALIGNMENT = 32
UINT8, UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY = 0, 4, 5, 6, 7, 8, 9
F32, Q4_0 = 0, 2
BLOCKS = {F32: (1, 4), Q4_0: (32, 18)}
"""Elements and bytes of a block, by type of tensor."""

Value = str | bool | int | float | bytes | Sequence[bytes] | Sequence[int] | Sequence[float]


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor's name, its axes (the fastest first), its type, and its data as they lie in the file."""

    name: str
    axes: tuple[int, ...]
    kind: int
    data: memoryview

    def check(self) -> None:
        """Raises ValueError if the data do not have the size that the axes say."""
        elements = 1
        for axis in self.axes:
            elements *= axis
        block, width = BLOCKS[self.kind]
        if elements // block * width != len(self.data):
            raise ValueError(f"{self.name} has {len(self.data)} bytes; its axes {self.axes} say otherwise.")


def write_gguf(path: Path, metadata: Mapping[str, Value], tensors: Sequence[Tensor]) -> None:
    """Write a file of version 3. Raises OSError, and ValueError for a tensor whose size is wrong."""
    for tensor in tensors:
        tensor.check()
    with path.open("wb") as file:
        head = bytearray(struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(metadata)))
        for key, value in metadata.items():
            head += _text(key.encode()) + _value(value)
        offset = 0
        for tensor in tensors:
            axes = struct.pack(f"<I{len(tensor.axes)}Q", len(tensor.axes), *tensor.axes)
            head += _text(tensor.name.encode()) + axes + struct.pack("<IQ", tensor.kind, offset)
            offset += _aligned(len(tensor.data))
        file.write(head + bytes(_aligned(len(head)) - len(head)))
        for tensor in tensors:
            file.write(tensor.data)
            file.write(bytes(_aligned(len(tensor.data)) - len(tensor.data)))


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _text(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text


def _value(value: Value) -> bytes:
    if isinstance(value, bool):
        return struct.pack("<IB", BOOL, value)
    if isinstance(value, int):
        return struct.pack("<II", UINT32, value)
    if isinstance(value, float):
        return struct.pack("<If", FLOAT32, value)
    if isinstance(value, str):
        return struct.pack("<I", STRING) + _text(value.encode())
    if isinstance(value, bytes):
        return struct.pack("<IIQ", ARRAY, UINT8, len(value)) + value
    return _array(value)


def _array(values: Sequence[bytes] | Sequence[int] | Sequence[float]) -> bytes:
    first = values[0] if values else 0
    if isinstance(first, bytes):
        body = b"".join(_text(each) for each in values if isinstance(each, bytes))
        return struct.pack("<IIQ", ARRAY, STRING, len(values)) + body
    letter, kind = ("f", FLOAT32) if isinstance(first, float) else ("i", INT32)
    return struct.pack(f"<IIQ{len(values)}{letter}", ARRAY, kind, len(values), *values)
