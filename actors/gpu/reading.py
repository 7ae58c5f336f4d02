"""What was measured of a device at one moment. Sizes are bytes."""

from collections.abc import Mapping
from dataclasses import dataclass

from actors.gpu.words import Kind


@dataclass(frozen=True, slots=True)
class Held:
    """What one process holds of a device.

    whole: all that must stay there for it to be fast. counted: the part of it that the device's `used` contains.
    """

    whole: int
    counted: int


@dataclass(frozen=True, slots=True)
class Reading:
    """A device as it was measured.

    used: by everybody. held: by processes, of those that were asked for and use any; None: processes cannot be told
    apart here. utilization: share of the time in which it computed, 0 to 1; temperature: degrees Celsius; power: watts;
    None: not known.
    """

    device: str
    kind: Kind
    total: int
    used: int = 0
    held: Mapping[int, Held] | None = None
    utilization: float | None = None
    temperature: float | None = None
    power: float | None = None


@dataclass(frozen=True, slots=True)
class Lost:
    """A device that does not answer. why: a sentence."""

    device: str
    why: str


def limited(total: int, used: int, memory: int) -> tuple[int, int]:
    """A device of which only `memory` is of concern, 0 for all: its total, and what is used of that.

    What lies beyond takes in others' use first.
    """
    if not memory or memory >= total:
        return total, used
    return memory, max(0, used - (total - memory))
