"""One model's process from start to end: loading, serving, crashing, hanging, coming back, giving up.

What is decided is in host/supervision.py, as for the hub's own processes; here is what a model's states make of it.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import Context
from pathlib import Path
from typing import Any, Protocol

import structlog

from actors.model.launcher import Launcher, Report, WorkerProcess
from actors.model.process_watch import ProcessWatch
from actors.model.refusals import load_failed, lost
from bus import RpcError
from host.driver import Driver, Ending, Process
from host.supervision import KILL_SECONDS, Child, State, Supervision
from troupe.family.v1 import Measured
from troupe.model.v1 import ModelState
from troupe.rpc.v1 import Progress

STATES = {
    State.STARTING: ModelState.MODEL_STATE_LOADING,
    State.SERVING: ModelState.MODEL_STATE_READY,
    State.BACKING_OFF: ModelState.MODEL_STATE_LOADING,
    State.FAILED: ModelState.MODEL_STATE_FAILED,
    State.DRAINING: ModelState.MODEL_STATE_DRAINING,
    State.STOPPED: ModelState.MODEL_STATE_AVAILABLE,
}

GIVE_UP_SECONDS = 10.0
"""For the end of a process that was killed; one that hangs in the kernel, for example in a disk's driver, may never."""

log = structlog.get_logger(__name__)


class ProcessSettings(Protocol):
    """What a family's settings say of its processes."""

    @property
    def load_seconds(self) -> float:
        """A model that does not serve after this time has failed."""

    @property
    def drain_seconds(self) -> float:
        """For running calls, when a model is unloaded."""

    @property
    def max_restarts(self) -> int:
        """More within the window, and the model is left alone."""

    @property
    def restart_window_seconds(self) -> float:
        """The window."""


