"""Whether a hub has a stage, so that memory is to be asked for."""

import asyncio
import os

from host.liveness import BEAT_SECONDS, Change, Presence, Seen
from host.settings import SUPERVISED, Settings
from troupe.gpu.v1 import GpuService

ACTOR = "gpu"
"""Who serves the stage, by its name in the registry."""

HEAR_SECONDS = 1.2 * BEAT_SECONDS
"""Who has listened for so long has heard everybody who lives."""

LOOK_SECONDS = 0.05


class StageWatch:
    """Made while a process begins to listen. presence: what it hears. machine: whose stage."""

    def __init__(self, settings: Settings, presence: Presence, machine: str) -> None:
        wanted = settings.supervisor.actors
        self._own = machine == machine_of(settings)
        """It is this hub's machine, of which its supervisor's settings and words tell."""
        self._met = self._own and bool(os.environ.get(SUPERVISED)) and (not wanted or ACTOR in wanted)
        self._presence = presence
        self._machine = machine
        self._began = asyncio.get_running_loop().time()
        presence.subscribe(self._noticed)

    async def has_stage(self) -> bool:
        """Whether memory is to be asked for, be the stage there now or away for the moment.

        A supervisor's settings say which actors run. Beyond them, whoever is heard within HEAR_SECONDS decides; a hub
        that had a stage once has one.
        """
        loop = asyncio.get_running_loop()
        while not self._meets():
            if loop.time() - self._began >= HEAR_SECONDS:
                return False
            await asyncio.sleep(LOOK_SECONDS)
        return True

    def _meets(self) -> bool:
        self._met = self._met or any(map(self._has, self._presence.processes.values()))
        return self._met

    def _has(self, seen: Seen) -> bool:
        return (self._own and ACTOR in seen.awaits) or seen.serves(GpuService.INFO.name, self._machine)

    def _noticed(self, change: Change) -> None:
        self._met = self._met or self._has(change.seen)


def machine_of(settings: Settings) -> str:
    """The name of this hub's machine, as the section [actors.gpu] has it."""
    return str(settings.actors.get(ACTOR, {}).get("machine", "local"))
