"""NVIDIA's cards, through NVML as `nvidia-ml-py` has it.

The library is given as an object, so that a pretended one takes its place in tests; it has the functions and constants
of the module pynvml that are named here. Every call blocks.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog

from actors.gpu.reading import Held, Lost, Reading, limited
from actors.gpu.words import Kind

PREFIX = "nvidia"
"""Cards that nobody has named are called so, with their number."""

T = TypeVar("T")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Card:
    """A card that the settings name. card: its number or UUID; empty: the first that nobody names. memory: 0: all."""

    name: str
    card: str = ""
    memory: int = 0


def opened() -> tuple[Any, str]:
    """The library, ready to be asked, and ""; or None and why there is none, as a sentence."""
    try:
        import pynvml
    except ImportError:
        return None, "The package nvidia-ml-py is not installed."
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return None, f"NVIDIA's driver does not answer: {error}."
    return pynvml, ""


class Cards:
    """The cards of a machine. Implements `devices.DeviceSource`.

    wanted: those that are of concern; none: every one that is there.
    """

    def __init__(self, library: Any, wanted: Sequence[Card] = ()) -> None:
        self._library = library
        self._error: type[Exception] = library.NVMLError
        self._wanted = list(wanted) or [Card(f"{PREFIX}{index}", str(index)) for index in range(self._count())]
        self._handles: dict[str, Any] = {}

    @property
    def devices(self) -> Mapping[str, Kind]:
        """See `DeviceSource`."""
        return dict.fromkeys((card.name for card in self._wanted), Kind.NVIDIA)

    def read(self, pids: Collection[int]) -> Sequence[Reading | Lost]:
        """See `DeviceSource`. One card that is lost does not hide the others."""
        return [self._read(card) for card in self._wanted]

    def close(self) -> None:
        """See `DeviceSource`."""
        self._optional(self._library.nvmlShutdown)

    def _read(self, card: Card) -> Reading | Lost:
        library = self._library
        try:
            handle = self._handle(card)
            memory = library.nvmlDeviceGetMemoryInfo(handle)
            held = self._held(handle)
        except self._error as error:
            self._reopen(card)
            return Lost(card.name, f"{card.name} does not answer: {error}.")
        total, used = int(memory.total), int(memory.used)
        rates = self._optional(library.nvmlDeviceGetUtilizationRates, handle)
        temperature = self._optional(library.nvmlDeviceGetTemperature, handle, library.NVML_TEMPERATURE_GPU)
        power = self._optional(library.nvmlDeviceGetPowerUsage, handle)
        return Reading(
            card.name,
            Kind.NVIDIA,
            *limited(total, used, card.memory),
            held,
            None if rates is None else rates.gpu / 100,
            None if temperature is None else float(temperature),
            None if power is None else power / 1000,
        )

    def _handle(self, card: Card) -> Any:
        if card.name not in self._handles:
            self._handles[card.name] = self._found(card)
        return self._handles[card.name]

    def _found(self, card: Card) -> Any:
        library = self._library
        if card.card and not card.card.isdecimal():
            return library.nvmlDeviceGetHandleByUUID(card.card)
        return library.nvmlDeviceGetHandleByIndex(int(card.card) if card.card else self._first_unnamed(card))

    def _first_unnamed(self, card: Card) -> int:
        taken = {int(other.card) for other in self._wanted if other.card.isdecimal()}
        unsaid = [other for other in self._wanted if not other.card]
        free = [index for index in range(self._count()) if index not in taken]
        place = unsaid.index(card)
        # One beyond the last is answered by NVML's own error.
        return free[place] if place < len(free) else self._count()

    def _held(self, handle: Any) -> Mapping[int, Held] | None:
        """What each process uses; None where the driver does not say, as under WSL and on some virtual machines."""
        library = self._library
        listed = [*library.nvmlDeviceGetComputeRunningProcesses(handle)]
        listed += self._optional(library.nvmlDeviceGetGraphicsRunningProcesses, handle) or []
        # A process that computes and draws is in both lists, with the same figure.
        used = {int(each.pid): each.usedGpuMemory for each in listed}
        if any(size is None for size in used.values()):
            return None
        return {pid: Held(int(size), int(size)) for pid, size in used.items()}

    def _count(self) -> int:
        return int(self._optional(self._library.nvmlDeviceGetCount) or 0)

    def _reopen(self, card: Card) -> None:
        """A handle does not outlive a reset of its card, nor the library a reload of the driver."""
        self._handles.pop(card.name, None)
        self._optional(self._library.nvmlInit)

    def _optional(self, function: Callable[..., T], *arguments: Any) -> T | None:
        """None for what this card or driver does not tell."""
        try:
            return function(*arguments)
        except self._error:
            return None
