"""The machine's main memory as the kernel tells of it, within the limits of the control groups of this process."""

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from actors.gpu.processes import PROC, held
from actors.gpu.reading import Lost, Reading, limited
from actors.gpu.words import Kind

GROUPS = Path("/sys/fs/cgroup")
UNLIMITED = 2**60
"""Version 1 has a number for no limit, which differs from kernel to kernel and is larger than this."""


@dataclass(frozen=True, slots=True)
class Room:
    """total: bytes that there are. used: those that could not be given to somebody else at once."""

    total: int
    used: int


class MainMemory:
    """One device. Implements `devices.DeviceSource`. memory: how much of it is of concern; 0: all."""

    def __init__(self, name: str, memory: int = 0, proc: Path = PROC, groups: Path = GROUPS) -> None:
        self._name = name
        self._memory = memory
        self._proc = proc
        self._groups = groups

    @property
    def devices(self) -> Mapping[str, Kind]:
        """See `DeviceSource`."""
        return {self._name: Kind.SYSTEM}

    def read(self, pids: Collection[int]) -> Sequence[Reading | Lost]:
        """See `DeviceSource`. A system without /proc tells how much there is and not who uses it."""
        if not (self._proc / "meminfo").exists():
            whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
            return [Reading(self._name, Kind.SYSTEM, *limited(whole, 0, self._memory))]
        room = tightest(of_machine(self._proc), of_groups(self._proc, self._groups))
        found = {pid: size for pid in pids if (size := held(pid, self._proc)) is not None}
        return [Reading(self._name, Kind.SYSTEM, *limited(room.total, room.used, self._memory), found)]

    def close(self) -> None:
        """See `DeviceSource`."""


def of_machine(proc: Path = PROC) -> Room:
    """What /proc/meminfo tells. Files that are cached count as free, mapped ones too: the kernel can take them back."""
    sizes = _numbers(proc / "meminfo", scale=1024)
    total = sizes["MemTotal:"]
    return Room(total, max(0, total - sizes.get("MemAvailable:", sizes["MemFree:"])))


def of_groups(proc: Path = PROC, groups: Path = GROUPS) -> Iterator[Room]:
    """What the control groups that hold this process may use; none where there is no limit."""
    for line in _lines(proc / "self" / "cgroup"):
        _, kinds, path = line.split(":", 2)
        if kinds == "":
            yield from _limits(groups, path, "memory.max", "memory.current", "file", "shmem")
        elif "memory" in kinds.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_cache", "total_shmem")
            yield from _limits(groups / "memory", path, *names)


def _limits(root: Path, path: str, limit: str, current: str, cached: str, shared: str) -> Iterator[Room]:
    """Of a group and those around it, up to the one that is seen from here."""
    inner = root / path.lstrip("/")
    for folder in (inner, *inner.parents):
        if not folder.is_relative_to(root):
            return
        most, now = _number(folder / limit), _number(folder / current)
        if most is not None and now is not None and most < UNLIMITED:
            told = _numbers(folder / "memory.stat")
            free_again = max(0, told.get(cached, 0) - told.get(shared, 0))
            yield Room(most, max(0, now - free_again))


def tightest(machine: Room, groups: Iterator[Room]) -> Room:
    """The smallest total of all, and so much used that what is free is the least that is free anywhere."""
    rooms = [machine, *groups]
    total = min(room.total for room in rooms)
    free = min(room.total - room.used for room in rooms)
    return Room(total, max(0, total - free))


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text("utf-8", "replace").splitlines()
    except OSError:
        return []


def _number(file: Path) -> int | None:
    text = "".join(_lines(file)).strip()
    return int(text) if text.isdecimal() else None


def _numbers(file: Path, scale: int = 1) -> dict[str, int]:
    """Lines of a name and a number, as meminfo and memory.stat have them."""
    found = (line.split() for line in _lines(file))
    return {words[0]: int(words[1]) * scale for words in found if len(words) > 1 and words[1].isdecimal()}
