"""What there is, as `Watch` answers it."""

import time
from collections.abc import Mapping, Sequence

from actors.gpu.reading import Reading
from actors.gpu.snapshot import DeviceView, LeaseView, Snapshot, WishView
from actors.gpu.spelling import KIND_NUMBERS, share_messages, timestamp
from bus.context import duration
from bus.priority import Priority
from troupe.gpu import v1
from troupe.rpc import v1 as rpc

MAX_WISHES = 1000

PRIORITIES = {
    Priority.VOICE: rpc.Priority.PRIORITY_VOICE,
    Priority.INTERACTIVE: rpc.Priority.PRIORITY_INTERACTIVE,
    Priority.BATCH: rpc.Priority.PRIORITY_BATCH,
    Priority.TRAINING: rpc.Priority.PRIORITY_TRAINING,
}

STATES = {
    "placed": v1.LeaseState.LEASE_STATE_PLACED,
    "loading": v1.LeaseState.LEASE_STATE_LOADING,
    "busy": v1.LeaseState.LEASE_STATE_BUSY,
    "idle": v1.LeaseState.LEASE_STATE_IDLE,
    "revoked": v1.LeaseState.LEASE_STATE_REVOKED,
}


def picture(
    snapshot: Snapshot, now: float, readings: Mapping[str, Reading], decisions: Sequence[v1.Decision]
) -> v1.WatchResponse:
    """Everything at one time. now: when the snapshot was taken, on the scheduler's clock."""
    epoch = time.time() - now
    return v1.WatchResponse(
        devices=[_device(each, readings.get(each.name)) for each in snapshot.devices],
        leases=[_lease(each, epoch) for each in sorted(snapshot.leases, key=lambda lease: (lease.name, lease.since))],
        wishes=[_wish(each, epoch) for each in snapshot.wishes[:MAX_WISHES]],
        decisions=decisions,
    )


def _device(view: DeviceView, reading: Reading | None) -> v1.Device:
    return v1.Device(
        name=view.name,
        kind=KIND_NUMBERS[view.kind],
        total_bytes=view.total,
        cap_bytes=view.cap,
        leased_bytes=view.leased,
        others_bytes=view.others,
        ours_bytes=view.ours,
        unverified_bytes=view.unverified,
        utilization=None if reading is None else reading.utilization,
        temperature=None if reading is None else reading.temperature,
        power=None if reading is None else reading.power,
        lost=view.lost,
    )


def _lease(view: LeaseView, epoch: float) -> v1.LeaseInfo:
    return v1.LeaseInfo(
        id=view.lease,
        name=view.name,
        holder=view.holder,
        state=STATES[view.state],
        shares=share_messages(view.shares),
        measured=share_messages(view.measured),
        running=view.running,
        since=timestamp(epoch + view.since),
        pinned=view.pinned,
    )


def _wish(view: WishView, epoch: float) -> v1.Wish:
    return v1.Wish(
        name=view.name,
        priority=PRIORITIES[view.priority],
        position=view.position,
        eta=None if view.eta is None else duration(max(0.0, view.eta)),
        since=timestamp(epoch + view.since),
        waiting=view.waiting,
        reason=view.reason,
        others=view.others,
    )
