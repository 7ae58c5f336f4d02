"""How a command ends: exit codes, and what went wrong as a sentence with its remedy."""

OK = 0
FAILED = 1
"""The hub refused, or broke off; a check failed."""
MISUSED = 2
"""The command line or the settings are wrong, or no hub answers."""
INTERRUPTED = 130
"""Ctrl-C."""


class CommandError(Exception):
    """A command cannot go on. message: what and where; remedy: what to do; code: the exit code."""

    def __init__(self, message: str, remedy: str = "", code: int = MISUSED) -> None:
        super().__init__(f"{message} {remedy}".rstrip())
        self.message = message
        self.remedy = remedy
        self.code = code
