"""Families that are being started: a model that nobody knows may be theirs, so whoever calls it waits."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable

from actors.models.directory import Directory
from bus import RpcError
from host.liveness import Presence
from host.outlook import SUPERVISOR
from troupe.family.v1 import FamilyService
from troupe.rpc.v1 import Progress

START_SECONDS = 20.0
"""How long a call waits for families that are being started; and how long a hub is one that starts."""
SAY_SECONDS = 2.0
"""Between two words to whoever waits."""


class Starting:
    """Knows whether a family may still tell of a model. Time is any clock in seconds."""

    def __init__(self, directory: Directory, presence: Presence, clock: Callable[[], float] = time.monotonic) -> None:
        self._directory = directory
        self._presence = presence
        self._clock = clock
        self._since = clock()
        self._told = asyncio.Event()
        directory.on_told.append(self._heard)

    def coming(self) -> bool:
        """Whether any process of the hub is being started."""
        return any(seen.awaits or seen.state == "starting" for seen in self._presence.processes.values())

    def expects(self, error: RpcError) -> bool:
        """Whether what the directory refused so may be known within a moment.

        Where a family answers, what is still started may be no family at all: only a hub that starts waits for it.
        """
        young = self._clock() - self._since < START_SECONDS
        if error.reason == "FAMILY_UNAVAILABLE":
            family = error.metadata.get("family", "")
            if family:
                return self.coming() or bool(self._presence.serving(FamilyService.INFO.name, family))
            # Where no supervisor tells who is being started, somebody may be.
            supervised = any(seen.actor == SUPERVISOR for seen in self._presence.processes.values())
            return self.coming() or (young and not supervised)
        return error.reason == "MODEL_NOT_FOUND" and young and self.coming()

    async def waiting(self, name: str) -> AsyncGenerator[Progress, None]:
        """Ends once the directory finds the name, nothing more is expected, or START_SECONDS are over."""
        until = self._clock() + START_SECONDS
        while True:
            told = self._told  # before the look, so that nothing is missed
            problem = self._refusal(name)
            if problem is None or not self.expects(problem):
                return
            left = until - self._clock()
            if left <= 0:
                return
            note = "The hub is starting: not every family of models has said yet what it has."
            yield Progress(state=Progress.STATE_LOADING, note=note)
            try:
                async with asyncio.timeout(min(left, SAY_SECONDS)):
                    await told.wait()
            except TimeoutError:
                continue

    def _refusal(self, name: str) -> RpcError | None:
        try:
            self._directory.find(name)
        except RpcError as error:
            return error
        return None

    def _heard(self) -> None:
        told, self._told = self._told, asyncio.Event()
        told.set()
