"""How much memory the tensors of one computation take when each is given up as soon as nothing needs it.

llama.cpp plans a computation before the first one and reserves one buffer for it. How large that is follows from which
tensors live at the same time, and from the holes that the others leave: a tensor goes into the smallest hole that holds
it, else at the end. `Plan` does the same with the sizes alone (ggml's ggml-alloc.c is where the rule comes from).
"""

from dataclasses import dataclass

ALIGNMENT = 32
"""Bytes; each tensor's place and size is a multiple."""


@dataclass(slots=True)
class Block:
    """A part of the buffer. uses: how many computations still need it."""

    start: int
    size: int
    uses: int = 1


class Plan:
    """A buffer that grows as it must. peak: how large it has become, in bytes."""

    def __init__(self) -> None:
        self.peak = 0
        self._holes: list[tuple[int, int]] = []
        """Start and size of what is free before the end, by start."""
        self._end = 0

    def make(self, size: int, *inputs: Block, uses: int = 1) -> Block:
        """A tensor that is computed from others, which it lets go."""
        block = self._take(size, uses)
        self.let_go(*inputs)
        return block

    def over(self, source: Block, *others: Block, uses: int = 1) -> Block:
        """A tensor that is computed in the place of the one it comes from, if nothing else needs that."""
        if source.uses > 1:
            return self.make(source.size, source, *others, uses=uses)
        source.uses = uses
        self.let_go(*others)
        return source

    def let_go(self, *blocks: Block) -> None:
        """One computation less needs them."""
        for block in blocks:
            block.uses -= 1
            if block.uses == 0:
                self._free(block.start, block.size)

    def _take(self, size: int, uses: int) -> Block:
        size = -(-size // ALIGNMENT) * ALIGNMENT
        fitting = [hole for hole in self._holes if hole[1] >= size]
        if fitting:
            start, room = min(reversed(fitting), key=lambda hole: hole[1])
            self._holes.remove((start, room))
            if room > size:
                self._holes.append((start + size, room - size))
                self._holes.sort()
        else:
            start, self._end = self._end, self._end + size
            self.peak = max(self.peak, self._end)
        return Block(start, size, uses)

    def _free(self, start: int, size: int) -> None:
        """Joined with its free neighbours; what is free at the end is the end."""
        joined: list[tuple[int, int]] = []
        for place, room in sorted([*self._holes, (start, size)]):
            if joined and joined[-1][0] + joined[-1][1] == place:
                joined[-1] = (joined[-1][0], joined[-1][1] + room)
            else:
                joined.append((place, room))
        if joined and sum(joined[-1]) == self._end:
            self._end = joined.pop()[0]
        self._holes = joined
