"""Time that passes at once: an event loop whose clock jumps to the next timer when there is nothing to do."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar
from unittest import mock

T = TypeVar("T")


class _JumpingSelector(selectors.SelectSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("Everyone waits, and no timer is set: this would wait for ever.")
            self.now += max(0.0, timeout)
        return ready


class _JumpingLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def run_at_once(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` in a new loop of this process' own time; time.monotonic goes along.

    For what needs no other process and no thread. Raises RuntimeError where nothing can happen any more.
    """
    with asyncio.Runner(loop_factory=_JumpingLoop) as runner, mock.patch("time.monotonic", runner.get_loop().time):
        return runner.run(main)
