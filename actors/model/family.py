"""A family of models as an actor: its list, what starts and stops them, and the names they are served under.

What differs between families is a `Shelf`: which models there are, what they need, and how one is brought to life.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import Generic, Self

import structlog

from actors.model.aside import Aside
from actors.model.callers import Callers
from actors.model.digests import Digests
from actors.model.health import HealthWatch
from actors.model.looking import Looking
from actors.model.names import Names
from actors.model.overrides import Overrides, overrides_of, parted, unsupported
from actors.model.refusals import load_failed, not_found, not_removable, of_model, unhealthy, unloaded
from actors.model.shelf import Known, Life, Prepare, Shelf
from actors.model.stage_watch import machine_of
from actors.model.watchers import Watchers
from bus import Code, Context, RpcError, ServiceInfo
from host.member import Member
from troupe.family.v1 import (
    AttendModelRequest,
    AttendModelResponse,
    DescribeModelRequest,
    DescribeModelResponse,
    FamilyService,
    ListModelsRequest,
    ListModelsResponse,
    NameModelsRequest,
    NameModelsResponse,
    PrepareQuantizationRequest,
    PrepareQuantizationResponse,
    RemoveModelRequest,
    RemoveModelResponse,
    StartModelRequest,
    StartModelResponse,
    StopModelRequest,
    StopModelResponse,
    WatchModelsRequest,
    WatchModelsResponse,
)
from troupe.model.v1 import Model, ModelState
from troupe.rpc.v1 import Progress

NAMING_SECONDS = 5.0
"""How long a model that serves may take to follow a change of its names."""

AILING = (ModelState.MODEL_STATE_LOADING, ModelState.MODEL_STATE_FAILED)
"""States in which what was found of a model's health is still told."""

log = structlog.get_logger(__name__)


