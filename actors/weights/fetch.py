"""One fetch from start to end, and what is known about it meanwhile."""

import asyncio
import errno
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import structlog

from actors.weights.download import became_full, is_midway
from bus import Code, RpcError
from bus.context import duration
from troupe.rpc.v1 import Progress
from troupe.weights.v1 import PulledModel, WeightsState

log = structlog.get_logger(__name__)

WORK = ".fetching"
"""Folder beside the files for what is not there yet: on the same disk, so that the last step is a rename."""
KNOWN_SHARE = 0.02
"""Less says nothing about the rest."""


class Bringer(Protocol):
    """Brings one model from one source."""

    @property
    def title(self) -> str:
        """What is brought, for people, for example "smollm2-135m"."""

    def present(self) -> bool:
        """Whether it is there, whoever put it there."""

    async def bring(self, told: Callable[[float], None]) -> PulledModel:
        """Bring it; `told` hears the share that is done. Raises RpcError, OSError.

        Cancelled, it keeps what it has for the next time.
        """

    async def forget(self) -> None:
        """Remove what an interrupted `bring` has kept."""


class Fetch:
    """Brings one model into a folder. Whoever asks meanwhile joins; the last step is one rename.

    One that is interrupted, by the hub's end too, keeps what it has beside the files, and the next goes on from there.
    """

    def __init__(self, bringer: Bringer) -> None:
        self.bringer = bringer
        self.problem: RpcError | None = None
        """Why it could not be brought."""
        self.result: PulledModel | None = None
        self.fraction = 0.0
        self.waiting = False
        """Whether it is to be fetched after others."""
        self._began = 0.0
        self._followers = 0
        self._kept_going = False
        self._task: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()

    @property
    def running(self) -> bool:
        """Whether it is under way."""
        return self._task is not None and not self._task.done()

    @property
    def state(self) -> WeightsState:
        """Where it stands; a file of this name counts as there, whoever put it into the folder."""
        if self.running:
            return WeightsState.WEIGHTS_STATE_FETCHING
        if self.bringer.present():
            return WeightsState.WEIGHTS_STATE_PRESENT
        if self.problem is not None:
            return WeightsState.WEIGHTS_STATE_FAILED
        return WeightsState.WEIGHTS_STATE_WAITING if self.waiting else WeightsState.WEIGHTS_STATE_ABSENT

    @property
    def error(self) -> str:
        """Why it could not be brought, as sentences; empty: nothing is known against it."""
        return self.problem.message if self.problem is not None else ""

    @property
    def eta(self) -> float | None:
        """Seconds until it is there, if it goes on as it has so far; None where too little has come to tell."""
        if self.fraction < KNOWN_SHARE:
            return None
        return (time.monotonic() - self._began) * (1 - self.fraction) / self.fraction

    @property
    def progress(self) -> Progress:
        """How far it is, for callers."""
        note = f"Fetching {self.bringer.title}."
        progress = Progress(state=Progress.STATE_LOADING, fraction=self.fraction, note=note)
        if (eta := self.eta) is not None:
            progress.eta.CopyFrom(duration(eta))
        return progress

    def start(self) -> None:
        """Begin, unless it is under way or there; it goes on whoever leaves."""
        self._kept_going = True
        self._begin()

    @contextmanager
    def followed(self) -> Iterator[None]:
        """Begin, unless it is under way or there, and count as one for whom it goes on."""
        self._followers += 1
        try:
            self._begin()
            yield
        finally:
            self._followers -= 1

    @property
    def wanted(self) -> bool:
        """Whether it goes on for somebody."""
        return self._kept_going or self._followers > 0

    def _begin(self) -> None:
        self.waiting = False
        if self.state not in (WeightsState.WEIGHTS_STATE_FETCHING, WeightsState.WEIGHTS_STATE_PRESENT):
            self.problem, self.fraction, self._began = None, 0.0, time.monotonic()
            # In a context of its own: it belongs to no call.
            self._task = asyncio.create_task(self._run(), name=f"fetch {self.bringer.title}")

    async def changes(self) -> AsyncIterator[None]:
        """Yields at once and then after each change, until the fetch is over. Changes may be joined."""
        yield
        while self._task is not None and not self._task.done():
            changed = asyncio.create_task(self._changed.wait())
            try:
                await asyncio.wait([changed, self._task], return_when=asyncio.FIRST_COMPLETED)
            finally:
                changed.cancel()
            yield

    async def stop(self, *, forget: bool = False) -> None:
        """End what is under way; the next start goes on from there, unless it is to be forgotten."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if forget:
            await self.bringer.forget()

    async def _run(self) -> None:
        title = self.bringer.title
        log.info("weights.fetch", model=title)
        try:
            self.result = await self.bringer.bring(self._tell)
            self._tell(1.0)
        except RpcError as problem:
            self.problem = problem
        except OSError as problem:
            self.problem = _of_disk(title, problem)
        finally:
            self._kept_going = False
        if self.problem is not None and is_midway(self.problem):
            await self.bringer.forget()  # a full disk is everybody's trouble
        if self.problem is not None:
            log.warning("weights.failed", model=title, error=self.error)
        else:
            log.info("weights.fetched", model=title)

    def _tell(self, fraction: float) -> None:
        if fraction > self.fraction:
            self.fraction = fraction
            changed, self._changed = self._changed, asyncio.Event()
            changed.set()


def _of_disk(title: str, problem: OSError) -> RpcError:
    if problem.errno in (errno.ENOSPC, errno.EDQUOT):
        return became_full(title)
    where = problem.filename or "the folder of models"
    message = f"{title} cannot be written to {where}: {problem.strerror}."
    return RpcError(Code.FAILED_PRECONDITION, message, reason="WEIGHTS_UNWRITABLE")
