"""What computes on this machine, by the names that people know."""

import platform
from functools import cache
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
CARDS = Path("/proc/driver/nvidia/gpus")
KEYS = ("model name", "Model name", "Hardware", "cpu model")


@cache
def processor(cpuinfo: Path = CPUINFO) -> str:
    """For example "AMD EPYC 7B13"; the kind of machine where the system does not tell."""
    try:
        lines = cpuinfo.read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    told = (line.partition(":") for line in lines)
    return next((rest.strip() for key, _, rest in told if key.strip() in KEYS and rest.strip()), platform.machine())


@cache
def card(cards: Path = CARDS) -> str:
    """The first NVIDIA card, for example "NVIDIA H200"; "NVIDIA card" where the driver does not tell."""
    try:
        files = sorted(cards.glob("*/information"))
        lines = files[0].read_text("utf-8", "replace").splitlines() if files else []
    except OSError:
        lines = []
    told = (line.partition(":") for line in lines)
    return next((rest.strip() for key, _, rest in told if key.strip() == "Model" and rest.strip()), "NVIDIA card")
