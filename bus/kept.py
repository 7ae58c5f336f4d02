"""A call without a driver."""

from dataclasses import dataclass

from bus.delivered import Delivered
from troupe.rpc.v1 import Open


@dataclass(slots=True)
class Kept:
    """What is needed to go on with a call that somebody else takes over from its driver.

    attempt: number of the last one. request: as the caller sent it. ends_at: its deadline by the loop's clock; None: it
    has none.
    """

    opening: Open
    route: str
    attempt: int
    request: bytes
    delivered: Delivered
    ends_at: float | None

    @property
    def size(self) -> int:
        """Bytes of request and answer."""
        return len(self.request) + self.delivered.size
