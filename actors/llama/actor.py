"""The family's actor: knows the models, and starts, watches and ends their processes."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Self

import structlog

from actors.llama.catalog import Catalog, Entry, adapter_folders, model_folders
from actors.llama.settings import LlamaSettings
from actors.model.launcher import Launcher, SubprocessLauncher
from actors.model.model_process import ModelProcess
from actors.model.process_watch import ProcessWatch
from bus import Code, Context, RpcError
from host.member import Member
from troupe.model.v1 import (
    GetModelRequest,
    GetModelResponse,
    ListModelsRequest,
    ListModelsResponse,
    LoadModelRequest,
    LoadModelResponse,
    Model,
    ModelService,
    ModelState,
    UnloadModelRequest,
    UnloadModelResponse,
)
from troupe.rpc.v1 import Progress

log = structlog.get_logger(__name__)


class LlamaActor(ModelService):
    """Serves the list of models.

    An async context: entering preloads what the settings name, leaving ends all processes.
    """

    def __init__(
        self, settings: LlamaSettings, home: Path, launcher: Launcher | None = None, member: Member | None = None
    ) -> None:
        self._settings = settings
        self._launcher = launcher or SubprocessLauncher("actors.llama.worker")
        self._watch = ProcessWatch(member) if member is not None else None
        self._catalog = Catalog(model_folders(home, settings), adapter_folders(home, settings))
        self._processes: dict[str, ModelProcess] = {}

    async def __aenter__(self) -> Self:
        for name in self._settings.preload:
            try:
                await self._process(self._catalog.find(name)).start()
            except RpcError as problem:
                log.warning("model.preload", model=name, error=problem.message)
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(process.stop() for process in self._processes.values()))
        if self._watch is not None:
            await self._watch.stop()

    async def list_models(self, request: ListModelsRequest, ctx: Context) -> ListModelsResponse:
        """See the contract."""
        entries = await asyncio.to_thread(self._catalog.entries)
        found = [entry for entry in entries.values() if not request.service or request.service in entry.services]
        return ListModelsResponse(models=[self._model(entry) for entry in found])

    async def get_model(self, request: GetModelRequest, ctx: Context) -> GetModelResponse:
        """See the contract."""
        return GetModelResponse(model=self._model(await self._find(request.name)))

    async def load_model(self, request: LoadModelRequest, ctx: Context) -> AsyncIterator[LoadModelResponse]:
        """See the contract. Callers that ask for the same model share one loading; it goes on if they leave."""
        entry = await self._find(request.name)
        if entry.error:
            raise _load_failed(entry.name, entry.error)
        process = self._process(entry)
        await process.start()
        async for _ in process.changes():
            if not process.settled:
                yield LoadModelResponse(progress=_progress(process))
        if process.state != ModelState.MODEL_STATE_READY:
            raise _load_failed(entry.name, process.error or "it was unloaded meanwhile.")
        yield LoadModelResponse(model=self._model(entry))

    async def unload_model(self, request: UnloadModelRequest, ctx: Context) -> UnloadModelResponse:
        """See the contract. Unloading what is not loaded does nothing."""
        entry = await self._find(request.name)
        if entry.name in self._processes:
            await self._processes[entry.name].stop()
        return UnloadModelResponse()

    async def _find(self, name: str) -> Entry:
        return await asyncio.to_thread(self._catalog.find, name)

    def _process(self, entry: Entry) -> ModelProcess:
        known = self._processes.get(entry.name)
        if known is None or (known.path != entry.path and known.settled):
            known = self._processes[entry.name] = ModelProcess(
                entry.name, entry.path, self._launcher, self._settings, self._watch
            )
        return known

    def _model(self, entry: Entry) -> Model:
        model = self._catalog.describe(entry, self._settings)
        process = self._processes.get(entry.name)
        model.state = ModelState.MODEL_STATE_FAILED if entry.error else ModelState.MODEL_STATE_AVAILABLE
        if process is not None:
            model.state = process.state
            model.error = model.error or process.error
        return model


def _progress(process: ModelProcess) -> Progress:
    note = f"Loading {process.name}." if not process.error else f"Loading {process.name} again: {process.error}."
    return Progress(state=Progress.STATE_LOADING, fraction=process.fraction, note=note)


def _load_failed(name: str, why: str) -> RpcError:
    message = f"The model {name} cannot be loaded: {why}"
    return RpcError(Code.FAILED_PRECONDITION, message, reason="MODEL_LOAD_FAILED", metadata={"model": name})
