"""Processes of this machine as the kernel tells of them."""

import os
from pathlib import Path

from actors.gpu.reading import Held

PROC = Path("/proc")

_BEGAN = 22 - 3
"""Place of the starting time in /proc/<pid>/stat behind the name: the 22nd field, and the name is the second."""


def namespace(proc: Path = PROC) -> str:
    """Where this process's numbers hold, as `Holder.pid_namespace` has it; empty: the system does not tell."""
    try:
        return str((proc / "self" / "ns" / "pid").readlink())
    except OSError:
        return ""


def began(pid: int, proc: Path = PROC) -> int:
    """When a process began, in clock ticks since the machine did; 0: there is none, or it has ended."""
    try:
        fields = (proc / str(pid) / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return 0
    # A zombie holds no memory.
    return 0 if not fields or fields[0] in "ZXx" else int(fields[_BEGAN])


def held(pid: int, proc: Path = PROC) -> Held | None:
    """What a process holds of the main memory; None: it has ended, or is not ours to look at.

    Its proportional share (PSS): a page that several processes have counts for each in part, so that replicas that map
    one file of weights are not counted twice. Mapped files count, though the kernel could take their pages back at any
    time: weights that are read from the disk at each token are no loaded model. But what the kernel tells to be
    available contains them already, so they are not `counted`.
    """
    try:
        lines = (proc / str(pid) / "smaps_rollup").read_text().splitlines()
    except FileNotFoundError:
        return _held_plainly(pid, proc)
    except OSError:
        return None
    sizes = {name: int(rest.split()[0]) * 1024 for name, _, rest in (line.partition(":") for line in lines[1:]) if rest}
    if "Pss" not in sizes:
        return None
    files = sizes.get("Pss_File", max(0, sizes["Pss"] - sizes.get("Anonymous", sizes["Pss"])))
    return Held(sizes["Pss"], sizes["Pss"] - files)


def _held_plainly(pid: int, proc: Path) -> Held | None:
    """The same from a kernel that adds nothing up: all that is resident, shared or not."""
    try:
        _, resident, shared, *_ = map(int, (proc / str(pid) / "statm").read_text().split())
    except (OSError, ValueError):
        return None
    page = os.sysconf("SC_PAGE_SIZE")
    return Held(resident * page, (resident - shared) * page)
