"""The CUDA toolkit that llama.cpp is compiled with: the machine's own, else NVIDIA's wheels in a folder of their own.

Stands on the standard library alone: set-up asks before anything is installed.
"""

import platform
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cli.card import newer
from cli.finding import asked

WHEELS = "cuda-toolkit[nvcc,cudart,cccl,cublas]==13.0.3.0"
"""Before CUDA 13 NVIDIA's wheels lack the compiler itself (seen in nvidia-cuda-nvcc-cu12 12.9.86)."""

WHEELS_CUDA = "13.0"
WHEELS_MEGABYTES = 600
"""To fetch."""

USUAL = Path("/usr/local/cuda/bin/nvcc")

_RELEASE = re.compile(r"release (\d+\.\d+)")
_VERSIONED = re.compile(r"(lib\w+\.so)\.\d+")


@dataclass(frozen=True, slots=True)
class Toolkit:
    """One that is there. nvcc: its compiler. cuda: its version. root: of one that came in wheels; else None."""

    nvcc: str
    cuda: str
    root: Path | None = None


def folder(prefix: Path = Path(sys.prefix)) -> Path:
    """Where the wheels are put, apart from those that PyTorch brings, whose versions are other ones."""
    return prefix / "share" / "troupe" / "cuda"


def found(environ: Mapping[str, str], driver: str = "", prefix: Path = Path(sys.prefix)) -> Toolkit | None:
    """The first that is no newer than the driver, if any is; else the first; None if there is none.

    Looked for where the environment says, on PATH, in its usual place, and among the wheels. driver: its CUDA version.
    """
    there = [tools for tools in (_of_machine(environ), fetched(prefix)) if tools is not None]
    return next((tools for tools in there if not newer(tools.cuda, driver)), there[0] if there else None)


def fetched(prefix: Path = Path(sys.prefix)) -> Toolkit | None:
    """The one that came in wheels; None if none did."""
    root = folder(prefix) / "nvidia" / "cu13"
    nvcc = str(root / "bin" / "nvcc")
    cuda = _version(nvcc)
    return Toolkit(nvcc, cuda, root) if cuda else None


def _of_machine(environ: Mapping[str, str]) -> Toolkit | None:
    homes = [environ[name] for name in ("CUDA_HOME", "CUDA_PATH", "CUDAToolkit_ROOT") if environ.get(name)]
    named = [environ.get("CUDACXX", ""), *(f"{home}/bin/nvcc" for home in homes)]
    for path in (*named, shutil.which("nvcc", path=environ.get("PATH", "")) or "", str(USUAL)):
        if path and (cuda := _version(path)):
            return Toolkit(path, cuda)
    return None


def in_wheels() -> bool:
    """NVIDIA has wheels of it for this machine."""
    return sys.platform == "linux" and platform.machine() in ("x86_64", "aarch64")


def prepare(root: Path) -> None:
    """Give the libraries of the wheels the names and the folder where linkers look for them. Raises OSError.

    So CMake 3.25 finds them, and llama.cpp's CUDA sources compile and link (seen with WHEELS, without a card).
    """
    if not (root / "lib64").exists():  # the place that nvcc.profile tells the linker
        (root / "lib64").symlink_to("lib")
    for library in (root / "lib").glob("lib*.so.*"):
        named = _VERSIONED.fullmatch(library.name)
        if named and not (link := library.with_name(named[1])).exists():
            link.symlink_to(library.name)


def _version(nvcc: str) -> str:
    ended, told = asked([nvcc, "--version"])
    release = _RELEASE.search(told) if ended else None
    return release[1] if release else ""
