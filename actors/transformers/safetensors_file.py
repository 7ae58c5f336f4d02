"""The heads of safetensors files: what tensors they hold, without reading them or importing a library."""

import math
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

LENGTH = struct.Struct("<Q")
HEAD_LIMIT = 100 << 20
"""Bytes of a head, as the format itself bounds it."""


class _Tensor(Struct, frozen=True):
    dtype: str
    shape: list[Annotated[int, Meta(ge=0)]]
    data_offsets: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor: its kind of numbers as the format spells it ("F32", "BF16"), and its shape."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        """Numbers in it."""
        return math.prod(self.shape)


def read_tensors(files: Iterable[Path]) -> dict[str, Tensor]:
    """The tensors of files by name. Raises ValueError, a sentence, for a damaged or incomplete one, and OSError."""
    found: dict[str, Tensor] = {}
    for path in files:
        found.update(_head(path))
    return found


def _head(path: Path) -> Mapping[str, Tensor]:
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(LENGTH.size)
        length = LENGTH.unpack(start)[0] if len(start) == LENGTH.size else 0
        if not 0 < length <= min(HEAD_LIMIT, size):
            raise ValueError(f"{path.name} is no safetensors file, or it is incomplete.")
        head = file.read(length)
    try:
        raw = msgspec.json.decode(head, type=dict[str, msgspec.Raw])
        raw.pop("__metadata__", None)
        tensors = {name: msgspec.json.decode(each, type=_Tensor) for name, each in raw.items()}
    except (msgspec.MsgspecError, UnicodeDecodeError) as problem:
        raise ValueError(f"{path.name} is no safetensors file: its head cannot be read.") from problem
    end = max((each.data_offsets[1] for each in tensors.values()), default=0)
    if LENGTH.size + length + end != size:
        raise ValueError(
            f"{path.name} is incomplete: its head tells of {LENGTH.size + length + end} bytes, not {size}."
        )
    return {name: Tensor(each.dtype, tuple(each.shape)) for name, each in tensors.items()}
