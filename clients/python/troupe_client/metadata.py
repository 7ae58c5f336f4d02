"""What travels beside the messages of a call."""

import re
from collections.abc import Iterator
from typing import Any

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


def told(pairs: Any) -> Metadata:
    """What the responder said beside its answer. pairs: gRPC's metadata, or None; gRPC's and the hub's own are not."""
    return {
        str(key): value
        for key, value in pairs or ()
        if isinstance(value, str) and not str(key).startswith(("grpc-", "troupe-"))
    }
