"""The NVIDIA cards of this machine, as the driver's own program tells.

Stands on the standard library alone: set-up asks before anything is installed.
"""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from cli import wsl
from cli.finding import asked

_CUDA = re.compile(r"CUDA Version\s*:\s*(\d+\.\d+)")


@dataclass(frozen=True, slots=True)
class Cards:
    """One or several, and their driver.

    names: as the driver has them. compute: their compute capabilities, "8.9"; empty where the driver does not tell.
    cuda: the newest CUDA that the driver runs, "12.4"; empty where it does not tell.
    """

    names: tuple[str, ...]
    compute: tuple[str, ...] = ()
    cuda: str = ""

    def __str__(self) -> str:
        return ", ".join(dict.fromkeys(self.names))


def program() -> str | None:
    """The driver's program; None where there is none."""
    return shutil.which("nvidia-smi") or (wsl.NVIDIA_SMI if Path(wsl.NVIDIA_SMI).exists() else None)


def found() -> Cards | None:
    """The cards that can be used now; None if there are none."""
    path = program()
    if path is None:
        return None
    ended, told = asked([path, "--query-gpu=name,compute_cap", "--format=csv,noheader"])
    if not ended:  # drivers before 510 do not know the capability
        ended, told = asked([path, "--query-gpu=name", "--format=csv,noheader"])
    if not ended or not told:
        return None
    rows = [[cell.strip() for cell in line.rsplit(",", 1)] for line in told.splitlines()]
    compute = sorted({row[1] for row in rows if len(row) == 2 and re.fullmatch(r"\d+\.\d+", row[1])})
    ended, banner = asked([path])
    version = _CUDA.search(banner) if ended else None
    return Cards(tuple(row[0] for row in rows), tuple(compute), version[1] if version else "")


def newer(one: str, other: str) -> bool:
    """Whether CUDA `one` is of a later major version than `other`; False where either is not known."""
    return bool(one and other) and int(one.partition(".")[0]) > int(other.partition(".")[0])
