"""Windows' subsystem for Linux, as a hub finds it: docs/windows.md tells how it is set up."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cli.plain_text import size_text

NVIDIA_SMI = "/usr/lib/wsl/lib/nvidia-smi"
"""Where Windows' driver puts it; seldom on the PATH of services."""

WINDOWS_DISKS = frozenset({"9p", "drvfs", "v9fs", "virtiofs"})
"""File systems by which WSL shows disks of Windows."""

LITTLE_MEMORY = 4 * 1024**3


@dataclass(frozen=True, slots=True)
class Wsl:
    """What there is. version: 1 or 2; gpu: Windows passes a card through; driver: with NVIDIA's driver for it.

    memory: bytes that Windows gives; disks: mount points of Windows' disks.
    """

    version: int
    kernel: str
    systemd: bool
    gpu: bool
    driver: bool
    memory: int
    disks: tuple[str, ...]

    def on_windows_disk(self, path: Path) -> bool:
        """The path lies on a disk of Windows, which every access reaches by messages to Windows."""
        return any(PurePosixPath(path).is_relative_to(disk) for disk in self.disks)


def found(root: Path = Path("/")) -> Wsl | None:
    """What is found under `root`; None where this is no WSL."""
    kernel = _text(root / "proc/sys/kernel/osrelease").strip()
    if "microsoft" not in kernel.lower():
        return None
    return Wsl(
        version=2 if "wsl2" in kernel.lower() or (root / "run/WSL").is_dir() else 1,
        kernel=kernel,
        systemd=(root / "run/systemd/system").is_dir(),
        gpu=(root / "dev/dxg").exists(),
        driver=(root / NVIDIA_SMI.lstrip("/")).exists(),
        memory=_memory(_text(root / "proc/meminfo")),
        disks=tuple(_disks(_text(root / "proc/mounts"))),
    )


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8", errors="replace")
    except OSError:
        return ""


def _memory(meminfo: str) -> int:
    line = next((line for line in meminfo.splitlines() if line.startswith("MemTotal:")), "")
    words = line.split()
    return int(words[1]) * 1024 if len(words) > 1 and words[1].isdigit() else 0


def _disks(mounts: str) -> Iterator[str]:
    for line in mounts.splitlines():
        fields = line.split(" ")
        # WSL mounts folders of its own in the same way, for its drivers, below /usr/lib/wsl.
        if len(fields) > 2 and fields[2] in WINDOWS_DISKS and not fields[1].startswith("/usr/lib/wsl"):
            yield fields[1].replace("\\040", " ")


# ---- for the doctor: what is so, and what mends it; an empty remedy where nothing is to be done


def version(wsl: Wsl) -> tuple[bool, str, str]:
    """Whether it can carry a hub."""
    if wsl.version == 1:
        return False, f"WSL 1 ({wsl.kernel})", "in PowerShell: wsl --set-version NAME 2 (wsl --list names it)"
    started = "systemd runs" if wsl.systemd else "no systemd, which only services need"
    remedy = "" if wsl.systemd else "systemd=true below [boot] in /etc/wsl.conf, then in PowerShell: wsl --shutdown"
    return True, f"WSL 2 ({wsl.kernel}); {started}", remedy


def memory(wsl: Wsl) -> tuple[bool, str, str]:
    """Whether Windows gives enough of its memory, which is half of it unless told otherwise."""
    enough = wsl.memory >= LITTLE_MEMORY
    remedy = (
        "" if enough else "memory=12GB below [wsl2] in %UserProfile%\\.wslconfig, then in PowerShell: wsl --shutdown"
    )
    return enough, f"Windows gives {size_text(wsl.memory) or 'an unknown part'} of its memory", remedy


def card(wsl: Wsl) -> tuple[str, str]:
    """Why no card is found, and what to do."""
    if wsl.gpu and not wsl.driver:
        return (
            "Windows passes a card through, without NVIDIA's driver",
            "install NVIDIA's driver in Windows, none in WSL",
        )
    if not wsl.gpu:
        return "Windows passes no card through", "in PowerShell: wsl --update, and a driver for WSL in Windows"
    return "the card that Windows passes through does not answer", "in PowerShell: wsl --shutdown, then try again"
