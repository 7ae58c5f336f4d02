"""One answer in the making, and the job that it belongs to, as the engine's thread sees them."""

import time
from dataclasses import dataclass, field

import numpy as np

from actors.llama.grammar import Grammar
from actors.llama.sampling import Sampler
from actors.llama.slots import Slot, TokenArray
from actors.model.interface import Cost, Event, Job
from actors.model.stream import EventStream
from actors.model.text import TextStream


@dataclass(eq=False, slots=True)
class RunningJob:
    """A job that was accepted: its clock and its counters."""

    job: Job
    stream: EventStream[Event]
    adapter: str
    """Key of the adapter as it was loaded when the job was accepted."""
    grammar: Grammar | None
    submitted: float = field(default_factory=time.perf_counter)
    admitted: float = 0.0
    first_token: float = 0.0
    cached_tokens: int = 0
    completion_tokens: int = 0
    unfinished: int = 0
    """Choices that have not ended."""
    first: "Sequence | None" = None
    """The first choice that has not ended, whose prompt the others share."""
    position: int = 0
    """In the queue, as last told to the caller."""

    def cost(self, now: float) -> Cost:
        """What the job has cost when its last choice ends."""
        first_token = self.first_token or now
        admitted = self.admitted or first_token
        return Cost(
            prompt_tokens=len(self.job.prompt),
            cached_tokens=self.cached_tokens,
            completion_tokens=self.completion_tokens,
            queue_seconds=admitted - self.submitted,
            prefill_seconds=first_token - admitted,
            decode_seconds=now - first_token,
        )


class Sequence:
    """One choice of a job: its tokens, its sampler and its text so far. What was said before it came here is there."""

    __slots__ = ("_buffer", "choice", "length", "limit", "prefilled", "running", "sampler", "slot", "text")

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
        first = self.running.first
        return first is None or first is self or first.prefilled

    def reserve(self, ahead: int) -> int:
        """Cells to reserve for it now: what it has and up to `ahead` more of what it may come to."""
        return min(self.limit, self.length + ahead)

    def append(self, token: int) -> None:
        """Take a generated token."""
        self._buffer[self.length] = token
        self.length += 1
