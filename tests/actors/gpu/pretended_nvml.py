"""What the module pynvml is, for cards that are not there. A driver is one object; a seed decides what its cards do."""

import random
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any


class NVMLError(Exception):
    """As the library's: `value` is NVML's own code."""

    def __init__(self, value: int) -> None:
        super().__init__({1: "Uninitialized", 2: "Invalid Argument", 3: "Not Supported", 15: "GPU is lost"}[value])
        self.value = value


UNINITIALIZED, INVALID, NOT_SUPPORTED, LOST = 1, 2, 3, 15


@dataclass
class PretendedCard:
    """One card. processes: bytes by process that computes; drawing: by process that draws. reserved: by the driver.

    silent: it does not tell what each process uses, as under WSL. lost: it has fallen off the bus.
    """

    uuid: str
    total: int
    reserved: int = 500 * 2**20
    processes: dict[int, int] = field(default_factory=dict)
    drawing: dict[int, int] = field(default_factory=dict)
    silent: bool = False
    lost: bool = False
    telling: bool = True

    @property
    def used(self) -> int:
        """Of a process that does both, one figure is told twice."""
        return self.reserved + sum({**self.drawing, **self.processes}.values())


class PretendedNvml:
    """Has the functions and constants that actors/gpu/nvidia.py names. loaded: the driver is there."""

    NVMLError = NVMLError
    NVML_TEMPERATURE_GPU = 0

    def __init__(self, *cards: PretendedCard, seed: int = 0) -> None:
        self.cards = list(cards)
        self.initialised = 1
        self._random = random.Random(seed)

    def _open(self) -> None:
        if not self.initialised:
            raise NVMLError(UNINITIALIZED)

    def nvmlInit(self) -> None:  # noqa: N802 - the library's names
        self.initialised += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self._open()
        self.initialised -= 1

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        self._open()
        return len(self.cards)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> PretendedCard:  # noqa: N802
        self._open()
        if not 0 <= index < len(self.cards):
            raise NVMLError(INVALID)
        return self.cards[index]

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> PretendedCard:  # noqa: N802
        self._open()
        found = [card for card in self.cards if card.uuid == uuid]
        if not found:
            raise NVMLError(INVALID)
        return found[0]

    def _answer(self, card: PretendedCard) -> PretendedCard:
        self._open()
        if card.lost:
            raise NVMLError(LOST)
        return card

    def nvmlDeviceGetMemoryInfo(self, card: PretendedCard) -> Any:  # noqa: N802
        used = self._answer(card).used
        return SimpleNamespace(total=card.total, used=used, free=card.total - used)

    def nvmlDeviceGetComputeRunningProcesses(self, card: PretendedCard) -> list[Any]:  # noqa: N802
        return self._listed(card, card.processes)

    def nvmlDeviceGetGraphicsRunningProcesses(self, card: PretendedCard) -> list[Any]:  # noqa: N802
        if not card.drawing:
            raise NVMLError(NOT_SUPPORTED)
        return self._listed(card, card.drawing)

    def _listed(self, card: PretendedCard, processes: dict[int, int]) -> list[Any]:
        self._answer(card)
        listed = [
            SimpleNamespace(pid=pid, usedGpuMemory=None if card.silent else size) for pid, size in processes.items()
        ]
        self._random.shuffle(listed)
        return listed

    def nvmlDeviceGetUtilizationRates(self, card: PretendedCard) -> Any:  # noqa: N802
        self._told(card)
        return SimpleNamespace(gpu=self._random.randint(0, 100), memory=0)

    def nvmlDeviceGetTemperature(self, card: PretendedCard, sensor: int) -> int:  # noqa: N802
        self._told(card)
        return self._random.randint(30, 90)

    def nvmlDeviceGetPowerUsage(self, card: PretendedCard) -> int:  # noqa: N802
        self._told(card)
        return self._random.randint(20_000, 400_000)

    def _told(self, card: PretendedCard) -> None:
        self._answer(card)
        if not card.telling:
            raise NVMLError(NOT_SUPPORTED)
