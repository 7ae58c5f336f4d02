"""The memory that llama.cpp says it takes, buffer by buffer, as it writes it into its log while it loads.

The library has no function that tells; its log lines are held to what they mean in tests/actors/llama/test_buffers.py.
"""

import re
from dataclasses import dataclass

LINE = re.compile(r"(?P<place>\S+)\s+(?P<kind>model|KV|RS|compute|output) buffer size =\s*(?P<size>\d+\.\d+) MiB")
MEBIBYTE = 1 << 20
LIMIT = 64
"""Buffers of one process; a model on eight cards with two contexts has fewer."""


@dataclass(frozen=True, slots=True)
class Buffer:
    """kind: model, KV, RS, compute or output. place: the library's name of where it is. size: bytes, to 10 KiB."""

    kind: str
    place: str
    size: int

    @property
    def host(self) -> bool:
        """Whether it is in main memory: of the CPU, or pinned for a card."""
        return self.place.startswith("CPU") or self.place.endswith("_Host")

    @property
    def mapped(self) -> bool:
        """Whether it is the file itself, not a copy."""
        return self.place.endswith("_Mapped")


def read_line(text: str) -> Buffer | None:
    """The buffer that a line of the log tells of; None: it tells of none."""
    found = LINE.search(text)
    if found is None:
        return None
    return Buffer(found["kind"], found["place"], round(float(found["size"]) * MEBIBYTE))
