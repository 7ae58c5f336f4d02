"""One answer in the making, and the job that it belongs to, as the engine's thread sees them."""

from actors.model.running import RunningJob
from actors.model.text import TextStream
from actors.transformers.sampling import Gate, Sampler


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

    def append(self, token: int) -> None:
        """Take a generated token."""
        self.tokens.append(token)


class Group:
    """Choices of one job with the same tokens so far: these are read once for all of them."""

    def __init__(self, sequences: list[Sequence]) -> None:
        self.sequences = sequences
        self.running = sequences[0].running
        self.tokens = list(sequences[0].tokens)
        self.done = 0
