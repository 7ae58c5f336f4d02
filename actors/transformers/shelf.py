"""What the transformers family is to the room that families share: folders, and a process for each that is loaded."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from actors.model.device_names import card, processor
from actors.model.launcher import Launcher
from actors.model.model_process import ModelProcess
from actors.model.overrides import Overrides, check_trained
from actors.model.process_watch import ProcessWatch
from actors.model.replicas import ReplicatedModel
from actors.model.shelf import Life
from actors.transformers.catalog import Catalog, Entry, adapter_folders, model_folders
from actors.transformers.folder import Source
from actors.transformers.limits import (
    accelerated,
    cache_bytes,
    context_tokens,
    engine,
    overridden,
    weights_bytes,
    working_bytes,
)
from actors.transformers.settings import TransformersSettings
from troupe.family.v1 import Needs
from troupe.model.v1 import Model


class TransformersShelf:
    """Implements `shelf.Shelf`."""

    def __init__(
        self, home: Path, settings: TransformersSettings, launcher: Launcher, watch: ProcessWatch | None = None
    ) -> None:
        self._catalog = Catalog(model_folders(home, settings), adapter_folders(home, settings), gguf=settings.gguf)
        self._settings = settings
        self._launcher = launcher
        self._watch = watch

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
        """See `Shelf`."""
        facts, settings = entry.facts, overridden(self._settings, entry.overrides)
        if facts is None:
            return Needs()
        return Needs(
            weights_bytes=weights_bytes(facts, settings),
            cache_bytes=cache_bytes(facts, settings),
            working_bytes=working_bytes(facts, settings),
            accelerator=accelerated(settings),
            engine=engine(),
            device=card() if accelerated(settings) else processor(),
            context_tokens=context_tokens(facts, settings),
            slots=settings.slots,
            trained_context_tokens=facts.context_tokens,
        )

    def varied(self, entry: Entry, overrides: Overrides) -> Entry:
        """See `Shelf`."""
        check_trained(overrides, entry.facts.context_tokens if entry.facts is not None else 0)
        return replace(entry, name=overrides.named(entry.name), overrides=overrides)

    def files(self, entry: Entry) -> Sequence[Path]:
        """See `Shelf`."""
        return Source.of(entry.path).files

    def life(self, entry: Entry) -> Life:
        """See `Shelf`."""
        return ReplicatedModel(
            lambda: ModelProcess(entry.name, entry.path, self._launcher, self._settings, self._watch)
        )
