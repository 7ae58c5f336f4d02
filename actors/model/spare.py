"""A process that is kept ready for the next load: started, with its libraries, and without a model.

What starting costs is paid before anybody waits for it. A load that finds no spare process, or one that does not
answer, takes the normal road. A spare one is watched as every other process is, by what it says on its output.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from contextvars import Context
from dataclasses import replace
from pathlib import Path

import structlog

from actors.model.launcher import Launcher, Report, Subprocess, SubprocessLauncher, WorkerProcess
from actors.model.measuring import resident_bytes
from actors.model.needs import PROCESS_BYTES
from actors.model.spare_room import SpareRoom
from host import sight
from host.driver import Driver, Ending
from host.member import Member
from host.supervision import Child, State, Supervision
from host.watchdog import Sight

NAME = "spare"
CALM_SECONDS = 1.0
"""After the last load has ended, until a spare process is started: its imports are not to slow first answers."""
LOOK_SECONDS = 10.0
"""Between two looks whether there is room for it."""
TAKE_SECONDS = 1.0
"""For its answer that it takes a load. It has nothing else to do; without that answer it is killed."""
END_SECONDS = 1.0
"""For the end of one that was killed, which the kernel sees to."""
AGAIN_SECONDS = 600.0
"""After spare processes have broken one after the other."""
MAX_RESTARTS = 3
WINDOW_SECONDS = 60.0

log = structlog.get_logger(__name__)


async def _enough() -> int | None:
    return 1 << 62


class SpareLauncher:
    """Starts models' processes from a spare one, of which it keeps one, from the first load on. Implements `Launcher`.

    launcher: starts processes. room: bytes of main memory that nobody wants; None: that cannot be told now. `close` it
    in the end.
    """

    def __init__(self, launcher: SubprocessLauncher, room: Callable[[], Awaitable[int | None]] = _enough) -> None:
        self._launcher = launcher
        self._room = room
        self.on_change: Callable[[], None] = lambda: None
        """Called when the state of the spare process has changed."""
        self._size = PROCESS_BYTES
        """Bytes that a spare process takes, as the last one did."""
        self._loads = 0
        self._calm_at = 0.0
        self._spare: _Spare | None = None
        self._poked = asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None
        self._closed = False

    async def close(self) -> None:
        """End the spare process, and keep none any more."""
        self._closed, task = True, self._keeping
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await self._end("the family ends")

    async def launch(self, name: str, path: Path, instance: str) -> WorkerProcess:
        """See `Launcher`."""
        self._loads += 1
        loading = _Loading(self._over)
        try:
            process = await self._take(self._launcher.assignment(name, path, instance))
            return loading.of(process or await self._launcher.launch(name, path, instance))
        except BaseException:
            loading.over()
            raise

    @property
    def pid(self) -> int:
        """The number of the spare process that could be taken now; 0: there is none."""
        return self._spare.pid if self._spare is not None and self._spare.warm else 0

    def held(self) -> int:
        """What the spare process takes of main memory; 0: there is none."""
        pid = self._spare.pid if self._spare is not None else 0
        return resident_bytes(Path(f"/proc/{pid}"))[1] if pid else 0

    async def _take(self, assignment: bytes) -> Subprocess | None:
        if self._spare is None or not self._spare.warm:
            return None
        spare, self._spare = self._spare, None
        self._size = resident_bytes(Path(f"/proc/{spare.pid}"))[1] or self._size
        process = await spare.take(assignment)
        log.info("spare.taken" if process is not None else "spare.lost", pid=spare.pid)
        return process

    def _over(self) -> None:
        """A load has ended, one way or the other."""
        self._loads -= 1
        self._calm_at = time.monotonic() + CALM_SECONDS
        if self._keeping is None and not self._closed:
            keeping = self._keep()
            self._keeping = asyncio.get_running_loop().create_task(keeping, name="spare process", context=Context())
        self._poked.set()

    async def _keep(self) -> None:
        """See to it that there is one, where there is room and nothing loads."""
        while True:
            self._poked.clear()
            pause = LOOK_SECONDS
            if self._spare is None:
                pause = min(pause, max(0.0, self._calm_at - time.monotonic()) or LOOK_SECONDS)
                if self._may_begin() and _holds(await self._room(), self._size) and self._may_begin():
                    self._begin()
            elif await self._room() == 0:
                await self._end("others want the memory")
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._poked.wait()

    def _may_begin(self) -> bool:
        return self._spare is None and self._loads == 0 and time.monotonic() >= self._calm_at

    def _begin(self) -> None:
        self._spare = _Spare(self._launcher, self._broke, self._changed)
        self._spare.start()

    def _changed(self) -> None:
        self.on_change()

    def _broke(self, why: str) -> None:
        """It ends again and again: loads take the normal road for a time."""
        log.warning("spare.broken", why=why)
        self._spare, self._calm_at = None, time.monotonic() + AGAIN_SECONDS
        self.on_change()

    async def _end(self, why: str) -> None:
        spare, self._spare = self._spare, None
        if spare is not None:
            log.info("spare.ended", pid=spare.pid, why=why)
            await spare.end()


def spare_of(launcher: Launcher, member: Member | None) -> SpareLauncher | None:
    """For a family: around a launcher that starts processes, as far as the stage has room; None: around any other.

    member: the family's process on the bus, which tells in its metrics what the spare process takes.
    """
    if not isinstance(launcher, SubprocessLauncher):
        return None
    if member is None:
        return SpareLauncher(launcher)
    spare = SpareLauncher(launcher, SpareRoom(member).bytes)
    text = "Bytes of main memory of the process that is kept ready for the next load."
    member.metrics.gauge("troupe_spare_process_bytes", text, spare.held)
    return spare


class _Spare:
    """One spare process after another, until one is taken.

    broke: called when they end too often, with the reason. changed: when the state of one has changed.
    """

    def __init__(self, launcher: SubprocessLauncher, broke: Callable[[str], None], changed: Callable[[], None]) -> None:
        self._launcher = launcher
        self._process: _Waiting | None = None
        self._broke = broke
        self._driver = Driver(
            Supervision([[NAME]], max_restarts=MAX_RESTARTS, window=WINDOW_SECONDS, drain=0.0),
            self._launch,
            changed=lambda _: changed(),
            failed=self._given_up,
            kind="process",
            look=_look,
        )
        self._driver.failure.add_done_callback(self._unwatched)

    def start(self) -> None:
        self._driver.start()

    @property
    def pid(self) -> int:
        return self._driver.supervision.children[NAME].pid

    @property
    def warm(self) -> bool:
        return self._process is not None and self._driver.supervision.children[NAME].state is State.SERVING

    async def take(self, assignment: bytes) -> Subprocess | None:
        """Give it a load; None: it does not answer, and was killed. If this is cancelled, it is killed."""
        process, taken = self._process, False
        assert process is not None
        self._driver.supervision.stop(time.monotonic())  # nothing is started in its place
        try:
            seen = sight.sight(process.pid)
            if seen is None or not seen.stopped:
                process.give(assignment)
                async with asyncio.timeout(TAKE_SECONDS):
                    taken = await process.taken
        except TimeoutError:
            taken = False
        finally:
            await self._leave(taken=taken)
        return process.process if taken else None

    async def end(self) -> None:
        """Kill it: it has nothing to finish."""
        if not self._driver.supervision.stopping:
            self._driver.stop()
        await self._leave(taken=False)

    async def _leave(self, *, taken: bool) -> None:
        if not taken and self._process is not None:
            self._process.kill()
        with suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                await self._driver.finished.wait()
        await self._driver.end(leave=taken)

    async def _launch(self, name: str, instance: str) -> "_Waiting":
        self._process = _Waiting(await self._launcher.launch_spare(), self._heard)
        return self._process

    def _heard(self, report: Report) -> None:
        child = self._driver.supervision.children[NAME]
        state = State.SERVING if report.state == "spare" else State.STARTING
        self._driver.do(self._driver.supervision.heard(NAME, child.process, state.value, time.monotonic()))

    def _given_up(self, child: Child) -> None:
        self._broke(child.last_exit)

    def _unwatched(self, failure: "asyncio.Future[None]") -> None:
        if not failure.cancelled() and (error := failure.exception()) is not None:
            log.error("spare.unwatched", exc_info=error)
            self._broke(repr(error))


class _Waiting:
    """A process that waits for a load. Implements `driver.Process` until it is taken."""

    def __init__(self, process: Subprocess, heard: Callable[[Report], None]) -> None:
        self.process = process
        self.taken: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._heard = heard

    @property
    def pid(self) -> int:
        return self.process.pid

    def give(self, assignment: bytes) -> None:
        self.process.write(assignment)

    async def ended(self) -> Ending:
        async for report in self.process.reports():
            if report.state == "taken":
                self._decide(taken=True)
                return Ending("a load has taken it")
            self._heard(report)
        self._decide(taken=False)
        return await self.process.ended()

    def _decide(self, *, taken: bool) -> None:
        if not self.taken.done():
            self.taken.set_result(taken)

    def terminate(self) -> None:
        self.process.terminate()

    def kill(self) -> None:
        self.process.kill()


class _Loading:
    """A model's process of which is noticed when its load has ended. over: called then, once."""

    def __init__(self, over: Callable[[], None]) -> None:
        self._over: Callable[[], None] | None = over
        self._process: WorkerProcess | None = None

    def of(self, process: WorkerProcess) -> WorkerProcess:
        self._process = process
        return self

    def over(self) -> None:
        over, self._over = self._over, None
        if over is not None:
            over()

    @property
    def pid(self) -> int:
        return self._known.pid

    @property
    def _known(self) -> WorkerProcess:
        assert self._process is not None
        return self._process

    async def reports(self) -> AsyncIterator[Report]:
        try:
            async for report in self._known.reports():
                if report.state != "loading":
                    self.over()
                yield report
        finally:
            self.over()

    async def ended(self) -> Ending:
        return await self._known.ended()

    def terminate(self) -> None:
        self._known.terminate()

    def kill(self) -> None:
        self._known.kill()


def _look(pid: int) -> Sight | None:
    """What the system says of a spare process: what its importing thread waits for holds up the one that beats."""
    found = sight.sight(pid)
    return found and replace(found, waited={found.main: max(found.waited.values(), default=0.0)})


def _holds(room: int | None, size: int) -> bool:
    return room is not None and room >= size
