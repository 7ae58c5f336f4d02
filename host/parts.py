"""Parts of a hub that are installed when wanted: what each brings, and whether it is there.

A part is an extra of the package: the libraries that some actors stand on. Whether it is there is told by looking for
its modules; none of them is imported.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import invalidate_caches
from importlib.util import find_spec

from troupe.rpc.v1 import Absence


@dataclass(frozen=True, slots=True)
class Library:
    """What a part brings along. megabytes: about what is fetched for it, with what it needs itself."""

    distribution: str
    module: str
    """Of the top, for example "torch"."""

    megabytes: int


@dataclass(frozen=True, slots=True)
class Part:
    """An extra of the same name. about: what it is for, in a few words."""

    about: str
    libraries: tuple[Library, ...]
    actors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Actors that run only with it, and what they serve: "troupe.echo.v1.EchoService", with "[route]" if known."""

    def missing(self) -> list[Library]:
        """The libraries that are not there now."""
        invalidate_caches()  # pip may have been here since the last look
        return [library for library in self.libraries if find_spec(library.module) is None]


Parts = Mapping[str, Part]
"""By name; a hub's own are `actors.registry.PARTS`."""


def part_of(actor: str, parts: Parts) -> str:
    """The part that an actor runs only with; empty: it needs none."""
    return next((name for name, part in parts.items() if actor in part.actors), "")


def lacking(actor: str, parts: Parts) -> str:
    """The part of an actor, if it is not wholly installed; else empty."""
    name = part_of(actor, parts)
    return name if name and parts[name].missing() else ""


def absences(actors: Mapping[str, str], parts: Parts) -> Iterable[Absence]:
    """As a heartbeat tells them: actors that are not started, by name, with the part that each lacks."""
    return [Absence(actor=actor, part=name, services=parts[name].actors[actor]) for actor, name in actors.items()]
