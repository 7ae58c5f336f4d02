"""What travels beside the messages of a call."""

import re
from collections.abc import Iterator

from bus.errors import invalid
from bus.service import Metadata

Pairs = list[tuple[str, str | bytes]]
"""Metadata as gRPC takes it."""

_KEY = re.compile(r"[a-z0-9_.-]+")


def checked(metadata: Metadata) -> Iterator[tuple[str, str]]:
    """The metadata of a caller. Raises INVALID_ARGUMENT for what cannot travel."""
    for key, value in metadata.items():
        if not _KEY.fullmatch(key) or key.startswith(("grpc-", "troupe-")) or key.endswith("-bin"):
            raise invalid(
                f"{key!r} cannot be a key of metadata: lower-case letters, digits and _ - . make one, "
                "and neither grpc- nor troupe- begins it, nor -bin ends it.",
                "metadata",
            )
        yield key, printable(value, key)


def printable(value: str, name: str) -> str:
    """A value of metadata. Raises INVALID_ARGUMENT without showing it, since it may be a secret."""
    if not (value.isascii() and value.isprintable()):
        raise invalid(f"The value of {name!r} holds something else than printable ASCII characters.", "metadata")
    return value
