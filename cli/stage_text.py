"""What the stage has and decides, as lines of text."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from cli.plain_text import columns, size_text, span_text

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

    from troupe.gpu.v1 import Decision, Device, LeaseInfo, Share, WatchResponse, Wish

BAR = 40
"""Cells of a device's bar."""

SIGNS = {"leased": "#", "unverified": "?", "others": "o", "free": ".", "cap": "|"}
"""What a cell of a bar stands for."""


def lines(picture: "WatchResponse", decisions: "Sequence[Decision]", now: float) -> list[str]:
    """Everything, for people. now: seconds since 1970."""
    sections = [
        [line for device in picture.devices for line in device_lines(device)],
        lease_lines(picture.leases, now) or ["Nothing is loaded."],
        wish_lines(picture.wishes, now),
        decision_lines(decisions),
    ]
    return [line for section in sections if section for line in ("", *section)][1:]


def device_lines(device: "Device") -> list[str]:
    """A device: how it is, a bar of what is used of it, and that in words; in 80 columns."""
    facts = [f"{_size(device.leased_bytes)} leased", f"{_size(device.others_bytes)} used by others"]
    if device.unverified_bytes:
        facts.append(f"{_size(device.unverified_bytes)} given back and not yet seen to be free")
    most = f"at most {_size(device.cap_bytes)} of {_size(device.total_bytes)}"
    state = [
        f"{device.utilization:.0%} busy" if device.HasField("utilization") else "",
        f"{device.temperature:.0f} °C" if device.HasField("temperature") else "",
        f"{device.power:.0f} W" if device.HasField("power") else "",
    ]
    head = ", ".join(filter(None, [device.name, "does not answer" if device.lost else "", *state]))
    return [head, f"  [{bar(device)}] {most}", f"  {', '.join(facts)}"]


def bar(device: "Device", width: int = BAR) -> str:
    """What is used of a device, and where its cap is; see SIGNS."""
    total = max(1, device.total_bytes)
    ends, used = [], 0
    for name, size in (
        ("leased", device.leased_bytes),
        ("unverified", device.unverified_bytes),
        ("others", device.others_bytes),
        ("free", total),
    ):
        used = min(total, used + size)
        ends.append((name, round(used * width / total)))
    cells, start = "", 0
    for name, end in ends:
        cells, start = cells + SIGNS[name] * (end - start), end
    cap = min(width, round(device.cap_bytes * width / total))
    return f"{cells[:cap]}{SIGNS['cap']}{cells[cap:]}"


def lease_lines(leases: "Iterable[LeaseInfo]", now: float) -> list[str]:
    """Who has memory."""
    rows = [_lease(lease, now) for lease in leases]
    return columns([("LEASE", "STATE", "FOR", "MEMORY", "CALLS", "PROCESS"), *rows]) if rows else []


def _lease(lease: "LeaseInfo", now: float) -> tuple[str, ...]:
    from troupe.gpu.v1 import LeaseState

    state = LeaseState.Name(lease.state).removeprefix("LEASE_STATE_").lower()
    pinned = " *" if lease.pinned else ""
    memory = ", ".join(map(_share, lease.measured or lease.shares))
    return lease.name, state + pinned, _since(lease.since, now), memory, str(lease.running or ""), lease.holder


def wish_lines(wishes: "Iterable[Wish]", now: float) -> list[str]:
    """Who waits, each with its reason below."""
    waiting = list(wishes)
    head, *rows = columns([("", "WAITS", "CLASS", "FOR", "CALLS", "READY IN"), *(_wish(wish, now) for wish in waiting)])
    found = [line for row, wish in zip(rows, waiting, strict=True) for line in (row, f"    {wish.reason}")]
    return [head, *found] if found else []


def _wish(wish: "Wish", now: float) -> tuple[str, ...]:
    from troupe.rpc.v1 import Priority

    eta = span_text(wish.eta.ToNanoseconds() / 1e9) if wish.HasField("eta") else "?"
    urgency = Priority.Name(wish.priority).removeprefix("PRIORITY_").lower()
    waiting = str(wish.waiting)
    return str(wish.position), wish.name, urgency, _since(wish.since, now), waiting, eta


def decision_lines(decisions: "Iterable[Decision]") -> list[str]:
    """What was decided, one line each."""
    return [decision_line(decision) for decision in decisions]


def decision_line(decision: "Decision") -> str:
    """When, what, and why."""
    from datetime import datetime

    clock = datetime.fromtimestamp(decision.at.ToNanoseconds() / 1e9).astimezone().strftime("%H:%M:%S")
    named = decision.reason if decision.reason.startswith(decision.name) else f"{decision.name}: {decision.reason}"
    return f"{clock}  {decision.what:<11} {named}"


def _share(share: "Share") -> str:
    return f"{_size(share.bytes)} of {share.device}"


def _size(size: int) -> str:
    return size_text(size) or "nothing"


def _since(moment: "Timestamp", now: float) -> str:
    return span_text(now - moment.ToNanoseconds() / 1e9)
