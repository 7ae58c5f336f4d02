"""Which sequence sits in which slot, what of its prompt is there already, and whether its cache fits.

Pure bookkeeping: tokens and counts in, decisions out; the engine carries them out. The rules:

1. A sequence is placed only if what all slots hold or have reserved stays within the capacity.
2. Cells that a sequence shares with another slot are counted once, for the slot it got them from. When that slot gives
   them up, the sharer with the longest part becomes their owner and the others share with it.
3. An idle slot keeps its tokens for reuse until its room is needed; the one unused for longest goes first.
4. Tokens are reused only under the same adapter, because the cache's content depends on it.
5. Where each slot has a part of the cache for itself, what is shared is a copy, and new sequences take the first idle
   slot, because llama.cpp computes only neighbours together. What that slot holds moves to the one that is given up.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

TokenArray = npt.NDArray[np.int32]
NO_TOKENS: TokenArray = np.zeros(0, np.int32)

LENT_AT_LEAST = 32
"""Tokens of a beginning that one part of a cache takes over from another: it is copied with all the part's memory."""


@dataclass(eq=False, slots=True)
class Slot:
    """A place for one sequence. `tokens[:cached]` are in the cache."""

    index: int
    tokens: TokenArray = field(default_factory=lambda: NO_TOKENS)
    cached: int = 0
    adapter: str = ""
    busy: bool = False
    reserved: int = 0
    """Cells that its sequence may use; 0 when idle."""
    source: "Slot | None" = None
    """Where the first `shared` cells are counted."""
    shared: int = 0
    used: int = 0
    """When it was last placed or released, as a counter."""

    @property
    def counted(self) -> int:
        """Cells that are counted for this slot."""
        return (self.reserved if self.busy else self.cached) - self.shared


@dataclass(frozen=True, slots=True)
class Placement:
    """What the engine must do, in this order.

    Copy all of `slot` to `moved`, cut `slot` to `kept` cells, let it have the first `reused` cells of `source`.
    """

    slot: Slot
    reused: int
    """Tokens of the prompt that are in the cache then."""
    kept: int
    source: Slot | None
    """Another slot that lends the beginning; None: what is reused is in the slot already."""
    moved: Slot | None = None
    """Another slot, which takes over what the slot has held."""


def common_prefix(left: TokenArray, right: TokenArray) -> int:
    """How many leading tokens two sequences share."""
    length = min(len(left), len(right))
    different = left[:length] != right[:length]
    first = int(different.argmax()) if length else 0
    return first if length and different[first] else length


