"""What the llama family is to the room that families share: GGUF files, and a process for each that is loaded."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from actors.llama import placing, quantization, removal
from actors.llama.catalog import ENTRIES_LIMIT, FAMILY, Catalog, Entry, adapter_folders, model_folders
from actors.llama.engine_limits import cache_tokens, context_tokens, loading, overridden, replaced, threads
from actors.llama.footprint import KnownFootprint, engine
from actors.llama.offload import offloads
from actors.llama.quantizing import LANE
from actors.llama.settings import LlamaSettings
from actors.model.device_names import card, processor
from actors.model.gguf_file import parts
from actors.model.gguf_header import ModelHeader
from actors.model.launcher import Launcher
from actors.model.memory import Loading
from actors.model.model_process import ModelProcess
from actors.model.needs import Choice, needs_of
from actors.model.overrides import Overrides, check_trained
from actors.model.process_watch import ProcessWatch
from actors.model.replicas import ReplicatedModel
from actors.model.shelf import Life
from troupe.family.v1 import Needs, PrepareQuantizationResponse
from troupe.model.v1 import Model


class LlamaShelf:
    """Implements `shelf.Shelf`."""

    def __init__(
        self,
        home: Path,
        settings: LlamaSettings,
        launcher: Launcher,
        watch: ProcessWatch | None = None,
        footprint: KnownFootprint | None = None,
    ) -> None:
        """footprint: what a process takes without a model."""
        self._catalog = Catalog(model_folders(home, settings), adapter_folders(home, settings))
        self._own = home / "models"
        self._settings = settings
        self._launcher = launcher
        self._watch = watch
        self._footprint = footprint or KnownFootprint(home)
        self._needs: dict[tuple[Path, int, int, int, Overrides], Needs] = {}
        """By what they depend on besides the settings."""

    def entries(self) -> Mapping[str, Entry]:
        """See `Shelf`."""
        return self._catalog.entries()

    @property
    def place(self) -> str:
        """See `Shelf`."""
        return self._catalog.place

    def describe(self, entry: Entry) -> Model:
        """See `Shelf`."""
        return self._catalog.describe(entry, overridden(self._settings, entry.overrides))

    def needs(self, entry: Entry) -> Needs:
        """See `Shelf`. The first time on a machine it takes a second or two: a process without a model is measured."""
        header, settings = entry.header, overridden(self._settings, entry.overrides)
        if header is None:
            return Needs()
        footprint = self._footprint.get()
        choice = Choice(context_tokens(header, settings), settings.slots, settings.gpu_layers)
        adapters = self._catalog.adapter_bytes(header.architecture, settings.adapter_limit)

        def plan(other: Choice) -> Loading:
            chosen = replaced(settings, choice, other)
            return loading(header, chosen, footprint, offloads=offloads(), more=adapters)

        known = (entry.path, entry.modified_ns, entry.files, adapters, entry.overrides)
        if known not in self._needs:
            if len(self._needs) >= ENTRIES_LIMIT:
                self._needs.clear()
            needs = self._needs[known] = needs_of(header, choice, plan, _key(header, settings))
            needs.engine, needs.device = engine(), _device(header, settings)
            needs.context_tokens, needs.slots = choice.context, choice.slots
            needs.trained_context_tokens = header.context_tokens
        return self._needs[known]

    def varied(self, entry: Entry, overrides: Overrides) -> Entry:
        """See `Shelf`."""
        check_trained(overrides, entry.header.context_tokens if entry.header is not None else 0)
        return replace(entry, name=overrides.named(entry.name), overrides=overrides)

    def files(self, entry: Entry) -> Sequence[Path]:
        """See `Shelf`."""
        return parts(entry.path)

    def check_removable(self, entry: Entry) -> None:
        """See `Shelf`."""
        removal.check(entry.name, entry.path, self._own)

    def remove(self, entry: Entry) -> int:
        """See `Shelf`."""
        return removal.remove(entry.name, entry.path, self._own)

    def prepare_quantization(self, entry: Entry, wanted: str, new_name: str) -> PrepareQuantizationResponse:
        """See `Shelf`."""
        kind = quantization.kind_of(wanted)
        header = quantization.check_source(entry.name, entry.header, entry.error, kind)
        name = quantization.named(entry.name, kind, new_name)
        placing.check_free(self._own, name)
        size = quantization.result_bytes(header, kind)
        self._own.mkdir(parents=True, exist_ok=True)
        quantization.check_room(size, shutil.disk_usage(self._own).free)
        return PrepareQuantizationResponse(
            lane=LANE,
            quantization=kind.name,
            new_name=name,
            size_bytes=size,
            warnings=quantization.warnings(entry.name, header, kind),
        )

    def life(self, entry: Entry) -> Life:
        """See `Shelf`."""

        def process() -> ModelProcess:
            return ModelProcess(entry.name, entry.path, self._launcher, self._settings, self._watch)

        # What runs beside the model, to be measured, is one process.
        return process() if entry.overrides else ReplicatedModel(process)


def _key(header: ModelHeader, settings: LlamaSettings) -> str:
    """What was measured holds for the same shapes under the same settings, whatever the file is called."""
    said = (context_tokens(header, settings), cache_tokens(header, settings), settings.slots, settings.batch)
    more = (settings.gpu_layers, settings.embedding_context, threads(header, settings))
    return "|".join([FAMILY, header.fingerprint, engine(), *map(str, said + more)])


def _device(header: ModelHeader, settings: LlamaSettings) -> str:
    count = threads(header, settings)
    on_card = offloads() and settings.gpu_layers != 0
    return card() if on_card else f"{processor()}, {count} thread{'s' if count > 1 else ''}"
