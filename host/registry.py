"""Looks actors up in a registry: a table of names, and where the class of each is.

Nothing is imported until somebody asks.
"""

from collections.abc import Mapping
from importlib import import_module

from bus.errors import nearest

Registry = Mapping[str, str]
"""An actor's name -> "module:Class"; a hub's own is `actors.registry.ACTORS`."""


class UnknownActor(Exception):
    """No actor has this name; the message offers the nearest."""


def find(name: str, actors: Registry) -> type[object]:
    """An actor's class. Raises UnknownActor, and what importing it raises."""
    module, _, attribute = location(name, actors).partition(":")
    found = getattr(import_module(module), attribute)
    assert isinstance(found, type), f"{module}:{attribute} is no class"
    return found


def location(name: str, actors: Registry) -> str:
    """Where an actor's class is, as "module:Class". Raises UnknownActor."""
    if name not in actors:
        close = nearest(name, actors)
        hint = f"Did you mean {' or '.join(close)}?" if close else f"There are: {', '.join(actors)}."
        raise UnknownActor(f"There is no actor {name!r}. {hint}")
    return actors[name]
