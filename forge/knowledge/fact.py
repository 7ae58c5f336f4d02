"""What a fact is."""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """How one asks about a fact; each kind has its own question forms in `forge.phrasings`."""

    CONCEPT = "concept"
    """`about` is a noun phrase: "a frame"."""
    PURPOSE = "purpose"
    """`about` names something that does something: "make up"."""
    VALUE = "value"
    """`about` is a noun phrase for a value: "the default temperature"."""
    WHICH = "which"
    """`about` follows "which" in English and is a whole indirect question in Vietnamese."""
    HOW_TO = "how to"
    """`about` is a verb phrase: "stop an answer"."""
    MEANING = "meaning"
    """`about` is the reason of an error."""
    REMEDY = "remedy"
    """`about` is the reason of an error; the answer says what to do."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A fact in one language."""

    about: tuple[str, ...]
    """Ways to name what is asked for, the usual one first."""
    answer: str


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing to know, in both languages."""

    key: str
    kind: Kind
    english: Entry
    vietnamese: Entry


Row = tuple[str, str, str, str, str]
"""Key, English about and answer, Vietnamese about and answer; several `about` are parted by a bar."""


def facts_of(kind: Kind, rows: tuple[Row, ...]) -> list[Fact]:
    """Rows as facts."""
    return [
        Fact(
            f"{kind.value}: {key}", kind, Entry(tuple(en.split("|")), en_answer), Entry(tuple(vi.split("|")), vi_answer)
        )
        for key, en, en_answer, vi, vi_answer in rows
    ]
