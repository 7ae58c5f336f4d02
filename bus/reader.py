"""An async generator that one task reads at a time; another one that tries is told at once."""

from collections.abc import AsyncGenerator, Coroutine
from types import AsyncGeneratorType
from typing import Any, Self, TypeVar, cast

from bus.errors import BusyStream

T = TypeVar("T")


class SingleReader(AsyncGenerator[T, None]):
    """Passes everything on to `generator`, and raises BusyStream where another task is in it."""

    __slots__ = ("_generator",)

    def __init__(self, generator: AsyncGenerator[T, None]) -> None:
        self._generator = cast("AsyncGeneratorType[T, None]", generator)

    def __aiter__(self) -> Self:
        return self

    def __anext__(self) -> Coroutine[Any, Any, T]:
        """The next one. Raises StopAsyncIteration, BusyStream, and what the generator raises."""
        if self._generator.ag_running:
            self._alone("read")
        return self._generator.__anext__()

    def asend(self, value: None) -> Coroutine[Any, Any, T]:
        """As an async generator's."""
        self._alone("read")
        return self._generator.asend(value)

    def athrow(self, *error: Any) -> Coroutine[Any, Any, T]:
        """As an async generator's."""
        self._alone("read")
        return self._generator.athrow(*error)

    def aclose(self) -> Coroutine[Any, Any, None]:
        """End it, whether it has begun or not; harmless after its end. Raises BusyStream while a task reads."""
        self._alone("closed")
        return self._generator.aclose()

    def _alone(self, what: str) -> None:
        if self._generator.ag_running:
            raise BusyStream(f"Another task reads here, so it cannot be {what} now; cancel that task.")
