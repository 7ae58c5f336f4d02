"""How urgent a call is beside others."""

from enum import IntEnum
from typing import Self

from bus import errors


class Priority(IntEnum):
    """Who goes first where not everyone can; the numbers are those of troupe.rpc.v1.Priority, and 1 goes first."""

    VOICE = 1
    INTERACTIVE = 2
    BATCH = 3
    TRAINING = 4

    @property
    def word(self) -> str:
        """As it travels in metadata, for example "voice"."""
        return self.name.lower()

    def lowered(self, other: "Priority | None") -> "Priority":
        """The less urgent of the two; the own one where there is no other."""
        return self if other is None else max(self, other)

    @classmethod
    def named(cls, word: str) -> Self:
        """The priority of a word in metadata. Raises INVALID_ARGUMENT for a word that names none."""
        found = cls.__members__.get(word.upper())
        if found is None or word != found.word:
            words = ", ".join(repr(priority.word) for priority in cls)
            raise errors.invalid(f"{word[:80]!r} is no priority; there are {words}.", "priority")
        return found