class ModelProcess:
    """Watches over the process of one model. One for one: what happens to it concerns no other model.

    watch: without it nothing is heard of the process but what it prints, so that it must not serve for long.
    """

    def __init__(
        self, name: str, path: Path, launcher: Launcher, settings: ProcessSettings, watch: ProcessWatch | None = None
    ) -> None:
        self.name = name
        self.path = path
        self.state = ModelState.MODEL_STATE_AVAILABLE
        self.error: RpcError | None = None
        self.progress = Progress(state=Progress.STATE_LOADING)
        self.restarts = 0
        self.measured: Measured | None = None
        """What its process takes, as that has measured it; None: none serves, or it cannot tell."""
        self.on_change: Callable[[], None] = lambda: None
        self.on_welcome: Callable[[], None] = lambda: None
        """Called when its process hears that another one of this model would be welcome."""
        self._launcher = launcher
        self._settings = settings
        self._watch = watch
        self._changed = asyncio.Event()
        self._turn = asyncio.Lock()
        self._driver: Driver | None = None
        self._leave: Callable[[], None] = lambda: None
        self._refusal: RpcError | None = None
        self._last_word: Progress | None = None
        self._departure: RpcError | None = None
        self._departing: asyncio.Task[None] | None = None

    @property
    def settled(self) -> bool:
        """Whether loading is over, one way or the other."""
        return self.state != ModelState.MODEL_STATE_LOADING

    async def start(self) -> None:
        """Begin to load, unless it is loading or loaded already; an unloading that is under way is awaited first."""
        async with self._turn:
            if self._driver is not None and self._driver.supervision.stopping:
                await self._over(self._driver)
            if self._driver is None:
                await self._begin()

    async def changes(self) -> AsyncIterator[None]:
        """Yields at once and then after each change of state or progress, until loading is over.

        Changes may be joined.
        """
        yield
        while not self.settled:
            changed = self._changed
            await changed.wait()
            yield

    async def stop(self) -> None:
        """Let it finish its calls and end. Harmless when it does not run; it goes on if who asked for it leaves."""
        async with self._turn:
            if self._driver is not None:
                if not self._driver.supervision.stopping:
                    self._driver.stop()
                await self._over(self._driver)
            self._set(ModelState.MODEL_STATE_AVAILABLE)

    def unwell(self, error: RpcError, *, last: bool) -> None:
        """See `Life`. It is killed and started again as one that hangs; `last`: it is left as failed."""
        driver = self._driver
        if driver is None or self.state != ModelState.MODEL_STATE_READY:
            return
        if last:
            self._refusal = error
            driver.supervision.cannot(self.name, error.message)
        driver.do(driver.supervision.accuse(self.name, error.message))

    async def _begin(self) -> None:
        settings, self._refusal, self._departure = self._settings, None, None
        supervision = Supervision(
            [[self.name]],
            max_restarts=settings.max_restarts,
            window=settings.restart_window_seconds,
            drain=settings.drain_seconds,
            start_within=settings.load_seconds,
            must_serve=True,
        )
        gone: Callable[[str], Awaitable[None]] | None = None
        if self._watch is not None:
            self._watch.start()
            gone = self._watch.gone
        driver = Driver(
            supervision, self._launch, changed=self._take_state, failed=self._give_up, gone=gone, kind="model"
        )
        driver.failure.add_done_callback(self._broke)
        self._driver = driver
        if self._watch is not None:
            self._leave = self._watch.follow(driver)
        driver.start()

    async def _over(self, driver: Driver) -> None:
        """Return when an unloading has come to its end, or its watcher has, or nobody can end the process."""
        finished = asyncio.ensure_future(driver.finished.wait())
        either: list[asyncio.Future[Any]] = [finished, driver.failure]
        limit = driver.supervision.drain + KILL_SECONDS + GIVE_UP_SECONDS
        try:
            done, _ = await asyncio.wait(either, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        finally:
            finished.cancel()
        if finished not in done:
            log.error("model.left", model=self.name, failed=driver.failure.done(), seconds=limit)
        await driver.end()
        self._forget()

    def _forget(self) -> None:
        self._leave()
        self._driver = None

    def trouble(self) -> str:
        """What the family is to tell of it, as a sentence; empty: nothing."""
        restarts = self.state == ModelState.MODEL_STATE_LOADING and self.error
        return f"{self.name} is started again: {restarts.message}." if restarts else ""

    # ---- what happens

    async def _launch(self, name: str, instance: str) -> Process:
        self._last_word = None
        return _Reporting(await self._launcher.launch(name, self.path, instance), self._take_report)

    def _take_report(self, report: Report) -> None:
        driver = self._driver
        if driver is None:
            return
        if report.state == "ready":
            self.measured = report.takes
            process = driver.supervision.children[self.name].process
            driver.do(driver.supervision.heard(self.name, process, State.SERVING.value, time.monotonic()))
        elif report.state == "failed":
            self._refusal = report.why
            driver.supervision.cannot(self.name, report.why.message)
        elif report.state == "welcome":
            self.on_welcome()
        elif report.state == "leaving":
            self._depart(driver, report.why, report.within)
        elif self.state == ModelState.MODEL_STATE_LOADING:
            self._last_word = report.how
            self._take_progress(driver.supervision, report.how)

    def _take_progress(self, supervision: Supervision, progress: Progress) -> None:
        """Waiting for others is no part of the time to load."""
        if progress.state == Progress.STATE_QUEUED:
            supervision.waits(self.name)
        else:
            supervision.begins(self.name, time.monotonic())
        self.progress = progress
        self._notify()

    def _depart(self, driver: Driver, why: RpcError, within: float) -> None:
        """It ends by itself: stop here before it does, so that its end, however it comes, is no crash."""
        if driver.supervision.stopping:
            return
        log.info("model.leaves", model=self.name, reason=why.reason, why=why.message)
        self._departure = why
        driver.stop(within or None)
        self._departing = asyncio.create_task(self._departed(driver), name=f"{self.name} leaves", context=Context())

    async def _departed(self, driver: Driver) -> None:
        async with self._turn:
            if self._driver is driver:  # else somebody has awaited its end already
                await self._over(driver)
                self._set(ModelState.MODEL_STATE_AVAILABLE, self._departure)

    def _take_state(self, child: Child) -> None:
        self.restarts = child.restarts
        if child.state is State.SERVING and self.state != ModelState.MODEL_STATE_READY:
            log.info("model.loaded", model=self.name)
        if child.state is State.BACKING_OFF:
            log.warning("model.restarted", model=self.name, error=child.last_exit)
            self.progress = Progress(state=Progress.STATE_LOADING)
        self._set(STATES[child.state], self._why(child))

    def _give_up(self, child: Child) -> None:
        self._forget()
        log.error("model.failed", model=self.name, error=str(self.error))

    def _why(self, child: Child) -> RpcError | None:
        """Why it is as it is; None: there is nothing to tell."""
        match child.state:
            case State.FAILED:
                return self._refusal or load_failed(self.name, self._failure(child))
            case State.STARTING | State.BACKING_OFF:
                return lost(self.name, child.last_exit) if child.last_exit else None
            case State.DRAINING | State.STOPPED:
                return self._departure
        return None

    def _failure(self, child: Child) -> str:
        if child.doomed:
            return f"{self.name} was not loaded within {self._settings.load_seconds:g} s."
        if not child.served:
            return f"{self.path.name} cannot be loaded: {child.last_exit}{self._where()}."
        return f"{self.name} keeps ending ({child.last_exit}); load it again when the cause is mended."

    def _where(self) -> str:
        """How far a load had come that has failed, by what its process said last."""
        word = self._last_word
        if word is None:
            return " before it said anything; its log may say more"
        if word.note:
            return f". It had said last: {word.note.rstrip('.')}"
        return f" while the model was read, at {word.fraction:.0%}"

    def _broke(self, failure: "asyncio.Future[None]") -> None:
        """This itself has failed: a model that nobody watches is not served as if it were."""
        if not failure.cancelled() and (error := failure.exception()) is not None:
            log.error("model.unwatched", model=self.name, exc_info=error)
            self._forget()
            why = load_failed(self.name, f"{self.name} is watched no longer ({error!r}); load it again.")
            self._set(ModelState.MODEL_STATE_FAILED, why)

    def _set(self, state: ModelState, error: RpcError | None = None) -> None:
        if state not in (ModelState.MODEL_STATE_READY, ModelState.MODEL_STATE_DRAINING):
            self.measured = None
        if state != self.state:
            self.progress = Progress(state=Progress.STATE_LOADING)
        self.state, self.error = state, error
        self._notify()

    def _notify(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        self.on_change()


class _Reporting:
    """A process whose reports are taken until its end."""

    def __init__(self, process: WorkerProcess, take: Callable[[Report], None]) -> None:
        self._process = process
        self._take = take

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ended(self) -> Ending:
        async for report in self._process.reports():
            self._take(report)
        return await self._process.ended()

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()
