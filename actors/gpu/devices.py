"""Devices and what is used of them: what a source of measurements is, budgets, and which sources a machine has."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from actors.gpu.main_memory import MainMemory
from actors.gpu.nvidia import Card, Cards, opened
from actors.gpu.reading import Lost, Reading
from actors.gpu.settings import DeviceSettings
from actors.gpu.words import Kind

log = structlog.get_logger(__name__)


class DeviceSource(Protocol):
    """Measures devices of one kind."""

    @property
    def devices(self) -> Mapping[str, Kind]:
        """The devices that it measures, by name. Never changes."""

    def read(self, pids: Collection[int]) -> Sequence[Reading | Lost]:
        """Each device as it is now; pids: the processes of this place whose use is wanted.

        Blocks, at times for long: it is called in a thread, one call at a time. Raises OSError for what may pass.
        """

    def close(self) -> None:
        """Let go of what it measures with; called once, in no other call."""


@dataclass(frozen=True, slots=True)
class Budgets:
    """Fixed devices: all of each is ours, and nothing is measured."""

    sizes: Mapping[str, int] = field(default_factory=dict)

    @property
    def devices(self) -> Mapping[str, Kind]:
        """See `DeviceSource`."""
        return dict.fromkeys(self.sizes, Kind.FIXED)

    def read(self, pids: Collection[int]) -> Sequence[Reading | Lost]:
        """See `DeviceSource`."""
        return [Reading(name, Kind.FIXED, total) for name, total in self.sizes.items()]

    def close(self) -> None:
        """See `DeviceSource`."""


def found(wanted: Sequence[DeviceSettings]) -> list[DeviceSource]:
    """The sources of these devices; of all that there are, if none is named. May take a second: call it in a thread.

    What is named and not there is a Lost in the source's readings, so that people see it.
    """
    of_kind = {kind: [each for each in wanted if each.kind == kind.value] for kind in Kind}
    sources: list[DeviceSource] = []
    named = [Card(each.name, each.card, each.memory) for each in of_kind[Kind.NVIDIA]]
    if named or not wanted:
        library, why = opened()
        if library is not None:
            cards = Cards(library, named)
            sources += [cards] if cards.devices else []
        elif named:
            sources.append(Missing({each.name: why for each in named}))
        log.info("devices.nvidia", found=library is not None, why=why)
    if of_kind[Kind.SYSTEM] or not wanted:
        own = next(iter(of_kind[Kind.SYSTEM]), DeviceSettings(name="system", kind="system"))
        sources.append(MainMemory(own.name, own.memory))
    if of_kind[Kind.FIXED]:
        sources.append(Budgets({each.name: each.memory for each in of_kind[Kind.FIXED]}))
    return sources


@dataclass(frozen=True, slots=True)
class Missing:
    """Cards that the settings name and that cannot be asked. why: by name, a sentence."""

    why: Mapping[str, str]

    @property
    def devices(self) -> Mapping[str, Kind]:
        """See `DeviceSource`."""
        return dict.fromkeys(self.why, Kind.NVIDIA)

    def read(self, pids: Collection[int]) -> Sequence[Reading | Lost]:
        """See `DeviceSource`."""
        return [Lost(name, why) for name, why in self.why.items()]

    def close(self) -> None:
        """See `DeviceSource`."""
