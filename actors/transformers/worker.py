"""The process of one model on PyTorch: a folder, served on the bus; see actors/model/worker.py.

python -m actors.transformers.worker --model NAME --path FOLDER
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from actors.model.overrides import parted
from actors.model.worker import Work, WorkingEngine, main
from actors.transformers.catalog import FAMILY, AdapterFolders, adapter_folders
from actors.transformers.folder import Source
from actors.transformers.limits import overridden
from actors.transformers.settings import TransformersSettings
from host.settings import Settings


def work(settings: Settings, name: str, path: Path) -> Work:
    """What this process is for. Raises SettingsError."""
    own = overridden(settings.actor(FAMILY, TransformersSettings), parted(name)[1])

    async def open_engine(progress: Callable[[float], None]) -> WorkingEngine:
        opening = await asyncio.to_thread(_engine)  # importing PyTorch takes seconds, and the process beats meanwhile
        return await opening(path, own, progress)

    return Work(
        family=FAMILY,
        name=name,
        open_engine=open_engine,
        adapters=AdapterFolders(adapter_folders(settings.home, own)),
        load_seconds=own.load_seconds,
        drain_seconds=own.drain_seconds,
        files=lambda: Source.of(path).files,
    )


def _engine() -> Callable[[Path, TransformersSettings, Callable[[float], None]], Awaitable[WorkingEngine]]:
    from actors.transformers.engine import TransformersEngine

    return TransformersEngine.open


def warm() -> None:
    """What a process can do before it knows its model: importing PyTorch takes seconds."""
    _engine()


def run(arguments: Sequence[str] | None = None) -> int:
    """The whole process; its exit code. arguments: instead of the command line's."""
    return main("actors.transformers.worker", work, arguments)


if __name__ == "__main__":
    sys.exit(run())
