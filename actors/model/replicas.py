"""A model that one process serves, or several that share its calls; how many is the stage's to decide."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextvars import Context

import structlog

from actors.model.model_process import ModelProcess
from bus import RpcError
from troupe.family.v1 import Measured
from troupe.model.v1 import ModelState
from troupe.rpc.v1 import Progress

MOST = 16
"""Processes of one model, whatever the stage says."""

FURTHEST = (
    ModelState.MODEL_STATE_READY,
    ModelState.MODEL_STATE_LOADING,
    ModelState.MODEL_STATE_DRAINING,
    ModelState.MODEL_STATE_FAILED,
    ModelState.MODEL_STATE_AVAILABLE,
)
"""The model is as the first of these that one of its processes is."""

ACTIVE = FURTHEST[:3]

log = structlog.get_logger(__name__)


class ReplicatedModel:
    """Processes of one model, each watched for itself. Implements `shelf.Life`.

    make: another one, not started. They serve under the same names, so that the bus shares out the calls; one that ends
    concerns no other, and one more is started when the stage tells the process that serves that it is welcome.
    """

    replicates = True

    def __init__(self, make: Callable[[], ModelProcess]) -> None:
        self.on_change: Callable[[], None] = lambda: None
        self._make = make
        self._changed = asyncio.Event()
        self._starting: set[asyncio.Task[None]] = set()
        self._stopping = 0
        self._all = [self._made()]

    @property
    def processes(self) -> list[ModelProcess]:
        """Those that serve or will; else the last one that did."""
        return list(self._all)

    @property
    def state(self) -> ModelState:
        """See `Life`."""
        return self._furthest.state

    @property
    def error(self) -> RpcError | None:
        """See `Life`."""
        return self._furthest.error

    @property
    def progress(self) -> Progress:
        """See `Life`."""
        return self._furthest.progress

    @property
    def measured(self) -> Measured | None:
        """What one process takes, as it has measured it."""
        return self._furthest.measured

    @property
    def settled(self) -> bool:
        """See `Life`."""
        return self.state != ModelState.MODEL_STATE_LOADING

    def trouble(self) -> str:
        """See `Life`."""
        return " ".join(filter(None, (each.trouble() for each in self._all)))

    async def start(self) -> None:
        """See `Life`. Several are started by the stage's word alone."""
        if self.state not in (ModelState.MODEL_STATE_READY, ModelState.MODEL_STATE_LOADING):
            await self._all[0].start()

    def unwell(self, error: RpcError, *, last: bool) -> None:
        """See `Life`. Which of several it was is not known, so all that serve are started again."""
        for each in list(self._all):
            each.unwell(error, last=last)

    async def changes(self) -> AsyncIterator[None]:
        """See `Life`. Changes may be joined."""
        yield
        while not self.settled:
            changed = self._changed
            await changed.wait()
            yield

    async def stop(self) -> None:
        """See `Life`. All of them end, each with its time for running calls; none is started meanwhile."""
        self._stopping += 1
        try:
            starting = list(self._starting)
            for task in starting:
                task.cancel()
            await asyncio.gather(*starting, return_exceptions=True)
            await asyncio.gather(*(each.stop() for each in self._all))
        finally:
            self._stopping -= 1
        self._notice()

    # ---- one more, one less

    def _made(self) -> ModelProcess:
        made = self._make()
        made.on_change = self._notice
        made.on_welcome = self._welcome
        return made

    def _welcome(self) -> None:
        """The stage keeps a place for one more."""
        if self._stopping or self.state != ModelState.MODEL_STATE_READY or len(self._all) >= MOST:
            return
        another = self._made()
        self._all.append(another)
        log.info("model.replicated", model=another.name, processes=len(self._all))
        # In a context of its own: it belongs to the model, not to what its process has just said.
        task = asyncio.get_running_loop().create_task(another.start(), name=f"{another.name} again", context=Context())
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    @property
    def _furthest(self) -> ModelProcess:
        return min(self._all, key=lambda each: FURTHEST.index(each.state))

    def _notice(self) -> None:
        """Those that have ended are forgotten, but for the last one, which tells why."""
        if not self._stopping and not self._starting:
            active = [each for each in self._all if each.state in ACTIVE]
            self._all = active or [self._furthest]
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        self.on_change()
