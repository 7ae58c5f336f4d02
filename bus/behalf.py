"""On whose behalf a call is made: what travels from call to call by itself, beside the trace and the time."""

from collections.abc import Mapping
from dataclasses import dataclass

from bus.priority import Priority
from bus.service import Metadata

PRINCIPAL = "troupe-principal"
SCOPES = "troupe-scopes"
CREDENTIAL = "troupe-credential"
PRIORITY = "troupe-priority"
"""Keys of metadata that doors set, and accept from no client."""

REQUEST_ID = "x-request-id"
"""Key of metadata: what whoever began calls the whole, in the logs of all who work for it."""

TOKENS = "troupe-tokens"
"""Trailer: how many tokens of a model a call cost, for whoever keeps account without reading the answers."""

ASKED_PRIORITY = "priority"
"""With this key whoever calls lowers the priority of one call: "voice", "interactive", "batch" or "training"."""


@dataclass(frozen=True, slots=True)
class Behalf:
    """Who is behind a call, and how urgent it is. The empty one is an actor's own name."""

    principal: str = ""
    """Who calls, as the door knows it: opaque text of printable ASCII. Empty: nobody from outside."""

    scopes: frozenset[str] | None = None
    """What they may do; None: everything."""

    credential: str = ""
    """Id of the key, session or token that they called with, never the secret itself."""

    priority: Priority | None = None
    """How urgent it is; None: not said, which counts as INTERACTIVE."""

    @classmethod
    def of(cls, metadata: Mapping[str, str]) -> "Behalf":
        """What a call's metadata says. Raises INVALID_ARGUMENT for a priority that is none."""
        if not metadata:
            return NOBODY
        scopes, priority = metadata.get(SCOPES), metadata.get(PRIORITY)
        return cls(
            metadata.get(PRINCIPAL, ""),
            None if scopes is None else frozenset(scopes.split()),
            metadata.get(CREDENTIAL, ""),
            None if priority is None else Priority.named(priority),
        )

    def metadata(self) -> Metadata:
        """As it travels."""
        found: Metadata = {}
        if self.principal:
            found[PRINCIPAL] = self.principal
        if self.scopes is not None:
            found[SCOPES] = " ".join(sorted(self.scopes))
        if self.credential:
            found[CREDENTIAL] = self.credential
        if self.priority is not None:
            found[PRIORITY] = self.priority.word
        return found


NOBODY = Behalf()
"""An actor in its own name."""


def stamp(metadata: Metadata, behalf: Behalf | None, most: Priority | None) -> None:
    """Add to a call's metadata what travels by itself; what is given under these keys already stays.

    most: how urgent the method is at most. The caller's own wish (ASKED_PRIORITY) is taken out, and lowers the rest.
    Raises INVALID_ARGUMENT for a priority that is none.
    """
    for key, value in (behalf.metadata() if behalf else {}).items():
        metadata.setdefault(key, value)
    known = Priority.named(metadata[PRIORITY]) if PRIORITY in metadata else None
    priority = (known or most or Priority.INTERACTIVE).lowered(most)
    if ASKED_PRIORITY in metadata:
        priority = priority.lowered(Priority.named(metadata.pop(ASKED_PRIORITY)))
    if known or priority is not Priority.INTERACTIVE:
        metadata[PRIORITY] = priority.word
