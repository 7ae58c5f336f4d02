"""Serves ModelService for all families: asks them, follows what they tell, and relays loading.

It holds nothing that is loaded, so its end and its return disturb nobody.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing

import msgspec
import structlog

from actors.model.needs import work_of
from actors.model.stage_watch import StageWatch, machine_of
from actors.models.absent import family_of_file, lacking_families, of_absent
from actors.models.coming import reworded, weights_of
from actors.models.directory import Directory, family_unavailable
from actors.models.naming import Naming
from actors.models.placing import Placing
from actors.models.planning import check_names, plan_of
from actors.models.quantizing import Quantizing
from actors.models.starting import Starting
from actors.models.suitability import check_method
from bus import Code, Context, RpcError
from bus.channel import Channel
from bus.transports import Transport
from host.jobs import Jobs
from host.liveness import BEAT_SECONDS, Change, Lost, Presence
from host.settings import Settings
from store import Tables, store_of
from troupe.family import v1 as families
from troupe.gpu.v1 import GpuServiceClient, Work
from troupe.model.v1 import (
    GetModelRequest,
    GetModelResponse,
    ListAliasesRequest,
    ListAliasesResponse,
    ListModelsRequest,
    ListModelsResponse,
    LoadModelRequest,
    LoadModelResponse,
    Model,
    ModelService,
    ModelState,
    PinModelRequest,
    PinModelResponse,
    PlanModelsRequest,
    PlanModelsResponse,
    QuantizeModelRequest,
    QuantizeModelResponse,
    RemoveAliasRequest,
    RemoveAliasResponse,
    RemoveModelRequest,
    RemoveModelResponse,
    RollbackAliasRequest,
    RollbackAliasResponse,
    SetAliasRequest,
    SetAliasResponse,
    UnloadModelRequest,
    UnloadModelResponse,
    UnpinModelRequest,
    UnpinModelResponse,
)
from troupe.weights.v1 import WeightsService

CHAT, EMBEDDING = "troupe.chat.v1.ChatService", "troupe.embedding.v1.EmbeddingService"
DEFAULTS: Mapping[str, Sequence[str]] = {CHAT: ("smollm2-135m", "troupe-tiny"), EMBEDDING: ("e5-small",)}
"""Models that answer who names none, by service: the first one that is there; what is fetched before the guide."""
LIST_SECONDS = 2.0
"""A family that has not said within this time what it has does not hold up the list of the others."""
DESCRIBE_SECONDS = 30.0
"""How long a family may take to say what a model needs; the first time on a machine it measures."""
AGAIN_SECONDS = 1.0
"""Until a family that is away is tried again, unless it is heard before."""
GONE = frozenset({"NO_RESPONDERS", "SHUTTING_DOWN", "PEER_LOST", "INTERRUPTED"})
"""Reasons of a family's process that is not there."""
ROUTE = f"{families.FamilyService.INFO.name}["

log = structlog.get_logger(__name__)


class ModelsSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The section [actors.models]."""

    families: list[str] = msgspec.field(default_factory=list)
    """Families in the order of their claim on names that several have; those that are not named follow by name."""


class ModelsActor(ModelService):
    """Families are those that the settings name and those whose heartbeats are heard."""

    def __init__(
        self,
        settings: ModelsSettings,
        channel: Channel,
        transport: Transport,
        hub_settings: Settings | None = None,
        table: Tables | None = None,
        jobs: Jobs | None = None,
        *,
        patience: float = BEAT_SECONDS * 1.1,
    ) -> None:
        """hub_settings: whose [models] says the default and the aliases that stay.

        table: where other names and pins are kept; the transport's bus, unless given. jobs: where models are quantized;
        without, none are. patience: seconds until all were heard.
        """
        self._patience = patience
        self._settings = settings
        self._channel = channel
        self._client = families.FamilyServiceClient(channel)
        self._presence = Presence(transport)
        self._hub_settings = hub_settings if hub_settings is not None else Settings()
        self._gpu = GpuServiceClient(channel)
        self._machine = machine_of(self._hub_settings)
        self._stage: StageWatch
        names = self._hub_settings.models
        chosen = names.aliases.get(names.default, names.default)
        self._directory = Directory(settings.families, _defaults(chosen), names.aliases)
        self._starting = Starting(self._directory, self._presence)
        self._following: dict[str, asyncio.Task[None]] = {}
        self._told: dict[str, families.NameModelsRequest] = {}
        tables = table or store_of(transport).table
        self._given = Naming(self._directory, tables, channel, self._presence, self._tell_names)
        self._quantizing = Quantizing(jobs, channel)
        self._naming = asyncio.Lock()
        self._heard = asyncio.Event()

    async def start(self) -> None:
        """Find the families; those that answer are known when this returns."""
        self._stage = StageWatch(self._hub_settings, self._presence, self._machine)
        self._presence.subscribe(self._noticed)
        await self._given.__aenter__()
        await self._presence.start()
        for family in self._settings.families:
            self._meet(family)
        await asyncio.sleep(self._patience)
        await self._refresh()

    async def stop(self) -> None:
        """Follow nobody any more."""
        await self._given.__aexit__()
        following, self._following = list(self._following.values()), {}
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)
        await self._presence.stop()

    def trouble(self) -> str:
        """Families whose processes serve, as they say, and do not answer."""
        service = families.FamilyService.INFO.name
        deaf = [family for family in self._directory.families if self._presence.serving(service, family)]
        return " ".join(filter(None, map(self._directory.why_away, deaf)))

    async def list_models(self, request: ListModelsRequest, ctx: Context) -> ListModelsResponse:
        """See the contract."""
        await self._refresh()
        return ListModelsResponse(models=self._directory.listed(request.service))

    async def get_model(self, request: GetModelRequest, ctx: Context) -> GetModelResponse:
        """See the contract."""
        await self._refresh()
        return GetModelResponse(model=self._directory.shown(*self._found(request.name)))

    async def load_model(self, request: LoadModelRequest, ctx: Context) -> AsyncIterator[LoadModelResponse]:
        """See the contract."""
        check_method(request.method)
        async with aclosing(self._starting.waiting(request.name)) as waiting:
            async for progress in waiting:
                yield LoadModelResponse(progress=progress)
        family, model = await self._find_or_coming(request.name, request.method)
        self._directory.check_offers(family, model, request.method)
        await self._tell_names()
        async with AsyncExitStack() as stack:
            if (work := await self._work(family, model)) is not None:
                place = await stack.enter_async_context(Placing(self._gpu, self._machine, work))
                async for progress in await stack.enter_async_context(aclosing(place.waiting())):
                    yield LoadModelResponse(progress=progress)
            async for response in await stack.enter_async_context(aclosing(self._start(family, model))):
                yield response

    async def _work(self, family: str, model: Model) -> Work | None:
        """What is to be placed before the model is started; None: nothing, since it is there or there is no stage."""
        if model.state == ModelState.MODEL_STATE_READY or not await self._stage.has_stage():
            return None
        try:
            request = families.DescribeModelRequest(family=family, model=model.name)
            needs = (await self._client.describe_model(request, timeout=DESCRIBE_SECONDS)).needs
        except RpcError as error:
            if error.code is Code.DEADLINE_EXCEEDED or _is_gone(error):
                return None  # `_start` waits for the family and says so; then the model's process asks for the place
            raise
        return work_of(family, model.name, needs) if needs.weights_bytes else None

    async def _start(self, family: str, model: Model) -> AsyncGenerator[LoadModelResponse, None]:
        try:
            async for response in self._client.start_model(families.StartModelRequest(family=family, model=model.name)):
                if response.HasField("progress"):
                    yield LoadModelResponse(progress=response.progress)
                else:
                    yield LoadModelResponse(model=self._noted(family, response.model))
        except RpcError as error:
            raise _of_family(family, error) from error

    async def unload_model(self, request: UnloadModelRequest, ctx: Context) -> UnloadModelResponse:
        """See the contract. Unloading what is not loaded does nothing."""
        family, model = await self._find(request.name)
        try:
            await self._client.stop_model(families.StopModelRequest(family=family, model=model.name))
        except RpcError as error:
            raise _of_family(family, error) from error
        return UnloadModelResponse()

    async def plan_models(self, request: PlanModelsRequest, ctx: Context) -> PlanModelsResponse:
        """See the contract."""
        check_names(request)
        plans = []
        for name in request.names:
            family, model = await self._find(name)
            asked = families.DescribeModelRequest(family=family, model=model.name)
            try:
                answer = await self._client.describe_model(asked, timeout=DESCRIBE_SECONDS)
            except RpcError as error:
                raise _of_family(family, error) from error
            plans.append(plan_of(self._directory.shown(family, model), answer))
        return PlanModelsResponse(plans=plans)

    # ---- other names, and pins

    async def set_alias(self, request: SetAliasRequest, ctx: Context) -> SetAliasResponse:
        """See the contract."""
        family, model = await self._find(request.model)
        alias = await self._given.set_alias(request.alias, family, model.name, ctx.principal)
        return SetAliasResponse(alias=alias)

    async def remove_alias(self, request: RemoveAliasRequest, ctx: Context) -> RemoveAliasResponse:
        """See the contract."""
        await self._given.remove_alias(request.alias)
        return RemoveAliasResponse()

    async def list_aliases(self, request: ListAliasesRequest, ctx: Context) -> ListAliasesResponse:
        """See the contract."""
        return ListAliasesResponse(aliases=await self._given.aliases())

    async def rollback_alias(self, request: RollbackAliasRequest, ctx: Context) -> RollbackAliasResponse:
        """See the contract."""
        return RollbackAliasResponse(alias=await self._given.roll_back(request.alias, request.version))

    async def pin_model(self, request: PinModelRequest, ctx: Context) -> PinModelResponse:
        """See the contract."""
        return PinModelResponse(model=await self._pin(request.name, ctx, pinned=True))

    async def unpin_model(self, request: UnpinModelRequest, ctx: Context) -> UnpinModelResponse:
        """See the contract."""
        return UnpinModelResponse(model=await self._pin(request.name, ctx, pinned=False))

    async def _pin(self, name: str, ctx: Context, *, pinned: bool) -> Model:
        family, model = await self._find(name)
        await self._given.pin(family, model.name, ctx.principal, pinned=pinned)
        return self._directory.shown(family, model)

    async def remove_model(self, request: RemoveModelRequest, ctx: Context) -> RemoveModelResponse:
        """See the contract."""
        await self._refresh()
        family, model = await self._find(request.name)
        shown = self._directory.shown(family, model)
        self._directory.check_unused(request.name, shown, force=request.force)
        removing = families.RemoveModelRequest(family=family, model=model.name)
        try:
            try:
                removed = await self._client.remove_model(removing)
            except RpcError as error:
                if error.reason != "MODEL_IN_USE":  # what cannot be removed is not unloaded for it
                    raise
                await self._client.stop_model(families.StopModelRequest(family=family, model=model.name))
                removed = await self._client.remove_model(removing)
        except RpcError as error:
            raise _of_family(family, error) from error
        if shown.pinned:
            await self._given.pin(family, model.name, ctx.principal, pinned=False)
        await self._refresh()
        return RemoveModelResponse(bytes=removed.bytes)

    async def quantize_model(self, request: QuantizeModelRequest, ctx: Context) -> AsyncIterator[QuantizeModelResponse]:
        """See the contract."""
        family, model = await self._find(request.name)
        try:
            made = await self._quantizing.prepare(family, model.name, request)
        except RpcError as error:
            raise _of_family(family, error) from error
        self._directory.check_free(made.new_name)
        async for response in self._quantizing.run(family, model.name, request, made, ctx):
            if response.HasField("model"):
                await self._refresh()  # who hears that it is there finds it in lists
            yield response

    # ---- what there is

    async def _find(self, name: str) -> tuple[str, Model]:
        try:
            return self._directory.find(name)
        except RpcError:
            await self._refresh()  # it may have come a moment ago
            lacking = self._lacking()
            kept = await family_of_file(self._hub_settings.home / "models", name, lacking) if lacking else ""
            return self._found(name, kept)

    def _found(self, name: str, family: str = "") -> tuple[str, Model]:
        """As the directory finds it; where its family, if that is known, is not installed, that is what is said."""
        try:
            return self._directory.find(name)
        except RpcError as error:
            coming = self._starting.coming()
            raise of_absent(error, name, self._lacking(), family=family, coming=coming) from error

    def _lacking(self) -> dict[str, str]:
        return lacking_families(self._presence.processes.values())

    async def _find_or_coming(self, name: str, method: str) -> tuple[str, Model]:
        """As `_find`; a model that the hub fetches is UNAVAILABLE (MODEL_BEING_FETCHED) until it is there.

        One that will not offer the method once it is there is MODEL_UNSUITABLE at once.
        """
        try:
            return await self._find(name)
        except RpcError as error:
            if error.reason != "MODEL_NOT_FOUND" or not self._presence.serving(WeightsService.INFO.name):
                raise
            found = await weights_of(name, self._channel)
            if found is None:
                raise
            self._directory.check_offered(found.name, found.services, method)
            raise reworded(error, found) from error

    def _noted(self, family: str, model: Model) -> Model:
        self._directory.change(family, families.WatchModelsResponse(models=[model]))
        return self._directory.shown(family, model)

    async def _refresh(self) -> None:
        """Ask what every family has now, except for those that are away: their return is noticed by itself."""
        asked = [family for family in self._directory.families if not self._directory.missing(family)]
        await asyncio.gather(*(self._ask(family) for family in asked))
        await self._tell_names()

    async def _ask(self, family: str) -> None:
        try:
            found = await self._client.list_models(families.ListModelsRequest(family=family), timeout=LIST_SECONDS)
        except RpcError as error:
            self._directory.lost(family, _why(family, error))
            self._begin_to_follow(family)  # a watch that it holds open may be as dead
        else:
            self._directory.replace(family, found.models)

    # ---- families come and go

    def _noticed(self, change: Change) -> None:
        served = [name for name in change.seen.services if name.startswith(ROUTE)]
        if served and not isinstance(change, Lost) and change.seen.state == "serving":
            for name in served:
                self._meet(name[len(ROUTE) : -1])
            self._heard.set()

    def _meet(self, family: str) -> None:
        self._directory.meet(family)
        if family not in self._following:
            self._begin_to_follow(family)

    def _begin_to_follow(self, family: str) -> None:
        before = self._following.get(family)
        if before is not None:
            before.cancel()
        self._following[family] = asyncio.create_task(self._follow(family), name=f"family {family}")

    async def _follow(self, family: str) -> None:
        while True:
            try:
                async for change in self._client.watch_models(families.WatchModelsRequest(family=family)):
                    if change.whole:
                        self._told.pop(family, None)  # it may have been started anew
                    self._directory.change(family, change)
                    self._given.followed()
                    await self._tell_names()
            except RpcError as error:
                self._directory.lost(family, _why(family, error))
                log.info("family.lost", family=family, error=error.message)
            self._heard.clear()
            try:
                async with asyncio.timeout(AGAIN_SECONDS):
                    await self._heard.wait()
            except TimeoutError:
                continue

    # ---- names

    async def _tell_names(self) -> None:
        """Tell the families whose bare names are theirs, where that has changed."""
        async with self._naming:
            await asyncio.gather(*(self._tell(family) for family in self._directory.families))

    async def _tell(self, family: str) -> None:
        names = self._directory.other_names(family)
        request = families.NameModelsRequest(
            family=family,
            withheld=self._directory.withheld(family),
            others=[families.OtherNames(model=model, names=others) for model, others in sorted(names.items())],
        )
        if self._directory.away(family) or self._told.get(family) == request:
            return
        try:
            await self._client.name_models(request, timeout=LIST_SECONDS)
        except RpcError as error:
            log.warning("family.unnamed", family=family, error=error.message)
        else:
            self._told[family] = request


def _defaults(chosen: str) -> dict[str, Sequence[str]]:
    """A chosen model that is not there, or not yet, leaves its place to the others."""
    return {**DEFAULTS, CHAT: [name for name in (chosen, *DEFAULTS[CHAT]) if name]}


def _why(family: str, error: RpcError) -> str:
    if error.reason == "FAMILY_UNAVAILABLE":
        return error.message
    late = error.code is Code.DEADLINE_EXCEEDED
    why = f"it did not answer within {LIST_SECONDS:g} s" if late else "its process does not answer"
    return f"The family {family} is away ({why})."


def _of_family(family: str, error: RpcError) -> RpcError:
    """A family's error as the caller gets it; that nobody serves the family is no word for callers."""
    return family_unavailable(family, "Its process does not answer.") if _is_gone(error) else error


def _is_gone(error: RpcError) -> bool:
    return error.code is Code.UNAVAILABLE and error.reason in GONE
