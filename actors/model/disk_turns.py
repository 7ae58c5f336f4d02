"""Who reads from a disk now, when several models are loaded from one. Decides only.

Two loads that read at once from a disk take longer together than one after the other: both wait for the slower end,
and a spinning one goes from place to place. So one has the disk's token and the others wait, told for whom:

1. What lies in the page cache is no work for the disk, and little work needs no token.
2. Whoever gets the token reads.
3. Who waits hears whose turn it is and how much that has left.
4. A holder that has told nothing for a while does not read: the next one reads beside it.
5. Nobody waits for longer than a few times what its own reading takes: a small model reads beside a huge one then.
"""

from dataclasses import dataclass

LITTLE_BYTES = 64 << 20
STALE_SECONDS = 3.0
USUAL_SPEED = 500e6
"""Bytes a second, where a holder has not told its own."""
TIMES = 4.0
"""Times what its own reading takes that a load waits at most."""
LEAST_SECONDS, MOST_SECONDS = 2.0, 60.0


@dataclass(frozen=True, slots=True)
class Reading:
    """What a holder of the token tells. left: bytes; speed: bytes a second, 0: not known; at: when, on the clock."""

    model: str
    left: int
    speed: float
    at: float


@dataclass(frozen=True, slots=True)
class Read:
    """Read now. beside: without the token, though another one reads."""

    beside: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """Not yet. note: for people. seconds: until its turn, as far as that can be told; None: it cannot."""

    note: str
    seconds: float | None


class Turn:
    """One load's turn. left: bytes that it has to read. Time is any clock in seconds that all loads share."""

    def __init__(self, left: int, now: float) -> None:
        self.left = left
        self._since = now

    @property
    def wants_token(self) -> bool:
        """Whether it is to try for the token at all."""
        return self.left >= LITTLE_BYTES  # 1

    def decide(self, holder: Reading | None, now: float, *, got: bool = False) -> Read | Wait:
        """What to do now. holder: what is known of the one that has the token; got: it is this one."""
        if got or not self.wants_token:  # 1, 2
            return Read()
        if holder is None or now - holder.at > STALE_SECONDS:  # 4
            # Who has just got it has not told anything yet.
            return Read(beside=True) if now - self._since > STALE_SECONDS else Wait("Waits for the disk.", None)
        if now - self._since >= self._bound(holder):  # 5
            return Read(beside=True)
        eta = holder.left / holder.speed if holder.speed else None
        left = f"{holder.left / 1e9:.1f} GB" if holder.left >= 1e9 else f"{holder.left / 1e6:.0f} MB"
        return Wait(f"Waits for the disk: {holder.model} is being read, {left} are left.", eta)  # 3

    def _bound(self, holder: Reading) -> float:
        own = self.left / (holder.speed or USUAL_SPEED)
        return min(MOST_SECONDS, max(LEAST_SECONDS, TIMES * own))
