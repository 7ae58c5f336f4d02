"""What others use of a device, from what was measured and who holds it. Pure: readings in, `DeviceSeen` out.

1. A budget is not measured: nobody else uses it.
2. Where the processes of all loaded leases are found in the measurement, what they hold is ours, and the rest of what
   is used is others'. A process counts only on devices of which its leases have a share; elsewhere it is like others.
3. Where they are not (drivers under WSL, processes of another container), what loaded leases were measured to take or
   were granted is taken for ours. While one loads nobody can say how far it is: others are as many as before, or more
   if even with all that it was granted more is used.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from actors.gpu.reading import Held, Reading
from actors.gpu.words import DeviceSeen, Kind


@dataclass(frozen=True, slots=True)
class Holding:
    """A lease's part of one device. pid: seen from here; 0: not known. size: measured, else granted."""

    device: str
    pid: int
    size: int
    loaded: bool


class Accounts:
    """Of all devices of a machine. cap: the share of each that may be used."""

    def __init__(self, cap: float) -> None:
        self._cap = cap
        self._quiet: dict[str, int] = {}
        """What others used when nothing was loading."""

    def seen(self, reading: Reading, holdings: Sequence[Holding]) -> DeviceSeen:
        """What the scheduler is told of a measurement. holdings: of all leases; those of other devices are passed."""
        own = [each for each in holdings if each.device == reading.device]
        others, ours = self._split(reading, own)
        if all(each.loaded for each in own):
            self._quiet[reading.device] = others
        return DeviceSeen(reading.device, reading.kind, reading.total, others, ours, self._cap)

    def _split(self, reading: Reading, own: Sequence[Holding]) -> tuple[int, int | None]:
        if reading.kind is Kind.FIXED:  # 1
            return 0, None
        if reading.held is not None and _all_found(own, reading.held):  # 2
            held = [reading.held[pid] for pid in {each.pid for each in own} if pid in reading.held]
            counted = sum(each.counted for each in held)
            return max(0, reading.used - counted), sum(each.whole for each in held)
        if not own:
            return reading.used, 0
        ready = sum(each.size for each in own if each.loaded)  # 3
        coming = sum(each.size for each in own if not each.loaded)
        before = self._quiet.get(reading.device, 0) if coming else 0
        return max(0, before, reading.used - ready - coming), None


def _all_found(own: Sequence[Holding], held: Mapping[int, Held]) -> bool:
    """One that loads need not hold anything yet."""
    return all(each.pid and (each.pid in held or not each.loaded) for each in own)
