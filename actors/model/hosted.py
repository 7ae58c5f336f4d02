"""A model that its family's own process serves: for engines that never block, or that compute in another place."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import Context

import structlog

from actors.model.attendance import Attendance, offers
from actors.model.interface import Engine
from actors.model.memory_lease import Memory
from actors.model.needs import work_of
from actors.model.service import AdapterSource
from actors.model.unless import unless
from bus import Code, RpcError
from host.member import Member
from troupe.family.v1 import Needs
from troupe.model.v1 import ModelState
from troupe.rpc.v1 import Progress

OpenEngine = Callable[[Callable[[float | Progress], None]], Awaitable[Engine]]
"""Makes the engine; is given what to call with the share that is loaded, or with what it waits for.

Raises RpcError: what whoever waits for the model hears, for example MODEL_LOAD_FAILED.
"""

log = structlog.get_logger(__name__)


class NoAdapters:
    """For engines that take none."""

    async def ensure(self, name: str, engine: Engine) -> None:
        """Raises RpcError ADAPTER_NOT_FOUND."""
        message = f"There is no adapter {name[:200]!r}: this model takes none."
        raise RpcError(Code.NOT_FOUND, message, reason="ADAPTER_NOT_FOUND", field="adapter")


class HostedModel:
    """Opens an engine, serves it under the names that its family wants, and closes it. Implements `shelf.Life`.

    grace: seconds for running calls when it is stopped. needs: what it takes of this machine; None: nothing, since its
    engine computes elsewhere.
    """

    def __init__(
        self,
        member: Member,
        family: str,
        name: str,
        open_engine: OpenEngine,
        adapters: AdapterSource | None = None,
        grace: float = 10.0,
        *,
        needs: Needs | None = None,
    ) -> None:
        self.name = name
        self.state = ModelState.MODEL_STATE_AVAILABLE
        self.error: RpcError | None = None
        self.progress = Progress(state=Progress.STATE_LOADING)
        self.on_change: Callable[[], None] = lambda: None
        self._member = member
        self._family = family
        self._open = open_engine
        self._adapters = adapters or NoAdapters()
        self._grace = self._seconds = grace
        self._work = work_of(family, name, needs) if needs is not None else None
        self._departure: RpcError | None = None
        self._fault: RpcError | None = None
        self._changed = asyncio.Event()
        self._turn = asyncio.Lock()
        self._leave = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def settled(self) -> bool:
        """See `Life`."""
        return self.state != ModelState.MODEL_STATE_LOADING

    async def start(self) -> None:
        """See `Life`. An unloading that is under way is awaited first."""
        async with self._turn:
            if self._task is not None and (self._departure or self._fault) is not None:
                await asyncio.gather(self._task, return_exceptions=True)
            if self._task is None or self._task.done():
                self._leave.clear()
                self._departure = self._fault = None
                self._seconds = self._grace
                self._set(ModelState.MODEL_STATE_LOADING)
                # In a context of its own: it belongs to the model, not to the call that asked for it first.
                self._task = asyncio.create_task(self._run(), name=f"model {self.name}", context=Context())

    async def changes(self) -> AsyncIterator[None]:
        """See `Life`. Changes may be joined."""
        yield
        while not self.settled:
            changed = self._changed
            await changed.wait()
            yield

    async def stop(self) -> None:
        """See `Life`. One that is still loading is given up."""
        async with self._turn:
            task, self._task = self._task, None
            if task is not None and not task.done():
                if not self.settled:
                    task.cancel()
                self._set(ModelState.MODEL_STATE_DRAINING)
                self._leave.set()
                await asyncio.gather(task, return_exceptions=True)
            self._set(ModelState.MODEL_STATE_AVAILABLE)

    def unwell(self, error: RpcError, *, last: bool) -> None:
        """See `Life`. It is closed and has failed: the next call for it opens it anew."""
        if self.state == ModelState.MODEL_STATE_READY and self._departure is None:
            log.warning("model.unwell", model=self.name, error=error.message)
            self._fault = error
            self._leave.set()

    async def _run(self) -> None:
        memory: Memory | None = None
        if self._work is not None:
            memory = Memory(self._member, self._family, self.name, self._loaded, self._depart, self._work)
        try:
            if memory is None or await unless(self._leave, memory.take()):
                await self._serve(memory)
        except RpcError as problem:
            log.warning("model.failed", model=self.name, error=problem.message)
            self._set(ModelState.MODEL_STATE_FAILED, problem)
        finally:
            if memory is not None:
                await memory.give_back()
        if self._departure is not None:
            self._set(ModelState.MODEL_STATE_AVAILABLE, self._departure)
        elif self._fault is not None:
            self._set(ModelState.MODEL_STATE_FAILED, self._fault)

    async def _serve(self, memory: Memory | None) -> None:
        engine = await unless(self._leave, self._opened(memory))
        if engine is None:
            return
        try:
            offered = offers(engine, self._adapters)
            async with Attendance(self._member, self._family, self.name, offered, lambda: self._seconds) as attendance:
                self._set(ModelState.MODEL_STATE_READY)
                if memory is not None:
                    memory.loaded(attendance.active)
                await self._leave.wait()
                if self._departure is not None:
                    self._set(ModelState.MODEL_STATE_DRAINING, self._departure)
        finally:
            await engine.close()

    async def _opened(self, memory: Memory | None) -> Engine:
        try:
            return await self._open(self._loaded)
        except RpcError as problem:
            raise (problem if memory is None else memory.ran_out(problem)) from problem

    def _depart(self, why: RpcError, within: float) -> None:
        """Its memory has to be given back within so many seconds; 0: not told."""
        if not self._leave.is_set():
            log.info("model.leaves", model=self.name, reason=why.reason, why=why.message)
            self._departure = why
            self._seconds = within or self._grace
            self._leave.set()

    def _loaded(self, told: float | Progress) -> None:
        loading = Progress.STATE_LOADING
        self.progress = told if isinstance(told, Progress) else Progress(state=loading, fraction=told)
        self._notify()

    def _set(self, state: ModelState, error: RpcError | None = None) -> None:
        self.progress = Progress(state=Progress.STATE_LOADING)
        self.state, self.error = state, error
        self._notify()

    def _notify(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        self.on_change()
