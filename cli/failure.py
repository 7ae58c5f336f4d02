"""How a command ends: exit codes, and what went wrong as a sentence with its remedy."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bus import RpcError

OK = 0
FAILED = 1
"""The hub refused, or broke off; a check failed."""
MISUSED = 2
"""The command line or the settings are wrong, or no hub answers."""
INTERRUPTED = 130
"""Ctrl-C."""


_SAYS_ALL = frozenset({"INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "OUT_OF_RANGE", "UNIMPLEMENTED"})
"""Codes of errors whose sentence is all there is to know: the request was at fault."""


class CommandError(Exception):
    """A command cannot go on. message: what and where; remedy: what to do; code: the exit code."""

    def __init__(self, message: str, remedy: str = "", code: int = MISUSED) -> None:
        super().__init__(f"{message} {remedy}".rstrip())
        self.message = message
        self.remedy = remedy
        self.code = code


def worth_looking_up(error: "RpcError") -> bool:
    """The hub's log tells more of this error than its sentence does."""
    from troupe_client import ConnectionLost

    return error.code.name not in _SAYS_ALL and not isinstance(error, ConnectionLost)


def why(error: OSError) -> str:
    """Why the system refuses, in its own words and without its number."""
    return error.strerror or str(error) or type(error).__name__
