"""What the scheduler has for one call, until the call has taken it."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from actors.gpu.words import Granted, Grown, Placed, Refused, Revoke, Told, Welcome
from bus import Code, RpcError
from bus.priority import Priority

MAX_WAITING = 64
"""Effects that wait for a call which does not take them; then it is ended. How it stands is always one."""

Addressed = Placed | Granted | Grown | Told | Refused | Revoke | Welcome


class Mailbox:
    """One reader; whoever puts never waits. Iterating ends when it is closed, raises when it has failed.

    priority: of the call; since: when it came, on the scheduler's clock.
    """

    def __init__(self, priority: Priority = Priority.INTERACTIVE, since: float = 0.0) -> None:
        self.priority = priority
        self.since = since
        self._effects: deque[Addressed] = deque()
        self._ring = asyncio.Event()
        self._closed = False
        self._error: RpcError | None = None

    def put(self, effect: Addressed) -> None:
        """Only the newest word of how a call stands is kept, and none from before its answer."""
        if not isinstance(effect, (Grown, Revoke, Welcome)):
            self._effects = deque(each for each in self._effects if not isinstance(each, Told))
        self._effects.append(effect)
        if len(self._effects) > MAX_WAITING:
            self.fail(RpcError(Code.RESOURCE_EXHAUSTED, "The call does not take its answers.", reason="SLOW_CONSUMER"))
        self._ring.set()

    def close(self) -> None:
        """There will be no more: what is there is read before iterating ends."""
        self._closed = True
        self._ring.set()

    def fail(self, error: RpcError) -> None:
        """End the reader with this error; what is there is given up."""
        self._error = self._error or error
        self._ring.set()

    async def __aiter__(self) -> AsyncIterator[Addressed]:
        while True:
            if self._error is not None:
                raise self._error
            if self._effects:
                yield self._effects.popleft()
            elif self._closed:
                return
            else:
                self._ring.clear()
                await self._ring.wait()
