"""A family of models as an actor: its list, what starts and stops them, and the names they are served under.

What differs between families is a `Shelf`: which models there are, what they need, and how one is brought to life.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, Generic, Protocol, Self, TypeVar

import structlog

from actors.model.aside import Aside
from actors.model.callers import Callers
from actors.model.digests import Digests, Files, stamps
from actors.model.health import HealthWatch
from actors.model.names import Names
from actors.model.overrides import Overrides, overrides_of, parted, unsupported
from actors.model.refusals import load_failed, of_model, unhealthy, unloaded
from actors.model.stage_watch import machine_of
from actors.model.watchers import Watchers
from bus import Code, Context, RpcError, ServiceInfo, nearest
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
    Needs,
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
LOOK_SECONDS = 1.5
"""How long a look at what there is may take; less than the front of all models waits for a list."""
HANG_SECONDS = 15.0
"""A look that lasts longer hangs. A healthy disk of a machine under load may need some seconds for a large folder."""
FIRST_LOOK_SECONDS = HANG_SECONDS
"""How long the first look may take, when every file is read."""
SHOWN = 5
"""Names that an error about an unknown one tells."""

AILING = (ModelState.MODEL_STATE_LOADING, ModelState.MODEL_STATE_FAILED)
"""States in which what was found of a model's health is still told."""

log = structlog.get_logger(__name__)


class Entry(Protocol):
    """A model that a family knows. Two entries that are equal are the same model, unchanged."""

    @property
    def name(self) -> str:
        """Its name within the family."""

    @property
    def error(self) -> str:
        """Why it cannot be loaded, as a sentence; empty: nothing is known against it."""


class Life(Protocol):
    """What serves one model, from start to stop and again.

    It may have a `trouble`, a function: what the family is to tell of it, as a sentence; empty: nothing. And
    `measured`, a troupe.family.v1.Measured or None: what it takes. And `unwell(error, last)`: it serves and does not do
    what it should; it is started again, or with `last` left as failed, with this error. And a true `replicates`: it may
    be several processes that share the calls.
    """

    @property
    def state(self) -> ModelState:
        """How it is."""

    @property
    def error(self) -> RpcError | None:
        """Why it has failed or left, as whoever waits for it hears it; while it loads, why it does so again."""

    @property
    def progress(self) -> Progress:
        """What it waits for, or how far it is, until loading is over; a note of its own is shown as it is."""

    on_change: Callable[[], None]
    """To be called whenever state, error or progress have changed."""

    @property
    def settled(self) -> bool:
        """Whether loading is over, one way or the other."""

    async def start(self) -> None:
        """Begin to load, unless it is loading or loaded already."""

    def changes(self) -> AsyncIterator[None]:
        """Yields at once and after each change, until loading is over."""

    async def stop(self) -> None:
        """Let it finish its calls and end. Harmless when it does not run."""


Known = TypeVar("Known", bound=Entry)


Prepare = Callable[[Known, str, str], PrepareQuantizationResponse]


