"""What the transformers family is to the room that families share: folders, and a process for each that is loaded."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from actors.model.family import Life
from actors.model.launcher import Launcher
from actors.model.model_process import ModelProcess
from actors.model.process_watch import ProcessWatch
from actors.model.replicas import ReplicatedModel
from actors.transformers.catalog import Catalog, Entry, adapter_folders, model_folders
from actors.transformers.folder import Source
from actors.transformers.limits import accelerated, cache_bytes, weights_bytes, working_bytes
from actors.transformers.settings import TransformersSettings
from troupe.family.v1 import Needs
from troupe.model.v1 import Model


class TransformersShelf:
    """Implements `family.Shelf`."""

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
        return self._catalog.describe(entry, self._settings)

    def needs(self, entry: Entry) -> Needs:
        """See `Shelf`."""
        if entry.facts is None:
            return Needs()
        return Needs(
            weights_bytes=weights_bytes(entry.facts, self._settings),
            cache_bytes=cache_bytes(entry.facts, self._settings),
            working_bytes=working_bytes(entry.facts, self._settings),
            accelerator=accelerated(self._settings),
        )

    def files(self, entry: Entry) -> Sequence[Path]:
        """See `Shelf`."""
        return Source.of(entry.path).files

    def life(self, entry: Entry) -> Life:
        """See `Shelf`."""
        return ReplicatedModel(
            lambda: ModelProcess(entry.name, entry.path, self._launcher, self._settings, self._watch)
        )
