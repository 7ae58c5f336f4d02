"""One model's process from start to end: loading, serving, crashing, coming back, giving up."""

import asyncio
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import structlog

from actors.llama.launcher import Launcher, Report
from actors.llama.settings import LlamaSettings
from host.supervision import Budget
from troupe.model.v1 import ModelState

log = structlog.get_logger(__name__)


class ModelProcess:
    """Watches over the process of one model. One-for-one: what happens to it concerns no other model."""

    def __init__(self, name: str, path: Path, launcher: Launcher, settings: LlamaSettings) -> None:
        self.name = name
        self.path = path
        self.state = ModelState.MODEL_STATE_AVAILABLE
        self.error = ""
        self.fraction = 0.0
        self.restarts = 0
        self.on_change: Callable[[], None] = lambda: None
        self._launcher = launcher
        self._settings = settings
        self._changed = asyncio.Event()
        self._turn = asyncio.Lock()
        self._watch: asyncio.Task[None] | None = None

    @property
    def settled(self) -> bool:
        """Whether loading is over, one way or the other."""
        return self.state != ModelState.MODEL_STATE_LOADING

    async def start(self) -> None:
        """Begin to load, unless it is loading or loaded already; an unloading that is under way is awaited first."""
        async with self._turn:
            if self._watch is None or self._watch.done():
                self.restarts = 0
                self._set(ModelState.MODEL_STATE_LOADING)
                self._watch = asyncio.create_task(self._run(), name=f"model {self.name}")

    async def changes(self) -> AsyncIterator[None]:
        """Yields at once and then after each change of state or fraction, until loading is over.

        Changes may be joined.
        """
        yield
        while not self.settled:
            changed = self._changed
            await changed.wait()
            yield

    async def stop(self) -> None:
        """Let it finish its calls and end. Harmless when it does not run."""
        async with self._turn:
            if self._watch is not None and not self._watch.done():
                self._set(ModelState.MODEL_STATE_DRAINING)
                self._watch.cancel()
                await asyncio.gather(self._watch, return_exceptions=True)
            self._watch = None
            self._set(ModelState.MODEL_STATE_AVAILABLE)

    async def _run(self) -> None:
        settings = self._settings
        budget = Budget(settings.max_restarts, settings.restart_window_seconds, random.Random())
        ended: deque[float] = deque()
        while True:
            problem = await self._live()
            pause = budget.pause(ended, time.monotonic())
            if self.state == ModelState.MODEL_STATE_FAILED:
                log.warning("model.failed", model=self.name, error=self.error)
                return
            if pause is None:
                why = f"{self.name} keeps ending ({problem}); load it again when the cause is mended."
                self._set(ModelState.MODEL_STATE_FAILED, why)
                log.error("model.abandoned", model=self.name, error=why)
                return
            self._set(ModelState.MODEL_STATE_LOADING, problem)
            log.warning("model.restarted", model=self.name, error=problem, pause=pause)
            self.restarts += 1
            await asyncio.sleep(pause)

    async def _live(self) -> str:
        """One life of the process; returns how it ended, and sets FAILED if trying again would not help."""
        process = await self._launcher.launch(self.name, self.path)
        try:
            async with asyncio.timeout(self._settings.load_seconds) as limit:
                async for report in process.reports():
                    if report.state == "ready":
                        limit.reschedule(None)
                    self._take(report)
        except TimeoutError:
            self._set(
                ModelState.MODEL_STATE_FAILED, f"{self.name} was not loaded within {self._settings.load_seconds:g} s."
            )
        finally:
            await asyncio.shield(process.stop(self._settings.drain_seconds))
        if self.state == ModelState.MODEL_STATE_LOADING and not self.restarts:
            why = f"{self.path.name} cannot be loaded: {process.ending} while the model was read."
            self._set(ModelState.MODEL_STATE_FAILED, why)
        return process.ending

    def _take(self, report: Report) -> None:
        if report.state == "ready":
            self._set(ModelState.MODEL_STATE_READY)
            log.info("model.loaded", model=self.name)
        elif report.state == "failed":
            self._set(ModelState.MODEL_STATE_FAILED, report.error)
        else:
            self.fraction = report.fraction
            self._notify()

    def _set(self, state: ModelState, error: str = "") -> None:
        self.state, self.error = state, error
        self.fraction = 1.0 if state == ModelState.MODEL_STATE_READY else 0.0
        self._notify()

    def _notify(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        self.on_change()
