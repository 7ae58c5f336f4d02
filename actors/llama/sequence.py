"""One answer in the making, and the job that it belongs to, as the engine's thread sees them."""

from collections.abc import Iterable

import numpy as np

from actors.llama.sampling import Sampler
from actors.llama.slots import Slot, TokenArray
from actors.model.running import RunningJob
from actors.model.text import TextStream


class Sequence:
    """One choice of a job: its tokens, its sampler and its text so far. What was said before it came here is there."""

    __slots__ = ("_buffer", "_first", "choice", "length", "limit", "prefilled", "running", "sampler", "slot", "text")

    def __init__(self, running: RunningJob, choice: int, sampler: Sampler) -> None:
        job = running.job
        self.running = running
        self.choice = choice
        self.sampler = sampler
        self.text = TextStream(job.stop)
        said = job.said[choice].ids if job.said else ()
        self.length = len(job.prompt) + len(said)
        self.limit = len(job.prompt) + job.max_tokens
        self.prefilled = False
        self.slot: Slot | None = None
        self._first: Sequence = self
        self._buffer: TokenArray = np.empty(self.limit, np.int32)
        self._buffer[: len(job.prompt)] = job.prompt
        self._buffer[len(job.prompt) : self.length] = said

    @property
    def adapter(self) -> str:
        """The adapter it runs under."""
        return self.running.adapter

    @property
    def tokens(self) -> TokenArray:
        """Prompt and answer so far; a view."""
        return self._buffer[: self.length]

    @property
    def buffer(self) -> TokenArray:
        """Memory of all tokens there may ever be; what follows `length` is undefined."""
        return self._buffer

    @property
    def pending(self) -> int:
        """Tokens that are not in the cache yet."""
        return self.length - self.slot.cached if self.slot is not None else self.length

    @property
    def ready(self) -> bool:
        """Whether it may be placed: further choices wait until the first one's prompt is there to be shared."""
        return self._first is self or self._first.prefilled

    @property
    def is_over(self) -> bool:
        """Whether nothing follows what was said: a stop string was complete, or a limit reached."""
        return bool(self.text.stopped) or self.length >= self.limit

    def share(self, others: Iterable["Sequence"]) -> None:
        """These are choices of its job, and wait until its prompt is there to be shared."""
        for other in others:
            other._first = self

    def reserve(self, ahead: int) -> int:
        """Cells to reserve for it now: what it has and up to `ahead` more of what it may come to."""
        return min(self.limit, self.length + ahead)

    def append(self, token: int) -> None:
        """Take a generated token."""
        self._buffer[self.length] = token
        self.length += 1
