"""The process of one model on llama.cpp: a GGUF file, served on the bus; see actors/model/worker.py.

python -m actors.llama.worker --model NAME --path FILE
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from actors.llama.binding import start_library
from actors.llama.catalog import FAMILY, AdapterFolders, adapter_folders
from actors.llama.engine import LlamaEngine
from actors.llama.engine_limits import overridden
from actors.llama.settings import LlamaSettings
from actors.model.gguf_file import parts
from actors.model.overrides import parted
from actors.model.worker import Work, main
from host.settings import Settings


def work(settings: Settings, name: str, path: Path) -> Work:
    """What this process is for. Raises SettingsError."""
    own = overridden(settings.actor(FAMILY, LlamaSettings), parted(name)[1])
    return Work(
        family=FAMILY,
        name=name,
        open_engine=lambda progress: LlamaEngine.open(path, own, progress),
        adapters=AdapterFolders(adapter_folders(settings.home, own)),
        load_seconds=own.load_seconds,
        drain_seconds=own.drain_seconds,
        files=lambda: parts(path),
    )


def warm() -> None:
    """What a process can do before it knows its model."""
    start_library()


def run(arguments: Sequence[str] | None = None) -> int:
    """The whole process; its exit code. arguments: instead of the command line's."""
    return main("actors.llama.worker", work, arguments)


if __name__ == "__main__":
    sys.exit(run())