class Family(FamilyService, Generic[Known]):
    """Serves FamilyService for a shelf.

    An async context: entering begins to load what `preload` names, leaving ends what serves. member: this process on
    the bus; without it the hashes of files are not told, what is loaded is not tried, and its models take the memory of
    whoever asks.
    """

    def __init__(
        self, family: str, shelf: Shelf[Known], preload: Sequence[str] = (), *, member: Member | None = None
    ) -> None:
        self.family = family
        self._machine = machine_of(member.settings) if member is not None else ""
        self._shelf = shelf
        self._preload = preload
        self._lives: dict[str, tuple[Known, Life]] = {}
        self._names = Names(family)
        self._watchers = Watchers(self._seen)
        self._aside = Aside(self._changed)
        self._digests = Digests(member.store.table, self._watchers.tell) if member is not None else None
        self._health = HealthWatch(member, family, self._watchers.tell, self._unwell) if member is not None else None
        self._there = Looking(family, shelf, self._looked)
        self._callers = Callers(preload)

    def routes(self, service: ServiceInfo) -> list[str]:
        """FamilyService is served under the family's name."""
        return [self.family]

    def trouble(self) -> str:
        """What is not right with the family though it serves, in sentences; empty: nothing."""
        self._there.check()
        lives = [life.trouble() for _, life in self._lives.values() if hasattr(life, "trouble")]
        unwell = self._health.trouble() if self._health is not None else ""
        return " ".join(filter(None, [self._there.late, unwell, *lives]))

    async def __aenter__(self) -> Self:
        if self._digests is not None:
            await self._digests.__aenter__()
        if self._health is not None:
            await self._health.__aenter__()
        await self._there.begin()
        for name in self._preload:
            try:
                await self._life(await self._find(name)).start()
            except RpcError as problem:
                log.warning("model.preload", model=name, error=problem.message)
        return self

    def leave(self) -> None:
        """End the calls that would last for ever: who watches, and processes that ask for their names."""
        self._watchers.close()
        self._names.close()
        self._aside.leave()
        self._there.known.set()

    async def __aexit__(self, *_: object) -> None:
        self.leave()
        await self._there.close()
        if self._health is not None:
            await self._health.__aexit__()
        if self._digests is not None:
            await self._digests.__aexit__()
        await self._aside.close()
        await asyncio.gather(self._callers.ended(), *(life.stop() for _, life in self._lives.values()))

    async def list_models(self, request: ListModelsRequest, ctx: Context) -> ListModelsResponse:
        """See the contract."""
        await self._there.look()
        if not self._there.known.is_set():
            raise self._there.unknown()
        return ListModelsResponse(models=self._seen().values())

    async def describe_model(self, request: DescribeModelRequest, ctx: Context) -> DescribeModelResponse:
        """See the contract."""
        entry = await self._find(request.model, beside=True)
        needs = await asyncio.to_thread(self._shelf.needs, entry)
        life = self._lives[entry.name][1] if entry.name in self._lives else self._aside.lives.get(entry.name)
        return DescribeModelResponse(
            model=self._model(parted(entry.name)[0]),
            needs=needs,
            measured=getattr(life, "measured", None),
            replicates=getattr(life, "replicates", False),
            machine=self._machine,
        )

    async def start_model(self, request: StartModelRequest, ctx: Context) -> AsyncIterator[StartModelResponse]:
        """See the contract. Callers that ask for the same model share one loading; it goes on if they leave.

        Where it still waits for memory when the last of them leaves, it is given up.
        """
        entry = await self._find(request.model)
        if entry.error:
            raise load_failed(entry.name, entry.error)
        if request.HasField("overrides"):
            varied = self._varied(entry, overrides_of(request.overrides).named(entry.name))
            shown = await asyncio.to_thread(self._shelf.describe, varied)
            shown.state = ModelState.MODEL_STATE_READY
            life = self._shelf.life(varied)
            async with aclosing(self._aside.hold(varied.name, life, _progress, shown)) as held:
                async for response in held:
                    yield response
            return
        life = self._life(entry)
        await life.start()
        with self._callers.one(entry.name, life):
            async for _ in life.changes():
                if not life.settled:
                    yield StartModelResponse(progress=_progress(entry.name, life))
        if life.state != ModelState.MODEL_STATE_READY:
            raise of_model(entry.name, life.error or unloaded(entry.name))
        await self._named(entry.name)
        yield StartModelResponse(model=self._model(entry.name))

    async def stop_model(self, request: StopModelRequest, ctx: Context) -> StopModelResponse:
        """See the contract."""
        entry = await self._find(request.model)
        if entry.name in self._lives:
            await self._lives[entry.name][1].stop()
        return StopModelResponse()

    async def remove_model(self, request: RemoveModelRequest, ctx: Context) -> RemoveModelResponse:
        """See the contract."""
        entry = await self._find(request.model)
        check: Callable[[Known], None] | None = getattr(self._shelf, "check_removable", None)
        if check is None:
            raise not_removable(entry.name, f"the family {self.family} removes nothing")
        check(entry)
        life = self._lives[entry.name][1] if entry.name in self._lives else None
        if life is not None and (not life.settled or _serves(life)):
            message = f"{entry.name} is loaded; unload it first."
            raise RpcError(Code.FAILED_PRECONDITION, message, reason="MODEL_IN_USE", field="model")
        remove: Callable[[Known], int] = getattr(self._shelf, "remove")  # noqa: B009  (a shelf need not have it)
        removed = await asyncio.to_thread(remove, entry)
        self._lives.pop(entry.name, None)
        log.info("model.removed", model=entry.name, bytes=removed)
        await self._there.look()
        return RemoveModelResponse(bytes=removed)

    async def prepare_quantization(
        self, request: PrepareQuantizationRequest, ctx: Context
    ) -> PrepareQuantizationResponse:
        """See the contract."""
        entry = await self._find(request.model)
        prepare: Prepare[Known] | None = getattr(self._shelf, "prepare_quantization", None)
        if prepare is None:
            message = f"The family {self.family} writes no files, so that {entry.name} cannot be quantized by it."
            raise RpcError(Code.FAILED_PRECONDITION, message, reason="QUANTIZATION_UNSUPPORTED", field="name")
        return await asyncio.to_thread(prepare, entry, request.quantization, request.new_name)

    async def watch_models(self, request: WatchModelsRequest, ctx: Context) -> AsyncIterator[WatchModelsResponse]:
        """See the contract."""
        await self._there.known.wait()
        async for response in self._watchers.watch():
            yield response

    async def name_models(self, request: NameModelsRequest, ctx: Context) -> NameModelsResponse:
        """See the contract."""
        self._names.tell(request.withheld, {each.model: each.names for each in request.others})
        return NameModelsResponse()

    async def attend_model(self, request: AttendModelRequest, ctx: Context) -> AttendModelResponse:
        """See the contract."""
        self._names.note(request.model, request.names)
        self._watchers.tell()
        return AttendModelResponse(names=await self._names.differing(request.model, request.names))

    # ---- what is known

    def _looked(self) -> None:
        if self._digests is not None:
            self._digests.want(list(self._there.files.values()))
        self._watchers.tell()

    async def _find(self, name: str, *, beside: bool = False) -> Known:
        """The model of this name; with `beside`, also a process's under other settings."""
        await self._there.look(anew=False)
        if name not in self._there.entries and (self._there.under_way() or not self._there.known.is_set()):
            raise self._there.unknown()
        if beside and name not in self._there.entries and parted(name)[0] in self._there.entries:
            return self._varied(self._there.entries[parted(name)[0]], name)
        if name not in self._there.entries:
            raise not_found("model", name, list(self._there.entries), "MODEL_NOT_FOUND")
        return self._there.entries[name]

    def _varied(self, entry: Known, name: str) -> Known:
        """The model under the settings that a name tells. Raises OVERRIDES_UNSUPPORTED, INVALID_ARGUMENT."""
        varied: Callable[[Known, Overrides], Known] | None = getattr(self._shelf, "varied", None)
        if varied is None:
            raise unsupported(self.family)
        return varied(entry, parted(name)[1])

    def _seen(self) -> dict[str, Model]:
        return {name: self._model(name) for name in self._there.models}

    def _model(self, name: str) -> Model:
        """A model as it is now."""
        model = Model()
        model.CopyFrom(self._there.models[name])
        model.family = self.family
        if self._digests is not None:
            model.digest = self._digests.of(self._there.files.get(name, ()))
        model.state = ModelState.MODEL_STATE_FAILED if model.error else ModelState.MODEL_STATE_AVAILABLE
        if self._health is not None and (health := self._health.of(name)) is not None:
            model.health.CopyFrom(health)
        if name in self._lives:
            life = self._lives[name][1]
            model.state = life.state
            if life.error is not None and life.state != ModelState.MODEL_STATE_AVAILABLE:
                model.error = model.error or life.error.message
        if model.state == ModelState.MODEL_STATE_READY:
            model.served_names.extend(self._names.served(name))
        return model

    # ---- what serves

    def _life(self, entry: Known) -> Life:
        known = self._lives.get(entry.name)
        if known is None or (known[0] != entry and known[1].settled and not _serves(known[1])):
            life = self._shelf.life(entry)
            life.on_change = lambda: self._changed(entry.name, life)
            self._lives[entry.name] = known = (entry, life)
        return known[1]

    def _changed(self, name: str, life: Life) -> None:
        if life.state in (ModelState.MODEL_STATE_AVAILABLE, ModelState.MODEL_STATE_FAILED):
            self._names.forget(name)
        if self._health is not None:
            states = {name: life.state for name, (_, life) in self._lives.items()}
            serving = [name for name, state in states.items() if state == ModelState.MODEL_STATE_READY]
            others = [name for name, state in states.items() if state in AILING]
            self._health.serving(serving, others)
        self._watchers.tell()

    def _unwell(self, name: str, why: str, last: bool) -> None:
        unwell: Callable[..., None] | None = getattr(self._lives[name][1], "unwell", None)
        if unwell is not None:
            unwell(unhealthy(name, why), last=last)

    async def _named(self, name: str) -> None:
        try:
            async with asyncio.timeout(NAMING_SECONDS):
                await self._names.settled(name)
        except TimeoutError:
            log.warning("model.unnamed", model=name, names=self._names.wanted(name), served=self._names.served(name))


def _serves(life: Life) -> bool:
    return life.state in (ModelState.MODEL_STATE_READY, ModelState.MODEL_STATE_DRAINING)


def _progress(name: str, life: Life) -> Progress:
    progress = Progress()
    progress.CopyFrom(life.progress)
    if not progress.note:
        does = "Waiting to load" if progress.state == Progress.STATE_QUEUED else "Loading"
        progress.note = f"{does} {name}." if life.error is None else f"{does} {name} again: {life.error.message}."
    return progress
