"""Text of others on this terminal, and amounts for people."""

import os
from collections.abc import Sequence
from datetime import datetime
from typing import TextIO

_HARMLESS = "\n\t"
_CONTROL = {code: None for code in (*range(32), *range(127, 160)) if chr(code) not in _HARMLESS}

SIZES = ("B", "KiB", "MiB", "GiB")


def clean(text: str) -> str:
    """The text without control characters: neither a model nor a log must steer the terminal."""
    return text.translate(_CONTROL)


def colours(stream: TextIO) -> bool:
    """Whether colours are wanted there."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def size_text(size: int) -> str:
    """Bytes for people; empty for 0."""
    if not size:
        return ""
    amount, unit = float(size), 0
    while amount >= 1024 and unit < len(SIZES) - 1:
        amount, unit = amount / 1024, unit + 1
    return f"{amount:.0f} {SIZES[unit]}" if unit == 0 else f"{amount:.1f} {SIZES[unit]}"


def time_text(seconds: float) -> str:
    """A time, given in seconds since 1970, as a clock here shows it: "2026-11-28 19:16:50"."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def span_text(seconds: float) -> str:
    """How long something lasts, in its two largest units: "2 h 5 min"."""
    whole = max(0, int(seconds))
    parts = [("d", whole // 86400), ("h", whole // 3600 % 24), ("min", whole // 60 % 60), ("s", whole % 60)]
    first = next((place for place, (_, amount) in enumerate(parts) if amount), len(parts) - 1)
    return " ".join(f"{amount} {unit}" for unit, amount in parts[first : first + 2] if amount) or "0 s"


def columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Rows as lines whose columns stand below each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip() for cells in rows]
