"""What devices have, and where something fits.

A room is a mapping from a device's name to bytes; what does not appear in it cannot be used.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from actors.gpu.words import DeviceSeen, Kind, Shares

Room = dict[str, int]

MAX_DEVICES = 64
"""Of one machine. A further one is not taken in."""


@dataclass(slots=True)
class Device:
    """One device as it was last measured. ours: what our holders use; None: it cannot be told."""

    name: str
    kind: Kind
    total: int
    cap: float
    others: int
    ours: int | None
    lost: bool = False

    @property
    def limit(self) -> int:
        """Bytes that may be used, by everybody."""
        return int(self.total * self.cap)


@dataclass(frozen=True, slots=True)
class Need:
    """What something takes: bytes by kind; fixed: of a FIXED device instead, alone.

    devices: the only ones, in this order; empty: any. spread: the largest share may lie on several in equal parts.
    """

    sizes: Mapping[Kind, int]
    fixed: int
    devices: Sequence[str] = ()
    spread: bool = False


class Ledger:
    """The devices of one machine."""

    def __init__(self) -> None:
        self.devices: dict[str, Device] = {}

    def seen(self, seen: DeviceSeen) -> None:
        """A device was measured."""
        if seen.device in self.devices or len(self.devices) < MAX_DEVICES:
            device = Device(seen.device, seen.kind, seen.total, seen.cap, seen.others, seen.ours)
            self.devices[seen.device] = device

    def lost(self, name: str) -> None:
        """A device answers no more."""
        if name in self.devices:
            self.devices[name].lost = True

    def given_back(self, shares: Shares) -> None:
        """Memory was seen to be free: the last measurement still had it."""
        for name, count in shares.items():
            device = self.devices.get(name)
            if device is not None and device.ours is not None:
                device.ours = max(0, device.ours - count)

    def limits(self) -> Room:
        """What each device that answers may have in use at all."""
        return {name: device.limit for name, device in self.devices.items() if not device.lost}

    def room(self, charged: Shares) -> Room:
        """What may still be granted beside these charges; negative above the cap.

        Where our holders are seen to use more than they were granted, that counts.
        """
        return {
            name: device.limit - device.others - max(charged.get(name, 0), device.ours or 0)
            for name, device in self.devices.items()
            if not device.lost
        }

    def place(self, need: Need, room: Room) -> Shares | None:
        """Where it fits, or None: in the order that it names, else on the fewest devices and in the tightest place."""
        fitting = [shares for shares in self.options(need, room) if fits(shares, room)]
        if need.devices or not fitting:
            return fitting[0] if fitting else None
        return min(fitting, key=lambda shares: (len(shares), _left(shares, room)))

    def options(self, need: Need, room: Room) -> Iterator[Shares]:
        """Each way to lay it on devices; over several, on those that have most room."""
        names = [name for name in need.devices or self.devices if name in room]
        for name in names:
            if self.devices[name].kind is Kind.FIXED:
                yield {name: need.fixed}
        by_kind = {kind: [name for name in names if self.devices[name].kind is kind] for kind in need.sizes}
        if Kind.FIXED in need.sizes or not all(by_kind.values()):
            return
        largest = max(need.sizes, key=lambda kind: need.sizes[kind])
        beside = [[(name, need.sizes[kind]) for name in by_kind[kind]] for kind in need.sizes if kind is not largest]
        for main in _parts(need.sizes[largest], by_kind[largest], room, spread=need.spread):
            for rest in product(*beside):
                yield {**main, **dict(rest)}


def _parts(size: int, names: Sequence[str], room: Room, *, spread: bool) -> Iterator[Shares]:
    for name in names:
        yield {name: size}
    if spread:
        roomiest = sorted(names, key=lambda name: -room[name])
        for count in range(2, len(names) + 1):
            yield dict.fromkeys(roomiest[:count], -(-size // count))


def fits(shares: Shares, room: Room) -> bool:
    """Each share has its room."""
    return all(name in room and count <= room[name] for name, count in shares.items())


def _left(shares: Shares, room: Room) -> int:
    return sum(room[name] - count for name, count in shares.items())


def add(room: Room, shares: Shares, times: int = 1) -> None:
    """Add shares to a room, or take them out (-1). Devices that the room does not have are left out."""
    for name, count in shares.items():
        if name in room:
            room[name] += times * count


def summed(room: Room, holdings: Iterable[Shares]) -> Room:
    """A room with these shares given back to it."""
    found = dict(room)
    for shares in holdings:
        add(found, shares)
    return found
