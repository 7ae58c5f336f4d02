"""Why a want gets nothing, in a sentence that says what would help."""

from collections.abc import Sequence

from actors.gpu.lease import Lease, charged
from actors.gpu.ledger import Ledger, Need
from actors.gpu.sentences import joined, size
from actors.gpu.sizes import Sizes
from actors.gpu.urgency import REFUSED_AGAIN_SECONDS
from actors.gpu.wants import MAX_WANTS, Want
from actors.gpu.words import Refused

INSUFFICIENT_MEMORY = "INSUFFICIENT_MEMORY"
QUARANTINED = "QUARANTINED"
TOO_MANY_WAITING = "TOO_MANY_WAITING"
REPLICA_NOT_WANTED = "REPLICA_NOT_WANTED"


def never(want: Want, need: Need, ledger: Ledger, sizes: Sizes) -> Refused:
    """It fits on no device, whoever leaves: with the variants that would fit."""
    limits = ledger.limits()
    named = [name for name in want.work.devices or limits if name in limits]
    available = max((limits[name] for name in named), default=0)
    needed = max(need.sizes.values())
    fit = [
        variant.note
        for variant in want.work.variants[1:]
        if ledger.place(sizes.variant(want.work, variant), limits) is not None
    ]
    if not named:
        message = f"{want.work.name} needs {size(needed)}, and there is no device for it."
    else:
        would = f"It would fit {joined(fit)}.{_keys(want, fit)}" if fit else "Nothing smaller is known that would fit."
        most = f"{joined(named)} may give {size(available)} at most{' each' if len(named) > 1 else ''}"
        message = f"{want.work.name} needs {size(needed)}, and {most}. {would}"
    return Refused(want.id, INSUFFICIENT_MEMORY, message, needed, available, fit)


def _keys(want: Want, fit: Sequence[str]) -> str:
    """Where the keys that the notes name in brackets stand: in the section of the family."""
    family, slash, _ = want.work.name.partition("/")
    return f" These are keys of [actors.{family}]." if slash and any(" = " in note for note in fit) else ""


def for_now(want: Want, need: Need, ledger: Ledger, pinned: Sequence[Lease]) -> Refused:
    """It would fit, and has waited as long as its class may for others and pins to leave."""
    needed = max(need.sizes.values())
    kept = charged(pinned)
    rooms = [
        device.limit - device.others - kept.get(name, 0) for name, device in ledger.devices.items() if not device.lost
    ]
    available = max(0, max(rooms, default=0))
    names = joined(sorted({lease.name for lease in pinned}))
    keeping = f"what others use and what is pinned ({names}) leave" if names else "what others use leaves"
    remedy = "; `troupe models unpin NAME` lets one go" if names else ""
    message = (
        f"{want.work.name} needs {size(needed)}, and {keeping} {size(available)}{remedy}. It has waited as long as it "
        f"may; try again in {REFUSED_AGAIN_SECONDS:g} s."
    )
    return Refused(want.id, INSUFFICIENT_MEMORY, message, needed, available, retry_after=REFUSED_AGAIN_SECONDS)


def quarantined(want: Want, seconds: float) -> Refused:
    """It has failed for want of memory too often."""
    message = f"{want.work.name} has run out of memory several times; it may be tried again in {seconds:.0f} s."
    return Refused(want.id, QUARANTINED, message, retry_after=seconds)


def not_wanted(want: Want) -> Refused:
    """Others serve its work, and do without it."""
    message = f"Another process of {want.work.name} is not wanted now: those that there are do its work."
    return Refused(want.id, REPLICA_NOT_WANTED, message)


def full(want: Want) -> Refused:
    """The queue is full."""
    message = f"{MAX_WANTS:,} wait for memory, as many as may; try again in {REFUSED_AGAIN_SECONDS:g} s."
    return Refused(want.id, TOO_MANY_WAITING, message, retry_after=REFUSED_AGAIN_SECONDS)
