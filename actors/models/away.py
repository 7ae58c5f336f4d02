"""What families that do not answer are to callers of the front."""

from actors.models.directory import family_unavailable
from bus import Code, RpcError

GONE = frozenset({"NO_RESPONDERS", "SHUTTING_DOWN", "PEER_LOST", "INTERRUPTED"})
"""Reasons of a family's process that is not there."""


def is_gone(error: RpcError) -> bool:
    """Nobody serves the family, or its process has ended."""
    return error.code is Code.UNAVAILABLE and error.reason in GONE


def of_family(family: str, error: RpcError) -> RpcError:
    """A family's error as the caller gets it; that nobody serves the family is no word for callers."""
    return family_unavailable(family, "Its process does not answer.") if is_gone(error) else error
