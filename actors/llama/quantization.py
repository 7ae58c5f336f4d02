"""What may be made of which model by quantizing: the kinds, names, sizes, and what to say of it. Pure.

Which tensor gets which type llama.cpp decides (src/llama-quant.cpp); here is an upper bound of what comes out, for the
disk, and a share of what is done, from the lines in which it tells its tensors.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from actors.llama.divergence import PIECE, WINDOW
from actors.model.gguf_header import ModelHeader, Tensor
from actors.model.memory import Context, Loading, estimate
from bus import Code, RpcError, invalid, nearest

NAME = re.compile(r"[\w][\w.+-]{0,99}", re.ASCII)
"""What a model may be called."""
FLOATS = (0, 1, 30)
"""ggml's types that are no quantization: F32, F16, BF16."""
BLOCK = 256
"""Numbers that the K kinds pack together; rows that are no multiple of it fall back to kinds of 32."""
SLACK_BYTES = 1 << 20
"""For what the header gains."""
SUFFIX = re.compile(r"[-._](I?Q\d\w*|F16|F32|BF16|MXFP4)$", re.IGNORECASE)
"""How names of files tell their quantization."""
TOLD = re.compile(r"\[\s*(\d+)/\s*(\d+)\]\s+(\S+)")
"""How llama.cpp begins to tell of a tensor."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One that can be made.

    number: llama.cpp's (LLAMA_FTYPE_*). bits: of most numbers in large matrices. more: of those of the matrices that it
    keeps better. plain: of the former where rows do not fit its blocks; better: of the latter there.
    """

    name: str
    number: int
    bits: float
    more: float
    plain: float
    better: float


KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("Q4_K_M", 15, 4.5, 6.5625, 5.5, 8.5),
        Kind("Q5_K_M", 17, 5.5, 6.5625, 6.0, 8.5),
        Kind("Q8_0", 7, 8.5, 8.5, 8.5, 8.5),
        Kind("F16", 1, 16, 16, 16, 16),
    )
}
"""What people ask for, by name: the bits are Q4_K's and Q6_K's, for rows that do not fit Q5_0's, Q5_1's and Q8_0's."""
KEPT = re.compile(r"(output|token_embd|blk\.\d+\.(attn_v|attn_qkv|ffn_down)\w*)\.weight")
"""Matrices that the "_M" kinds keep in more bits, all or some of them."""


def kind_of(name: str) -> Kind:
    """Raises RpcError QUANTIZATION_UNKNOWN."""
    kind = KINDS.get(name.upper())
    if kind is None:
        close = nearest(name.upper(), KINDS)
        hint = f"Did you mean {' or '.join(close)}? " if close else ""
        message = f"quantization is {name[:40]!r}. {hint}There are: {', '.join(KINDS)}."
        raise invalid(message, "quantization", reason="QUANTIZATION_UNKNOWN")
    return kind


def named(source: str, kind: Kind, wanted: str) -> str:
    """What the new model is called. Raises RpcError NAME_INVALID."""
    name = wanted or f"{SUFFIX.sub('', source)[: 99 - len(kind.name)]}-{kind.name}"
    if not NAME.fullmatch(name) or ".." in name:
        message = (
            f"new_name is {name[:80]!r}; it is 1 to 100 letters, digits and . _ + -, beginning with a letter or digit."
        )
        raise invalid(message, "new_name", reason="NAME_INVALID")
    return name


def check_source(name: str, header: ModelHeader | None, error: str, kind: Kind) -> ModelHeader:
    """The header of a model that can be quantized so. Raises RpcError QUANTIZATION_UNSUPPORTED, QUANTIZATION_SAME."""
    if header is None:
        message = f"{name} cannot be quantized: {error or 'its file cannot be read.'}"
        raise RpcError(Code.FAILED_PRECONDITION, message, reason="QUANTIZATION_UNSUPPORTED", field="name")
    if header.quantization == kind.name:
        others = ", ".join(each for each in KINDS if each != kind.name)
        message = f"{name} is {kind.name} already; others are {others}."
        raise RpcError(Code.FAILED_PRECONDITION, message, reason="QUANTIZATION_SAME", field="quantization")
    return header


def result_bytes(header: ModelHeader, kind: Kind) -> int:
    """What the new file will have at most."""
    data = sum(_size(each, kind) for each in header.tensors)
    return header.size_bytes - sum(each.size for each in header.tensors) + data + SLACK_BYTES


def quantized(header: ModelHeader) -> bool:
    """Whether any of its matrices has lost bits already."""
    return any(len(each.axes) > 1 and each.kind not in FLOATS for each in header.tensors)


def warnings(name: str, header: ModelHeader, kind: Kind) -> list[str]:
    """What to know before it is made."""
    if not quantized(header):
        return []
    is_now = header.quantization or "quantized"
    known = f"{name} is {is_now} itself: what was lost by that stays lost, and the comparison does not see it."
    if result_bytes(header, kind) > header.size_bytes + SLACK_BYTES:
        return [f"{known} In {kind.name} it may become larger, and not better."]
    return [f"{known} From a file in F16 or BF16 {kind.name} becomes better."]


def _size(tensor: Tensor, kind: Kind) -> int:
    if len(tensor.axes) < 2 or not tensor.name.endswith(".weight"):
        return tensor.size
    kept, fits = KEPT.fullmatch(tensor.name) is not None, tensor.axes[0] % BLOCK == 0
    bits = (kind.more if kept else kind.bits) if fits else (kind.better if kept else kind.plain)
    return -(-int(_elements(tensor) * bits) // 8)


def _elements(tensor: Tensor) -> int:
    return math.prod(tensor.axes)


def memory_bytes(header: ModelHeader, kind: Kind, process: int) -> int:
    """Main memory that it takes at most: source and result are mapped one after the other, the result perhaps copied.

    process: bytes without any model. Writing unpacks the largest tensor as F32 and packs it again.
    """
    context = Context(2 * WINDOW, 1, PIECE, PIECE)
    asking = estimate(header, Loading([context]))
    largest = max((_elements(each) for each in header.tensors), default=0)
    weights = max(header.size_bytes, 2 * result_bytes(header, kind))
    return process + asking.vocabulary + weights + max(asking.host_bytes - asking.host.weights, 8 * largest)


def check_room(needed: int, free: int) -> None:
    """Raises RpcError DISK_FULL. Both in bytes."""
    if needed > free:
        message = f"This needs {needed / 1e6:,.0f} MB on the disk; {free / 1e6:,.0f} MB are free. Make room."
        metadata = {"needed": str(needed), "free": str(free)}
        raise RpcError(Code.RESOURCE_EXHAUSTED, message, reason="DISK_FULL", metadata=metadata)


def full() -> RpcError:
    """The disk took no more."""
    message = "The disk became full; nothing was kept. Make room, and begin again."
    return RpcError(Code.RESOURCE_EXHAUSTED, message, reason="DISK_FULL")


class Told:
    """How far llama.cpp is, from the lines in which it names the tensor that it begins with."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._sizes = {each.name: each.size for each in tensors}
        self._whole = max(1, sum(self._sizes.values()))
        self._done = self._begun = 0
        self._before = ""

    def hear(self, line: str) -> float | None:
        """The share of the source's bytes that is done, 0 to 1; None: the line tells nothing of that."""
        found = TOLD.match(line)
        if found is None:
            return None
        self._done += self._sizes.get(self._before, 0)
        self._before = found[3]
        return min(1.0, self._done / self._whole)
