"""The family's actor: GGUF models on llama.cpp, each in a process of its own."""

from pathlib import Path
from typing import Self

from actors.llama.catalog import FAMILY, Entry
from actors.llama.quantizing import Quantizing
from actors.llama.settings import LlamaSettings
from actors.llama.shelf import LlamaShelf
from actors.model.family import Family
from actors.model.launcher import Launcher, SubprocessLauncher
from actors.model.process_watch import ProcessWatch
from actors.model.spare import spare_of
from host.jobs import Jobs
from host.member import Member


class LlamaActor(Family[Entry]):
    """Serves FamilyService under "llama".

    member: this process on the bus, to hear the models' processes; without it they are known by what they print alone.
    jobs: where models are quantized; without, none are.
    """

    def __init__(
        self,
        settings: LlamaSettings,
        home: Path,
        launcher: Launcher | None = None,
        member: Member | None = None,
        jobs: Jobs | None = None,
    ) -> None:
        self._watch = ProcessWatch(member) if member is not None else None
        starter = launcher or SubprocessLauncher("actors.llama.worker")
        self._spare = spare_of(starter, member) if settings.spare else None
        shelf = LlamaShelf(home, settings, self._spare or starter, self._watch)
        super().__init__(FAMILY, shelf, settings.preload, member=member)
        self._quantizing = Quantizing(shelf, home, settings, jobs, member) if jobs is not None else None

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        if self._quantizing is not None:
            await self._quantizing.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._quantizing is not None:
            await self._quantizing.__aexit__()
        if self._spare is not None:
            await self._spare.close()
        await super().__aexit__()
        if self._watch is not None:
            self._watch.stop()
