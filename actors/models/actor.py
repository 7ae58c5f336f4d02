"""Serves ModelService for all families: asks them, follows what they tell, and relays loading.

It holds nothing that is loaded, so its end and its return disturb nobody.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing

import msgspec

from actors.model.stage_watch import machine_of
from actors.models.absent import family_of_file, lacking_families, of_absent
from actors.models.away import of_family
from actors.models.coming import reworded, weights_of
from actors.models.directory import Directory
from actors.models.figures import FiguresBook
from actors.models.fitting import Fitting
from actors.models.following import Following
from actors.models.loading import DESCRIBE_SECONDS, Loading
from actors.models.naming import Naming
from actors.models.planning import check_names, plan_of
from actors.models.profile_plan import check_request
from actors.models.profiling import Profiling
from actors.models.proposal import propose
from actors.models.quantizing import Quantizing
from actors.models.starting import Starting
from actors.models.suitability import check_method
from bus import Context, RpcError
from bus.channel import Channel
from bus.transports import Transport
from host.jobs import Jobs
from host.liveness import BEAT_SECONDS, Presence
from host.settings import Settings
from store import Tables, store_of
from troupe.family import v1 as families
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
    ModelProfile,
    ModelService,
    PinModelRequest,
    PinModelResponse,
    PlanModelsRequest,
    PlanModelsResponse,
    ProfileModelRequest,
    ProfileModelResponse,
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

        table: where other names, pins and figures are kept; the transport's bus, unless given. jobs: where models are
        quantized and measured; without, none are. patience: seconds until all were heard.
        """
        self._patience = patience
        self._settings = settings
        self._channel = channel
        self._client = families.FamilyServiceClient(channel)
        self._presence = Presence(transport)
        self._hub_settings = hub_settings if hub_settings is not None else Settings()
        self._loading: Loading
        names = self._hub_settings.models
        chosen = names.aliases.get(names.default, names.default)
        self._directory = Directory(settings.families, _defaults(chosen), names.aliases, chosen)
        self._starting = Starting(self._directory, self._presence)
        self._fitting = Fitting(self._directory, channel, self._presence, machine_of(self._hub_settings))
        tables = table or store_of(transport).table
        self._figures = FiguresBook(tables)
        self._jobs = jobs
        self._profiling: Profiling | None = None
        self._following = Following(self._directory, channel, self._presence, self._followed)
        self._given = Naming(self._directory, tables, channel, self._presence, self._following.tell_names)
        self._quantizing = Quantizing(jobs, channel)

    async def start(self) -> None:
        """Find the families; those that answer are known when this returns."""
        self._loading = Loading(self._channel, self._hub_settings, self._presence, self._noted)
        await self._given.__aenter__()
        await self._figures.__aenter__()
        await self._presence.start()
        self._following.start(self._settings.families)
        await asyncio.sleep(self._patience)
        await self._following.refresh()
        self._fitting.start()
        if self._jobs is not None:
            profiling = Profiling(self._jobs, self._channel, self._find, self._loading, self._figures)
            self._profiling = await profiling.__aenter__()

    async def stop(self) -> None:
        """Follow nobody any more."""
        if self._profiling is not None:
            await self._profiling.__aexit__()
        await self._fitting.stop()
        await self._figures.__aexit__()
        await self._given.__aexit__()
        await self._following.stop()
        await self._presence.stop()

    def trouble(self) -> str:
        """Families whose processes serve, as they say, and do not answer."""
        service = families.FamilyService.INFO.name
        deaf = [family for family in self._directory.families if self._presence.serving(service, family)]
        return " ".join(filter(None, map(self._directory.why_away, deaf)))

    async def list_models(self, request: ListModelsRequest, ctx: Context) -> ListModelsResponse:
        """See the contract."""
        await self._following.refresh()
        return ListModelsResponse(models=map(self._figures.put_on, self._directory.listed(request.service)))

    async def get_model(self, request: GetModelRequest, ctx: Context) -> GetModelResponse:
        """See the contract."""
        await self._following.refresh()
        shown = self._figures.put_on(self._directory.shown(*self._found(request.name)))
        found = self._figures.of(shown)
        profile = ModelProfile(figures=found, proposal=propose(found)) if found else None
        return GetModelResponse(model=shown, profile=profile)

    async def load_model(self, request: LoadModelRequest, ctx: Context) -> AsyncIterator[LoadModelResponse]:
        """See the contract."""
        check_method(request.method)
        async with aclosing(self._starting.waiting(request.name)) as waiting:
            async for progress in waiting:
                yield LoadModelResponse(progress=progress)
        family, model = await self._find_or_coming(request.name, request.method)
        self._directory.check_offers(family, model, request.method)
        await self._following.tell_names()
        async with aclosing(self._loading.load(family, model)) as responses:
            async for response in responses:
                yield response

    async def unload_model(self, request: UnloadModelRequest, ctx: Context) -> UnloadModelResponse:
        """See the contract. Unloading what is not loaded does nothing."""
        family, model = await self._find(request.name)
        try:
            await self._client.stop_model(families.StopModelRequest(family=family, model=model.name))
        except RpcError as error:
            raise of_family(family, error) from error
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
                raise of_family(family, error) from error
            plan = plan_of(self._directory.shown(family, model), answer)
            if not plan.measured_host_bytes:
                await self._loading.recall(plan, family, model.name, answer)
            plans.append(plan)
        return PlanModelsResponse(plans=plans)

    async def profile_model(self, request: ProfileModelRequest, ctx: Context) -> AsyncIterator[ProfileModelResponse]:
        """See the contract."""
        check_request(request)
        if self._profiling is None:
            raise RpcError.unimplemented("troupe.model.v1.ModelService/ProfileModel")
        async for response in self._profiling.asked(request, ctx.behalf):
            yield response

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
        await self._following.refresh()
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
            raise of_family(family, error) from error
        if shown.pinned:
            await self._given.pin(family, model.name, ctx.principal, pinned=False)
        await self._following.refresh()
        return RemoveModelResponse(bytes=removed.bytes)

    async def quantize_model(self, request: QuantizeModelRequest, ctx: Context) -> AsyncIterator[QuantizeModelResponse]:
        """See the contract."""
        family, model = await self._find(request.name)
        try:
            made = await self._quantizing.prepare(family, model.name, request)
        except RpcError as error:
            raise of_family(family, error) from error
        self._directory.check_free(made.new_name)
        async for response in self._quantizing.run(family, model.name, request, made, ctx):
            if response.HasField("model"):
                await self._following.refresh()  # who hears that it is there finds it in lists
            yield response

    # ---- what there is

    async def _find(self, name: str) -> tuple[str, Model]:
        try:
            return self._directory.find(name)
        except RpcError:
            await self._following.refresh()  # it may have come a moment ago
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

    def _followed(self) -> None:
        self._given.followed()

    def _noted(self, family: str, model: Model) -> Model:
        self._directory.change(family, families.WatchModelsResponse(models=[model]))
        return self._directory.shown(family, model)


def _defaults(chosen: str) -> dict[str, Sequence[str]]:
    """A chosen model that is not there, or not yet, leaves its place to the others."""
    return {**DEFAULTS, CHAT: [name for name in (chosen, *DEFAULTS[CHAT]) if name]}
