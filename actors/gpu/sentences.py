"""How sizes and lists are written in the scheduler's sentences."""

from collections.abc import Iterable

from actors.gpu.words import Shares


def size(count: int) -> str:
    """Bytes for people: "5.0 GiB", "420.5 MiB", "17 bytes"."""
    for unit, word in ((2**30, "GiB"), (2**20, "MiB")):
        if count >= unit:
            return f"{count / unit:.1f} {word}"
    return f"{count} bytes"


def placed_at(shares: Shares) -> str:
    """Where something lies: "5.0 GiB of gpu0 and 400.0 MiB of system"."""
    return joined(f"{size(count)} of {device}" for device, count in shares.items()) or "nothing"


def joined(words: Iterable[str]) -> str:
    """One, two and three."""
    found = list(words)
    return " and ".join([", ".join(found[:-1]), found[-1]]) if len(found) > 1 else "".join(found)
