"""Between the contract's messages and the scheduler's words."""

import re
from collections.abc import Iterable, Mapping

from google.protobuf.timestamp_pb2 import Timestamp

from actors.gpu.words import Decision, Kind, Refused, Shares, Told, Variant, Work
from bus import Code, RpcError, invalid
from bus.context import duration
from troupe.gpu import v1
from troupe.rpc.v1 import Progress

MAX_NAME = 200
MAX_KEY_BYTES = 512
MAX_VARIANTS = 16
MAX_DEVICES = 64
MAX_BYTES = 2**60
MAX_LOAD_SECONDS = 86_400.0

_LEASE = re.compile(r"[A-Za-z0-9-]{8,64}")

KINDS = {
    v1.DeviceKind.DEVICE_KIND_NVIDIA: Kind.NVIDIA,
    v1.DeviceKind.DEVICE_KIND_SYSTEM: Kind.SYSTEM,
    v1.DeviceKind.DEVICE_KIND_FIXED: Kind.FIXED,
}
KIND_NUMBERS = {kind: number for number, kind in KINDS.items()}


def lease_id(text: str) -> str:
    """Raises INVALID_ARGUMENT unless it names a lease."""
    if not _LEASE.fullmatch(text):
        raise invalid(f'lease is {text[:80]!r}; it is 8 to 64 letters, digits and "-", made up by the holder.', "lease")
    return text


def work_of(message: v1.Work) -> Work:
    """The scheduler's. Raises INVALID_ARGUMENT for what the contract does not allow."""
    if not 1 <= len(message.name) <= MAX_NAME:
        raise invalid(f"work.name is {len(message.name)} characters long; 1 to {MAX_NAME} are allowed.", "work.name")
    if not 1 <= len(message.variants) <= MAX_VARIANTS:
        raise invalid(f"work has {len(message.variants)} variants; 1 to {MAX_VARIANTS} are allowed.", "work.variants")
    if len(message.key.encode()) > MAX_KEY_BYTES:
        raise invalid(f"work.key is over {MAX_KEY_BYTES} bytes.", "work.key")
    if len(message.devices) > MAX_DEVICES:
        raise invalid(f"work.devices are {len(message.devices)}; at most {MAX_DEVICES} are allowed.", "work.devices")
    load = message.load.ToNanoseconds() / 1e9
    if not 0 <= load <= MAX_LOAD_SECONDS:
        raise invalid(f"work.load is {load:g} s; 0 to {MAX_LOAD_SECONDS:g} s are allowed.", "work.load")
    return Work(
        name=message.name,
        variants=tuple(map(_variant_of, message.variants)),
        devices=tuple(message.devices),
        key=message.key,
        load_seconds=load,
        pinned=message.pinned,
        preemptible=message.preemptible,
        replicates=message.replicates,
    )


def _variant_of(message: v1.Variant) -> Variant:
    sizes: dict[Kind, int] = {}
    for size in message.sizes:
        kind = KINDS.get(size.kind)
        if kind is None or kind in sizes:
            raise invalid("Each size of a variant names a kind of device of its own.", "work.variants.sizes.kind")
        if size.bytes > MAX_BYTES:
            raise invalid(f"A size is {size.bytes:,} bytes; at most 2^60 are allowed.", "work.variants.sizes.bytes")
        sizes[kind] = size.bytes
    if not sizes:
        raise invalid("A variant says what it takes of at least one kind of device.", "work.variants.sizes")
    return Variant(sizes, spread=message.spread, note=message.note[:MAX_NAME])


def work_message(work: Work) -> v1.Work:
    """As it travels and is kept."""
    variants = [
        v1.Variant(sizes=size_messages(each.sizes), spread=each.spread, note=each.note) for each in work.variants
    ]
    return v1.Work(
        name=work.name,
        variants=variants,
        devices=work.devices,
        key=work.key,
        load=duration(work.load_seconds) if work.load_seconds else None,
        pinned=work.pinned,
        preemptible=work.preemptible,
        replicates=work.replicates,
    )


def size_messages(sizes: Mapping[Kind, int]) -> list[v1.Size]:
    """Bytes by kind of device."""
    return [v1.Size(kind=KIND_NUMBERS[kind], bytes=size) for kind, size in sizes.items()]


def sizes_of(messages: Iterable[v1.Size]) -> dict[Kind, int]:
    """Bytes by kind of device; kinds that are not known here are left out."""
    return {KINDS[each.kind]: each.bytes for each in messages if each.kind in KINDS}


def shares_of(messages: Iterable[v1.Share]) -> dict[str, int]:
    """Bytes by device. Raises INVALID_ARGUMENT for too many or too large ones."""
    found: dict[str, int] = {}
    for share in messages:
        found[share.device] = found.get(share.device, 0) + share.bytes
    if len(found) > MAX_DEVICES or any(size > MAX_BYTES for size in found.values()):
        raise invalid(f"Shares are of at most {MAX_DEVICES} devices and of at most 2^60 bytes each.", "shares")
    return found


def share_messages(shares: Shares) -> list[v1.Share]:
    """As they travel and are kept."""
    return [v1.Share(device=device, bytes=size) for device, size in shares.items()]


def progress(told: Told) -> Progress:
    """How somebody who waits stands, as every call can tell it."""
    waiting = Progress(state=Progress.STATE_QUEUED, position=told.position, note=told.reason)
    if told.eta is not None:
        waiting.eta.CopyFrom(duration(max(0.0, told.eta)))
    return waiting


def refusal(refused: Refused) -> RpcError:
    """The error of a call that was refused."""
    metadata = {"needed": str(refused.needed), "available": str(refused.available)}
    if refused.fits:
        metadata["fits"] = "; ".join(refused.fits)
    return RpcError(
        Code.RESOURCE_EXHAUSTED,
        refused.message,
        reason=refused.reason,
        metadata=metadata,
        retry_after=refused.retry_after,
    )


def decision(decided: Decision, at: float) -> v1.Decision:
    """For whoever watches, and for the record. at: seconds since 1970."""
    return v1.Decision(
        at=timestamp(at),
        what=decided.what,
        name=decided.name,
        reason=decided.reason,
        shares=share_messages(decided.shares),
        rule=decided.rule,
    )


def timestamp(seconds: float) -> Timestamp:
    """Seconds since 1970 as the contract has them."""
    moment = Timestamp()
    moment.FromNanoseconds(int(seconds * 1e9))
    return moment
