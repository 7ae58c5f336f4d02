"""What this process takes, by its own measurement."""

from collections.abc import Sequence
from pathlib import Path

from troupe.family.v1 import Buffer, Measured

PROC = Path("/proc/self")
BUFFERS_LIMIT = 64


def resident_bytes(proc: Path = PROC) -> tuple[int, int]:
    """Bytes of main memory that this process has: all of them, and with its share only of those that others have too.

    0 where the system does not tell.
    """
    try:
        lines = (proc / "smaps_rollup").read_text().splitlines()[1:]
    except OSError:
        return 0, 0
    sizes = {name: int(rest.split()[0]) * 1024 for name, _, rest in (line.partition(":") for line in lines) if rest}
    return sizes.get("Rss", 0), sizes.get("Pss", 0)


def measured(before: int, buffers: Sequence[Buffer] = (), later: int = 0, proc: Path = PROC) -> Measured:
    """What it takes now that its model has loaded.

    before: what it had before. buffers: what its engine says. later: bytes that will come with the first calls, besides
    buffers of computations, which are reserved and empty until then.
    """
    resident, proportional = resident_bytes(proc)
    reserved = later + sum(each.bytes for each in buffers if each.kind == "compute" and each.host)
    return Measured(
        process_bytes=before,
        resident_bytes=resident,
        proportional_bytes=proportional,
        reserved_bytes=reserved,
        host_bytes=resident + reserved if resident else 0,
        accelerator_bytes=sum(each.bytes for each in buffers if not each.host),
        buffers=buffers[:BUFFERS_LIMIT],
    )
