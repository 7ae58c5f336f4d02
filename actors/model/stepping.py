"""The thread of an engine that computes step by step: what others have it do, when it sleeps, and how it does."""

import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable

from host.watchdog import Pulse


class Stepping(ABC):
    """Steps until it is stopped, and sleeps while there is nothing to do. One thread runs it, any may post.

    patience: seconds that the first step may take before it counts as a hang; a step says its own.
    """

    def __init__(self, patience: float) -> None:
        self._inbox: deque[Callable[[], None]] = deque()
        self._wake = threading.Event()
        self._posting = threading.Lock()
        self._closing = False
        self._ended = False
        self._rounds = 0
        self._working = False
        self._patience = patience

    @property
    def pulse(self) -> Pulse:
        """How it does, for whoever watches; may be asked from any thread."""
        return Pulse(self._rounds, self._working, self._patience)

    # ---- from any thread

    def post(self, call: Callable[[], None]) -> bool:
        """Have this called on the engine's thread before its next computation; False: the engine has ended."""
        with self._posting:
            if self._ended:
                return False
            self._inbox.append(call)
        self._wake.set()
        return True

    def wake(self) -> None:
        """Let an idle engine look round."""
        self._wake.set()

    def stop(self) -> None:
        """Leave `run` before the next computation."""
        self._closing = True
        self._wake.set()

    # ---- on the engine's thread

    def run(self) -> None:
        """Step until `stop`. What fails here fails all jobs; the caller ends the process or frees the model."""
        while not self._closing:
            self._working = True
            if not self.step():
                self._working = False
                self._wake.wait()

    @abstractmethod
    def step(self) -> bool:
        """One step; False if there is nothing to do until somebody wakes the engine."""

    def _take_posts(self) -> None:
        """What was posted, at the beginning of a step."""
        self._wake.clear()
        while self._inbox:
            self._inbox.popleft()()

    def _end_posting(self) -> None:
        """Nothing more can be posted; what was, is called now."""
        with self._posting:
            self._ended = True
        while self._inbox:
            self._inbox.popleft()()
