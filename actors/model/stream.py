"""From the engine's thread to the event loop: everything that a step has made is handed over at once."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Generic, TypeVar

from bus import RpcError

Item = TypeVar("Item")


class EventStream(Generic[Item]):
    """What one job makes, for one reader on the event loop.

    Iterating gives lists: whatever has piled up since the last one. What piles up is bounded by the job itself (its
    tokens, its inputs), so a slow reader needs no second bound here. `cancelled` is the only thing that the engine's
    thread reads.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake_engine = wake
        self._items: list[Item] = []
        self._waiter: asyncio.Future[None] | None = None
        self._error: RpcError | None = None
        self.ended = False
        self.cancelled = False

    def __aiter__(self) -> AsyncIterator[Sequence[Item]]:
        return self

    async def __anext__(self) -> Sequence[Item]:
        while not self._items:
            if self.ended:
                if self._error is not None:
                    raise self._error
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        items, self._items = self._items, []
        return items

    def cancel(self) -> None:
        """Give up the job; the engine frees its places within one step. Harmless when it has ended."""
        if not self.ended and not self.cancelled:
            self.cancelled = True
            self._wake_engine()

    def push(self, item: Item) -> None:
        """On the event loop: something was made."""
        self._items.append(item)
        self._notify()

    def end(self, error: RpcError | None = None) -> None:
        """On the event loop: nothing more comes."""
        self._error = self._error or error
        self.ended = True
        self._notify()

    def _notify(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Outbox:
    """What a step has made, until `flush` hands it to the event loop in one call."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._calls: list[Callable[[], None]] = []

    def add(self, call: Callable[[], None]) -> None:
        """Have this called on the event loop."""
        self._calls.append(call)

    def flush(self) -> None:
        """Hand everything over. After the loop was closed there is nobody left to tell."""
        if not self._calls:
            return
        calls, self._calls = self._calls, []
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(_run, calls)


def _run(calls: list[Callable[[], None]]) -> None:
    for call in calls:
        call()
