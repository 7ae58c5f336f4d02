"""Under which names a family's models are served: decided by the front of all models, followed by their processes."""

import asyncio
from collections.abc import Collection, Mapping, Sequence

from bus.errors import shutting_down


def qualified(family: str, model: str) -> str:
    """The name that no other model has."""
    return f"{family}/{model}"


class Names:
    """What a family was told about its models' names, and what the processes of these have made of it."""

    def __init__(self, family: str) -> None:
        self._family = family
        self._withheld: frozenset[str] | None = None
        self._others: Mapping[str, tuple[str, ...]] = {}
        self._served: dict[str, tuple[str, ...]] = {}
        self._changed = asyncio.Event()
        self._closed = False

    def tell(self, withheld: Collection[str], others: Mapping[str, Sequence[str]] | None = None) -> None:
        """These models may not be called by their bare name, all others may; `others` are further names, by model."""
        self._withheld = frozenset(withheld)
        self._others = {model: tuple(names) for model, names in (others or {}).items()}
        self._notify()

    def wanted(self, model: str) -> tuple[str, ...]:
        """Names under which a model should be served; the qualified one first."""
        bare = self._withheld is not None and model not in self._withheld
        return (qualified(self._family, model), *((model,) if bare else ()), *self._others.get(model, ()))

    def served(self, model: str) -> tuple[str, ...]:
        """Names under which it is served, as its process said last."""
        return self._served.get(model, ())

    def note(self, model: str, names: Sequence[str]) -> None:
        """A process serves a model under these names; one of several that serves under none yet takes nothing away."""
        if names or model not in self._served:
            self._served[model] = tuple(names)
        self._notify()

    async def differing(self, model: str, names: Sequence[str]) -> tuple[str, ...]:
        """The wanted names, once they are others than these. Raises SHUTTING_DOWN after `close`."""
        while self.wanted(model) == tuple(names):
            if self._closed:
                raise shutting_down()
            await self._change()
        return self.wanted(model)

    async def settled(self, model: str) -> None:
        """Return when the model is served under the wanted names, or by nobody who asks for them."""
        while model in self._served and self.served(model) != self.wanted(model):
            await self._change()

    def close(self) -> None:
        """Nobody is told of a change any more."""
        self._closed = True
        self._notify()

    def forget(self, model: str) -> None:
        """Nobody serves it any more."""
        if self._served.pop(model, None) is not None:
            self._notify()

    async def _change(self) -> None:
        changed = self._changed
        await changed.wait()

    def _notify(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
