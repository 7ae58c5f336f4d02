"""What runs: one line per actor, its name and where its class is. Nothing is imported until somebody asks."""

from importlib import import_module

from bus.errors import nearest

ACTORS = {
    "echo": "actors.echo:EchoActor",
    "llama": "actors.llama.actor:LlamaActor",
}


class UnknownActor(Exception):
    """No actor has this name; the message offers the nearest."""


def find(name: str, actors: dict[str, str] | None = None) -> type[object]:
    """An actor's class. Raises UnknownActor, and what importing it raises."""
    module, _, attribute = location(name, actors).partition(":")
    found = getattr(import_module(module), attribute)
    assert isinstance(found, type), f"{module}:{attribute} is no class"
    return found


def location(name: str, actors: dict[str, str] | None = None) -> str:
    """Where an actor's class is, as "module:Class". Raises UnknownActor."""
    known = ACTORS if actors is None else actors
    if name not in known:
        close = nearest(name, known)
        hint = f"Did you mean {' or '.join(close)}?" if close else f"There are: {', '.join(known)}."
        raise UnknownActor(f"There is no actor {name!r}. {hint}")
    return known[name]
