"""The family's actor: GGUF models on llama.cpp, each in a process of its own."""

from pathlib import Path

from actors.llama.catalog import FAMILY, Entry
from actors.llama.launcher import Launcher, SubprocessLauncher
from actors.llama.settings import LlamaSettings
from actors.llama.shelf import LlamaShelf
from actors.model.family import Family


class LlamaActor(Family[Entry]):
    """Serves FamilyService under "llama"."""

    def __init__(self, settings: LlamaSettings, home: Path, launcher: Launcher | None = None) -> None:
        super().__init__(FAMILY, LlamaShelf(home, settings, launcher or SubprocessLauncher()), settings.preload)
