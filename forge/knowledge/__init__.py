"""What troupe-tiny knows: Troupe itself, in English and Vietnamese. Data only."""

from forge.knowledge.asked import ASKED
from forge.knowledge.concepts import CONCEPTS
from forge.knowledge.errors import meanings, remedies
from forge.knowledge.fact import Entry, Fact, Kind, facts_of
from forge.knowledge.how_to import HOW_TO
from forge.knowledge.surface import PURPOSES, VALUES, WHICH

__all__ = ["ASKED", "Entry", "Fact", "Kind", "facts"]


def facts() -> list[Fact]:
    """Every fact, always in the same order."""
    return [
        *facts_of(Kind.CONCEPT, CONCEPTS),
        *facts_of(Kind.PURPOSE, PURPOSES),
        *facts_of(Kind.VALUE, VALUES),
        *facts_of(Kind.WHICH, WHICH),
        *facts_of(Kind.HOW_TO, HOW_TO),
        *facts_of(Kind.MEANING, meanings()),
        *facts_of(Kind.REMEDY, remedies()),
    ]
