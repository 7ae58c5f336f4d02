"""Whether models run together under the caps of the devices there are: places them one by one, as a plan on paper.

The stage decides for itself when they are loaded; this tells beforehand how it would come out if nobody else came.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from troupe.gpu.v1 import LeaseInfo, WatchResponse
    from troupe.model.v1 import MemoryWay, ModelPlan


@dataclass(frozen=True, slots=True)
class Placed:
    """One model.

    shares: bytes by device; empty: there is no room. change: with which it would have some.

    measured: it is loaded, and these are its own. lacks: bytes. unknown: its family does not tell what it takes.
    """

    name: str
    shares: Mapping[str, int]
    measured: bool = False
    change: str = ""
    lacks: int = 0
    unknown: bool = False


@dataclass(frozen=True, slots=True)
class Together:
    """All of them.

    gone: leases that would have to end. left: bytes by device that remain under the cap. pinned: leases of others that
    stay.
    """

    models: Sequence[Placed]
    gone: Sequence[str] = ()
    left: Mapping[str, int] = field(default_factory=dict)
    pinned: Sequence[str] = ()

    @property
    def fits(self) -> bool:
        """Whether there is room for every one."""
        return all(model.shares for model in self.models)


def together(plans: "Sequence[ModelPlan]", picture: "WatchResponse") -> Together:
    """Place them in the order in which they are named; what is pinned stays where it is."""
    plans = list({plan.model.qualified_name or plan.model.name: plan for plan in plans}.values())
    room = {device.name: device.cap_bytes - device.others_bytes for device in picture.devices if not device.lost}
    others = _others(plans, picture)
    for lease in others:
        for share in lease.shares if lease.pinned else ():
            room[share.device] = room.get(share.device, 0) - share.bytes
    pinned = [lease.name for lease in others if lease.pinned]
    placed = []
    for plan in plans:
        name, ways = plan.model.name, list(plan.ways)
        if not ways:
            placed.append(Placed(name, {}, unknown=True))
            continue
        first, measured = _first(plan)
        shares = _place(first, room, picture)
        for device, size in shares.items():
            room[device] -= size
        fitting = next((way.note for way in ways[1:] if not shares and _place(way, room, picture)), "")
        lacks = 0 if shares else max(0, _largest(first) - max(room.values(), default=0))
        placed.append(Placed(name, shares, measured, fitting, lacks))
    return Together(placed, _gone([lease for lease in others if not lease.pinned], room), room, pinned)


def _others(plans: "Sequence[ModelPlan]", picture: "WatchResponse") -> "list[LeaseInfo]":
    """Leases of what is not planned."""
    names = {name for plan in plans for name in (plan.model.qualified_name, plan.model.name)}
    return [lease for lease in picture.leases if lease.name not in names]


def _first(plan: "ModelPlan") -> "tuple[MemoryWay, bool]":
    """As it was measured, if it is loaded, else as it is estimated."""
    from troupe.model.v1 import MemoryWay

    first = plan.ways[0]
    if not plan.measured_host_bytes:
        return first, False
    sizes = (plan.measured_accelerator_bytes, plan.measured_host_bytes)
    return MemoryWay(accelerator_bytes=sizes[0], host_bytes=sizes[1], spread=first.spread), True


def _largest(way: "MemoryWay") -> int:
    return max(way.accelerator_bytes, way.host_bytes)


def _place(way: "MemoryWay", room: Mapping[str, int], picture: "WatchResponse") -> dict[str, int]:
    """Bytes by device; empty where they do not fit. A fixed device gives the larger share, alone."""
    from troupe.gpu.v1 import DeviceKind

    def roomiest(kind: int) -> list[str]:
        names = [device.name for device in picture.devices if device.kind == kind and device.name in room]
        return sorted(names, key=lambda name: -room[name])

    main, cards = roomiest(DeviceKind.DEVICE_KIND_SYSTEM), roomiest(DeviceKind.DEVICE_KIND_NVIDIA)
    if main and room[main[0]] >= way.host_bytes:
        host = {main[0]: way.host_bytes}
        if not way.accelerator_bytes:
            return host
        for count in range(1, (len(cards) if way.spread else 1) + 1):
            part = -(-way.accelerator_bytes // count)
            if len(cards) >= count and room[cards[count - 1]] >= part:
                return host | dict.fromkeys(cards[:count], part)
    fixed = roomiest(DeviceKind.DEVICE_KIND_FIXED)
    return {fixed[0]: _largest(way)} if fixed and room[fixed[0]] >= _largest(way) else {}


def _gone(others: "Sequence[LeaseInfo]", room: Mapping[str, int]) -> list[str]:
    """Leases of these that would have to end for that, the largest first."""
    left, gone = dict(room), []
    for lease in others:
        for share in lease.shares:
            left[share.device] = left.get(share.device, 0) - share.bytes
    for lease in sorted(others, key=lambda lease: -sum(share.bytes for share in lease.shares)):
        short = [share for share in lease.shares if left.get(share.device, 0) < 0]
        if short:
            gone.append(lease.name)
            for share in lease.shares:
                left[share.device] += share.bytes
    return gone