class Shelf(Protocol[Known]):
    """What a family's models are.

    It may have a `place`: the file or folder that is looked at now, for people; asked while a thread looks. It may have
    `check_removable(entry)`, which raises RpcError MODEL_NOT_REMOVABLE for what is not the hub's to remove, and with it
    `remove(entry) -> int`, called in a thread: removes the model's files for good and returns their bytes. It may have
    `prepare_quantization(entry, quantization, new_name)`, called in a thread: answers as PrepareQuantization does.
    It may have `files(entry)`, called in a thread: the paths of the model's weights, whose hash is then told. It may
    have `varied(entry, overrides)`: the entry of the same model under other settings, by the name that `overrides`
    gives it; raises RpcError INVALID_ARGUMENT where the model cannot run so.
    """

    def entries(self) -> Mapping[str, Known]:
        """All models by name, looked up anew. May read files: it is called in a thread, one call at a time."""

    def describe(self, entry: Known) -> Model:
        """What the contract says of it; state and names are left out. May read files, as `entries`."""

    def needs(self, entry: Known) -> Needs:
        """What it takes while it runs. May read and measure: it is called in a thread."""

    def life(self, entry: Known) -> Life:
        """What will serve it; not started."""


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
        self._entries: dict[str, Known] = {}
        self._models: dict[str, Model] = {}
        self._lives: dict[str, tuple[Known, Life]] = {}
        self._names = Names(family)
        self._watchers = Watchers(self._seen)
        self._files: dict[str, Files] = {}
        self._aside = Aside(self._changed)
        self._digests = Digests(member.store.table, self._watchers.tell) if member is not None else None
        self._health = HealthWatch(member, family, self._watchers.tell, self._unwell) if member is not None else None
        self._looking = asyncio.Lock()
        self._look_task: asyncio.Task[None] | None = None
        self._look_began = 0.0
        self._late = ""
        self._known = asyncio.Event()
        self._callers = Callers(preload)

    def routes(self, service: ServiceInfo) -> list[str]:
        """FamilyService is served under the family's name."""
        return [self.family]

    def trouble(self) -> str:
        """What is not right with the family though it serves, in sentences; empty: nothing."""
        self._check_hangs()
        lives = [life.trouble() for _, life in self._lives.values() if hasattr(life, "trouble")]
        unwell = self._health.trouble() if self._health is not None else ""
        return " ".join(filter(None, [self._late, unwell, *lives]))

    async def __aenter__(self) -> Self:
        if self._digests is not None:
            await self._digests.__aenter__()
        if self._health is not None:
            await self._health.__aenter__()
        await self._look(within=FIRST_LOOK_SECONDS)
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
        self._known.set()

    async def __aexit__(self, *_: object) -> None:
        self.leave()
        if self._look_task is not None:
            self._look_task.cancel()
            await asyncio.wait([self._look_task])
        if self._health is not None:
            await self._health.__aexit__()
        if self._digests is not None:
            await self._digests.__aexit__()
        await self._aside.close()
        await asyncio.gather(self._callers.ended(), *(life.stop() for _, life in self._lives.values()))

    async def list_models(self, request: ListModelsRequest, ctx: Context) -> ListModelsResponse:
        """See the contract."""
        await self._look()
        if not self._known.is_set():
            raise self._unknown()
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
        await self._look()
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
        await self._known.wait()
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

    async def _look(self, *, anew: bool = True, within: float | None = None) -> None:
        """See what there is; with `anew`, describe also what has not changed.

        A disk may be slow, and a mount may hang. Then what was known stays until that one look has ended: no thread
        more is spent on it. After HANG_SECONDS `trouble` tells, too. Returns within `within` seconds, LOOK_SECONDS
        unless given.
        """
        if self._late:
            return
        try:
            async with asyncio.timeout(within or LOOK_SECONDS), self._looking:
                if self._look_task is not None:  # whoever began it has left
                    await asyncio.wait([self._look_task])
                self._look_task = asyncio.create_task(self._look_once(anew=anew), name=f"look of {self.family}")
                await asyncio.shield(self._look_task)
        except TimeoutError:
            self._check_hangs()

    async def _look_once(self, *, anew: bool) -> None:
        self._look_began = asyncio.get_running_loop().time()
        try:
            found = await asyncio.to_thread(self._read, {} if anew else self._entries)
            self._entries, self._models, self._files = found
            if self._digests is not None:
                self._digests.want(list(self._files.values()))
        finally:
            self._late = ""
        self._known.set()
        self._watchers.tell()

    def _looks(self) -> bool:
        """A look is under way."""
        return self._look_task is not None and not self._look_task.done()

    def _check_hangs(self) -> None:
        """Not where it is only slow, nor where the turn did not come in time, since many looked."""
        lasts = asyncio.get_running_loop().time() - self._look_began
        if self._looks() and lasts >= HANG_SECONDS and not self._late:
            place = getattr(self._shelf, "place", "") or "The place of its models"
            self._late = f"{place} does not answer, so that what is new among the models is not seen."
            log.warning("models.hang", family=self.family, place=place)

    def _read(self, known: Mapping[str, Known]) -> tuple[dict[str, Known], dict[str, Model], dict[str, Files]]:
        entries = dict(self._shelf.entries())
        models = {
            name: self._models[name] if known.get(name) == entry else self._shelf.describe(entry)
            for name, entry in entries.items()
        }
        files: Callable[[Known], Sequence[Path]] | None = getattr(self._shelf, "files", None)
        return entries, models, {name: stamps(files(entry)) for name, entry in entries.items()} if files else {}

    async def _find(self, name: str, *, beside: bool = False) -> Known:
        """The model of this name; with `beside`, also a process's under other settings."""
        await self._look(anew=False)
        if name not in self._entries and (self._looks() or not self._known.is_set()):
            raise self._unknown()
        if beside and name not in self._entries and parted(name)[0] in self._entries:
            return self._varied(self._entries[parted(name)[0]], name)
        if name not in self._entries:
            raise not_found("model", name, list(self._entries), "MODEL_NOT_FOUND")
        return self._entries[name]

    def _varied(self, entry: Known, name: str) -> Known:
        """The model under the settings that a name tells. Raises OVERRIDES_UNSUPPORTED, INVALID_ARGUMENT."""
        varied: Callable[[Known, Overrides], Known] | None = getattr(self._shelf, "varied", None)
        if varied is None:
            raise unsupported(self.family)
        return varied(entry, parted(name)[1])

    def _unknown(self) -> RpcError:
        slow = "It is still looking at what there is." if self._known.is_set() else ""
        why = self._late or slow or "It has not seen yet which models it has."
        message = f"The family {self.family} cannot tell this now: {why} Try again in a moment."
        metadata = {"family": self.family}
        return RpcError(Code.UNAVAILABLE, message, reason="FAMILY_UNAVAILABLE", metadata=metadata, retry_after=1.0)

    def _seen(self) -> dict[str, Model]:
        return {name: self._model(name) for name in self._models}

    def _model(self, name: str) -> Model:
        """A model as it is now."""
        model = Model()
        model.CopyFrom(self._models[name])
        model.family = self.family
        if self._digests is not None:
            model.digest = self._digests.of(self._files.get(name, ()))
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


def not_removable(name: str, why: str) -> RpcError:
    """Its files are not the hub's to remove. why: a part of a sentence."""
    message = f"{name} is not removed: {why}."
    return RpcError(Code.FAILED_PRECONDITION, message, reason="MODEL_NOT_REMOVABLE", field="model")


def not_found(kind: str, name: str, known: Sequence[Any], reason: str) -> RpcError:
    """There is nothing of this name."""
    close = nearest(name, known)
    some = sorted(known)[:SHOWN]
    others = f"Those there are: {', '.join(some)}." if some else f"There is no {kind} at all."
    hint = f"Did you mean {' or '.join(close)}?" if close else others
    metadata = {"name": name[:200], "nearest": ",".join(close)}
    return RpcError(
        Code.NOT_FOUND, f"There is no {kind} {name[:200]!r}. {hint}", reason=reason, metadata=metadata, field=kind
    )