class SlotTable:
    """All slots of an engine and the room they share."""

    def __init__(
        self, slots: int, capacity: int, forget: Callable[[Slot], None], *, reuse: bool = True, parted: bool = False
    ) -> None:
        """`forget` is called for each idle slot that must be emptied at once.

        parted: each slot has a part of the cache for itself, of which a sequence reserves no more than there is.
        """
        self.slots = [Slot(index) for index in range(slots)]
        self.capacity = capacity
        self._forget = forget
        self._reuse = reuse
        self._parted = parted
        self._clock = 0

    @property
    def held(self) -> int:
        """Cells that are in use or promised."""
        return sum(slot.counted for slot in self.slots)

    def place(self, tokens: TokenArray, adapter: str, reserve: int) -> Placement | None:
        """Find a slot for a sequence that may come to hold `reserve` cells; None: not now."""
        if not any(not slot.busy for slot in self.slots):
            return None
        source, reused = self._best_source(tokens, adapter)
        slot = self._target(source, reused)
        moved = None
        if self._parted and slot is not source:
            if reused < LENT_AT_LEAST:
                source, reused = None, 0
            slot, moved, source = self._move_up(slot, source)
        if not self._make_room(slot, source, reserve, reused):
            # The last resort: take over what would have been shared.
            if source is None or source.busy or slot is source:
                return None
            slot = source
            if not self._make_room(slot, source, reserve, reused):
                return None
        return self._occupy(slot, source, reused, tokens, adapter, reserve, moved)

    def grow(self, slot: Slot, reserve: int) -> bool:
        """Reserve more for a placed sequence; False: there is no room."""
        while self.held - slot.reserved + reserve > self.capacity:
            if not self._empty(self._oldest_idle()):
                return False
        slot.reserved = reserve
        return True

    def release(self, slot: Slot) -> None:
        """The sequence has left; what is cached stays for reuse."""
        slot.busy = False
        slot.reserved = 0
        slot.used = self._tick()

    def _empty(self, slot: Slot | None) -> bool:
        if slot is None:
            return False
        self._cut(slot, 0)
        slot.tokens = NO_TOKENS
        self._forget(slot)
        return True

    def _best_source(self, tokens: TokenArray, adapter: str) -> tuple[Slot | None, int]:
        """The slot with the longest usable beginning.

        Of equals an idle one, which can be taken over without copying.
        """
        best, reused = None, 0
        for slot in self.slots:
            if not self._reuse or slot.adapter != adapter or not slot.cached:
                continue
            length = min(common_prefix(slot.tokens[: slot.cached], tokens), len(tokens) - 1)
            if length > reused or (best is not None and length == reused and best.busy and not slot.busy):
                best, reused = slot, length
        return best, reused

    def _target(self, source: Slot | None, reused: int) -> Slot:
        """The source itself if most of it is reused; otherwise the idle slot whose content is missed least."""
        if source is not None and not source.busy and reused * 2 >= source.cached:
            return source
        idle = [slot for slot in self.slots if not slot.busy]
        return min(idle, key=lambda slot: (slot is source, slot.cached > 0, slot.used))

    def _move_up(self, given_up: Slot, source: Slot | None) -> tuple[Slot, Slot | None, Slot | None]:
        """The first idle slot, where its content goes if there is any, and where the source is after that."""
        first = next(slot for slot in self.slots if not slot.busy)
        if first is given_up or not first.cached:
            return first, None, source
        given_up.tokens, given_up.cached = first.tokens, first.cached
        given_up.adapter, given_up.used = first.adapter, first.used
        first.tokens, first.cached = NO_TOKENS, 0
        return first, given_up, given_up if source is first else source

    def _make_room(self, slot: Slot, source: Slot | None, reserve: int, reused: int) -> bool:
        while self._held_after(slot, source, reserve, reused) > self.capacity:
            if not self._empty(self._oldest_idle(slot, source)):
                return False
        return True

    def _held_after(self, slot: Slot, source: Slot | None, reserve: int, reused: int) -> int:
        kept = reused if slot is source else 0
        shared = min(slot.shared, kept) if slot is source else reused
        passed_on = max((other.shared - kept for other in self._sharers(slot, kept)), default=0)
        return self.held - slot.counted + passed_on + reserve - shared

    def _oldest_idle(self, *kept: Slot | None) -> Slot | None:
        idle = [slot for slot in self.slots if not slot.busy and slot.cached and slot not in kept]
        return min(idle, key=lambda slot: slot.used, default=None)

    def _occupy(
        self,
        slot: Slot,
        source: Slot | None,
        reused: int,
        tokens: TokenArray,
        adapter: str,
        reserve: int,
        moved: Slot | None,
    ) -> Placement:
        kept = reused if slot is source else 0
        self._cut(slot, kept)
        copied_from = source if source is not None and slot is not source and reused else None
        if copied_from is not None and not self._parted:
            slot.source, slot.shared = copied_from, reused
        slot.tokens, slot.adapter, slot.cached = tokens, adapter, reused
        slot.busy, slot.reserved, slot.used = True, reserve, self._tick()
        return Placement(slot, reused, kept, copied_from, moved)

    def _cut(self, slot: Slot, kept: int) -> None:
        """Give up a slot's cells after the first `kept`; sharers of those become their owners (rule 2)."""
        slot.cached = min(slot.cached, kept)
        slot.shared = min(slot.shared, kept)
        if not slot.shared:
            slot.source = None
        sharers = self._sharers(slot, kept)
        if sharers:
            _pass_on(sharers, slot, kept)

    def _sharers(self, slot: Slot, kept: int) -> list[Slot]:
        return [other for other in self.slots if other.source is slot and other.shared > kept]

    def _tick(self) -> int:
        self._clock += 1
        return self._clock


def _pass_on(sharers: list[Slot], slot: Slot, kept: int) -> None:
    owner = max(sharers, key=lambda other: other.shared)
    for other in sharers:
        if other is not owner:
            other.source = owner
    owner.shared = kept
    owner.source = slot if kept else None
