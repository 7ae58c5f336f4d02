"""The family's actor: models as Hugging Face has them, each in a process of its own."""

from pathlib import Path

from actors.model.family import Family
from actors.model.launcher import Launcher, SubprocessLauncher
from actors.model.process_watch import ProcessWatch
from actors.model.spare import spare_of
from actors.transformers.catalog import FAMILY, Entry
from actors.transformers.settings import TransformersSettings
from actors.transformers.shelf import TransformersShelf
from host.member import Member

OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
"""A model's process asks no server for anything: what is not in its folder is not there."""


class TransformersActor(Family[Entry]):
    """Serves FamilyService under "transformers". PyTorch is imported by its models' processes alone.

    member: this process on the bus, to hear the models' processes; without it they are known by what they print alone.
    """

    def __init__(
        self, settings: TransformersSettings, home: Path, launcher: Launcher | None = None, member: Member | None = None
    ) -> None:
        self._watch = ProcessWatch(member) if member is not None else None
        starter = launcher or SubprocessLauncher("actors.transformers.worker", OFFLINE)
        self._spare = spare_of(starter, member) if settings.spare else None
        shelf = TransformersShelf(home, settings, self._spare or starter, self._watch)
        super().__init__(FAMILY, shelf, settings.preload, member=member)

    async def __aexit__(self, *_: object) -> None:
        if self._spare is not None:
            await self._spare.close()
        await super().__aexit__()
        if self._watch is not None:
            self._watch.stop()
