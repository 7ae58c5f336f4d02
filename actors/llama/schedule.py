"""What one engine step computes: which adapter's turn it is, how much of the prompts is read, which rows are decoded.

Pure decisions over sequences; the engine carries them out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar


class Pending(Protocol):
    """A placed sequence, as far as planning is concerned."""

    @property
    def adapter(self) -> str:
        """The adapter it runs under."""

    @property
    def pending(self) -> int:
        """Tokens that are not in the cache yet: 1 while it is generating, more while its prompt is read."""


S = TypeVar("S", bound=Pending)


@dataclass(slots=True)
class Row(Generic[S]):
    """Compute the next `count` tokens of a sequence."""

    sequence: S
    count: int
    output: int = -1
    """Place in the batch of the token that is sampled after; -1: its prompt goes on in the next step."""


class AdapterRotation:
    """One step cannot mix adapters: the current one keeps its turn for `run` steps while others wait.

    The longest-placed sequence of another adapter is next; an adapter without sequences gives up its turn at once.
    """

    def __init__(self, run: int) -> None:
        self._run = run
        self._steps = 0
        self.current = ""

    def choose(self, adapters: Sequence[str]) -> str:
        """Whose turn this step is, given the adapters of the placed sequences, longest-placed first; not empty."""
        if self.current not in adapters or (self._steps >= self._run and len(set(adapters)) > 1):
            others = [adapter for adapter in adapters if adapter != self.current]
            self.current = others[0] if others else adapters[0]
            self._steps = 0
        self._steps += 1
        return self.current


class PrefillBudget:
    """How many prompt tokens a step may read while answers are being generated.

    A step may hold up the others by about `gap_seconds` for each sequence that waits for its first token: one long
    prompt is read in small pieces, a burst of prompts in large ones, which cost a fifth less. Without a generating
    sequence the whole batch is used. Speeds are measured while running.
    """

    FLOOR = 64
    """Smaller pieces cost noticeably more per token."""
    WEIGHT = 0.2
    """Of the newest measurement in the running averages."""

    def __init__(self, batch: int, gap_seconds: float) -> None:
        self._batch = batch
        self._gap = gap_seconds
        self._decode_seconds = 0.0
        self._token_seconds = 0.0

    def observe(self, generating: int, prompt_tokens: int, seconds: float) -> None:
        """Learn from a step that took `seconds`."""
        if prompt_tokens == 0:
            self._decode_seconds += self._weight(self._decode_seconds) * (seconds - self._decode_seconds)
        elif prompt_tokens >= self.FLOOR // 2:
            spent = max(seconds - (self._decode_seconds if generating else 0.0), seconds * 0.1) / prompt_tokens
            self._token_seconds += self._weight(self._token_seconds) * (spent - self._token_seconds)

    def expected(self, prompt_tokens: int) -> float:
        """Seconds that so many prompt tokens take; 0 while that is not known."""
        return prompt_tokens * self._token_seconds

    def tokens(self, generating: int, prefilling: int) -> int:
        """Prompt tokens for the next step, with this many sequences generating and waiting for their first token."""
        room = self._batch - generating
        if not (generating and prefilling and self._token_seconds):
            return room
        share = max(self.FLOOR, int(self._gap / self._token_seconds))
        return min(room, share * prefilling)

    def _weight(self, average: float) -> float:
        return self.WEIGHT if average else 1.0


class RowGrouping:
    """Whether generating rows are computed together or one after the other.

    Together is what batching is for, and on a GPU always right. On a CPU the kernels for a few rows can cost more than
    as many single rows: for a 0.5 B model in Q8_0, 18 ms for one row, 65 for two and 93 for four together. So both ways
    are measured, the slower one again now and then, since the contexts grow.
    """

    MOST = 8
    """More rows than this are always computed together."""
    SAMPLES = 3
    """Steps of each way before one is chosen; the fastest of them counts, the others were disturbed."""
    AGAIN = 512
    """Steps after which the way that was slower is tried once more."""
    WEIGHT = 0.2
    """Of the newest measurement in the running averages."""

    def __init__(self, *, may_part: bool) -> None:
        self._may_part = may_part
        self._seconds: dict[tuple[int, bool], float] = {}
        self._samples: dict[tuple[int, bool], int] = {}
        self._since: dict[int, int] = {}

    def apart(self, rows: int) -> bool:
        """Compute these rows, which are all that the step has, one after the other."""
        if not self._may_part or not 1 < rows <= self.MOST:
            return False
        together, apart = self._samples.get((rows, False), 0), self._samples.get((rows, True), 0)
        if min(together, apart) < self.SAMPLES:
            return apart < together
        faster = self._seconds[rows, True] < self._seconds[rows, False]
        since = self._since[rows] = self._since.get(rows, 0) + 1
        if since < self.AGAIN:
            return faster
        self._since[rows] = 0
        return not faster

    def observe(self, rows: int, apart: bool, seconds: float) -> None:
        """Learn from a step that had only these rows."""
        way = rows, apart
        samples = self._samples[way] = self._samples.get(way, 0) + 1
        average = self._seconds.get(way, seconds)
        if samples <= self.SAMPLES:
            self._seconds[way] = min(average, seconds)
        else:
            self._seconds[way] = average + self.WEIGHT * (seconds - average)


def plan(sequences: Sequence[S], budget: PrefillBudget) -> list[Row[S]]:
    """Rows of one step for sequences of one adapter, longest-placed first.

    Every generating one, then prompts in order.
    """
    rows = [Row(sequence, 1) for sequence in sequences if sequence.pending == 1]
    prefilling = [sequence for sequence in sequences if sequence.pending > 1]
    left = budget.tokens(len(rows), len(prefilling)) if prefilling else 0
    for sequence in prefilling:
        if left <= 0:
            break
        count = min(sequence.pending, left)
        rows.append(Row(sequence, count))
        left -= count
    return rows
