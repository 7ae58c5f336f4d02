"""What the llama family is to the room that families share: GGUF files, and a process for each that is loaded."""

from collections.abc import Mapping
from pathlib import Path

from actors.llama import removal
from actors.llama.catalog import Catalog, Entry, adapter_folders, model_folders
from actors.llama.engine_limits import cache_bytes
from actors.llama.offload import offloads
from actors.llama.settings import LlamaSettings
from actors.model.family import Life
from actors.model.launcher import Launcher
from actors.model.model_process import ModelProcess
from actors.model.process_watch import ProcessWatch
from troupe.family.v1 import Needs
from troupe.model.v1 import Model


class LlamaShelf:
    """Implements `family.Shelf`."""

    def __init__(
        self, home: Path, settings: LlamaSettings, launcher: Launcher, watch: ProcessWatch | None = None
    ) -> None:
        self._catalog = Catalog(model_folders(home, settings), adapter_folders(home, settings))
        self._own = home / "models"
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
        """See `Shelf`. What computing takes besides weights and cache is not known before it was seen."""
        if entry.header is None:
            return Needs()
        return Needs(
            weights_bytes=entry.header.size_bytes,
            cache_bytes=cache_bytes(entry.header, self._settings),
            accelerator=self._settings.gpu_layers != 0 and offloads(),
        )

    def remove(self, entry: Entry) -> int:
        """See `Shelf`."""
        return removal.remove(entry.name, entry.path, self._own)

    def life(self, entry: Entry) -> Life:
        """See `Shelf`."""
        return ModelProcess(entry.name, entry.path, self._launcher, self._settings, self._watch)
