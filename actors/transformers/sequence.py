"""One answer in the making, and the job that it belongs to, as the engine's thread sees them."""

import time
from dataclasses import dataclass, field

from actors.model.interface import Cost, Event, Job
from actors.model.stream import EventStream
from actors.model.text import TextStream
from actors.transformers.sampling import Gate, Sampler


@dataclass(eq=False, slots=True)
class RunningJob:
    """A job that was accepted: its clock and its counters."""

    job: Job
    stream: EventStream[Event]
    adapter: str
    """Key of the adapter as it was loaded when the job was accepted."""
    submitted: float = field(default_factory=time.perf_counter)
    admitted: float = 0.0
    first_token: float = 0.0
    completion_tokens: int = 0
    unfinished: int = 0
    """Choices that have not ended."""
    position: int = 0
    """In the line, as last told to the caller."""

    def cost(self, now: float) -> Cost:
        """What the job has cost when its last choice ends."""
        first_token = self.first_token or now
        admitted = self.admitted or first_token
        return Cost(
            prompt_tokens=len(self.job.prompt),
            cached_tokens=0,
            completion_tokens=self.completion_tokens,
            queue_seconds=admitted - self.submitted,
            prefill_seconds=first_token - admitted,
            decode_seconds=now - first_token,
        )


class Sequence:
    """One choice of a job: its tokens, its sampler and its text so far. What was said before it came here is there."""

    def __init__(self, running: RunningJob, choice: int, gate: Gate | None = None) -> None:
        job = running.job
        self.running = running
        self.choice = choice
        self.sampler = Sampler(job.sampling, choice=choice, prompt=job.prompt, gate=gate)
        self.text = TextStream(job.stop)
        self.tokens = [*job.prompt, *(job.said[choice].ids if job.said else ())]
        self.limit = len(job.prompt) + job.max_tokens

    @property
    def is_over(self) -> bool:
        """Whether nothing follows what was said: a stop string was complete, or a limit reached."""
        return bool(self.text.stopped) or len(self.tokens) >= self.limit


class Group:
    """Choices of one job with the same tokens so far: these are read once for all of them."""

    def __init__(self, sequences: list[Sequence]) -> None:
        self.sequences = sequences
        self.running = sequences[0].running
        self.tokens = list(sequences[0].tokens)
        self.done = 0
