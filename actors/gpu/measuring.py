"""Looks at the devices again and again, tells the stage, and sees to it that what was given back is free."""

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import structlog

from actors.gpu.accounts import Accounts
from actors.gpu.devices import DeviceSource
from actors.gpu.reading import Lost, Reading
from actors.gpu.stage import Stage
from actors.gpu.tenure import Tenure, Tenures
from actors.gpu.words import DeviceLost, Verified

LOOK_SECONDS = 1.0
"""Between two looks while anybody holds, waits or watches."""

IDLE_SECONDS = 5.0
"""The same while nobody does."""

VERIFY_SECONDS = 0.1
"""The same while something was given back."""

FRESH_SECONDS = 0.5
"""What was measured so lately is good enough to decide by."""

READ_SECONDS = 5.0
"""A source that does not answer within this time is lost, until it does."""

LOST_AFTER = 3
"""Looks one after the other that fail for a reason that may pass."""

GIVE_UP_SECONDS = 10.0
"""After so long what a process has that never ended is no longer its lease's, but like others' use."""

log = structlog.get_logger(__name__)


class _Source:
    """A source with a thread of its own, so that one that hangs holds up no other."""

    def __init__(self, source: DeviceSource) -> None:
        self.source = source
        self.thread = ThreadPoolExecutor(1, "devices")
        self.reading: asyncio.Future[Sequence[Reading | Lost]] | None = None
        self.failures = 0

    async def read(self, pids: Collection[int]) -> Sequence[Reading | Lost]:
        """Each device; none where this look failed and the last one is still good. Never two at a time."""
        if self.reading is None:
            loop = asyncio.get_running_loop()
            self.reading = loop.run_in_executor(self.thread, self.source.read, pids)
        done, _ = await asyncio.wait([self.reading], timeout=READ_SECONDS)
        if not done:
            return self._lost(f"does not answer within {READ_SECONDS:g} s")
        reading, self.reading = self.reading, None
        try:
            found = reading.result()
        except Exception as error:  # noqa: BLE001 - a library's own, whichever: the device does not answer
            self.failures += 1
            log.warning("devices.unread", devices=list(self.source.devices), error=repr(error))
            return self._lost(f"cannot be read: {error}") if self.failures >= LOST_AFTER else ()
        self.failures = 0
        return found

    def _lost(self, why: str) -> Sequence[Lost]:
        return [Lost(name, f"{name} {why}.") for name in self.source.devices]

    async def close(self) -> None:
        """A thread that hangs is left to the end of the process."""
        if self.reading is None:
            await asyncio.get_running_loop().run_in_executor(self.thread, self.source.close)
        self.thread.shutdown(wait=False)


class Measuring:
    """freed: called with each lease whose memory is free. active: anybody holds, waits or watches."""

    def __init__(
        self,
        sources: Sequence[DeviceSource],
        accounts: Accounts,
        stage: Stage,
        tenures: Tenures,
        *,
        freed: Callable[[Tenure], None],
        active: Callable[[], bool] = lambda: True,
    ) -> None:
        self.readings: dict[str, Reading] = {}
        """The last one of each device that answers."""
        self.lost: dict[str, str] = {}
        """Why, of each that does not."""
        self.failure = ""
        self._sources = [_Source(source) for source in sources]
        self._accounts = accounts
        self._stage = stage
        self._tenures = tenures
        self._freed = freed
        self._active = active
        self._looked = float("-inf")
        self._turn = asyncio.Lock()
        self._poked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Look once, then go on looking."""
        await self.look()
        self._task = asyncio.create_task(self._keep_looking(), name="devices")

    async def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for source in self._sources:
            await source.close()

    def poke(self) -> None:
        """Something was given back, or somebody wants to see: look soon."""
        self._poked.set()

    async def fresh(self) -> None:
        """Return when what is known is not older than FRESH_SECONDS."""
        if time.monotonic() - self._looked > FRESH_SECONDS:
            await self.look(FRESH_SECONDS)

    async def look(self, unless_younger: float = 0.0) -> None:
        """Measure now, and tell; not if somebody did so meanwhile."""
        async with self._turn:
            began = time.monotonic()
            if began - self._looked < unless_younger:
                return
            pids = self._tenures.pids()
            found = await asyncio.gather(*(source.read(pids) for source in self._sources))
            self._tell([each for of_source in found for each in of_source], began)
            self._looked = began

    def _tell(self, found: Sequence[Reading | Lost], began: float) -> None:
        now = time.monotonic()
        free = [each for each in self._tenures.leaving() if _is_free(each, began, now)]
        holdings = self._tenures.holdings(without=free)
        for reading in found:
            if isinstance(reading, Lost):
                self._lose(reading)
            else:
                if self.lost.pop(reading.device, None):
                    log.info("device.back", device=reading.device)
                self.readings[reading.device] = reading
                self._stage.tell(self._accounts.seen(reading, holdings))
        for tenure in free:
            self._stage.tell(Verified(tenure.lease))
            self._tenures.drop(tenure.lease)
            self._freed(tenure)

    def _lose(self, lost: Lost) -> None:
        if lost.device not in self.lost:
            log.warning("device.lost", device=lost.device, why=lost.why)
            self.readings.pop(lost.device, None)
            self._stage.tell(DeviceLost(lost.device))
        self.lost[lost.device] = lost.why

    async def _keep_looking(self) -> None:
        while True:
            self._poked.clear()
            pause = IDLE_SECONDS
            if self._tenures.leaving():
                pause = VERIFY_SECONDS
            elif self._active():
                pause = LOOK_SECONDS
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._poked.wait()
            try:
                await self.look()
                self.failure = ""
            except Exception:
                self.failure = "A look at the devices has failed; the log tells more."
                log.exception("devices.failed")


def _is_free(tenure: Tenure, began: float, now: float) -> bool:
    """Whether a look that began then shows what is left of a lease that has ended.

    What its process still uses is counted as others' use from then on, so that nothing of it is granted twice. One that
    did not end in order may still take what it was granted: it has to be gone, unless that takes too long.
    """
    if tenure.left is None or tenure.left >= began:
        return False
    return tenure.orderly or tenure.ended() or now - tenure.left > GIVE_UP_SECONDS
