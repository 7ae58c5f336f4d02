"""What every engine that computes step by step does with its answers: takes them up, says them, ends them.

A family's stepper adds what is its own: who is placed when, and how a step is computed.
"""

import time
from abc import abstractmethod
from collections.abc import Collection, Sequence
from typing import Generic, Protocol, TypeVar

from actors.model.interface import Ended, EndReason, Event, Tokens, TokenScore
from actors.model.running import RunningJob, Waiting, WaitingLine
from actors.model.stepping import Stepping
from actors.model.stream import Outbox
from actors.model.text import TextStream
from bus import Code, RpcError
from bus.errors import cancelled


class Spelling(Protocol):
    """A vocabulary, as far as answers are concerned."""

    @property
    def ends(self) -> Collection[int]:
        """Tokens that end a turn."""

    def visible(self, token: int, markers: Collection[str]) -> bytes:
        """What a token adds to an answer's text."""


class Sampling(Protocol):
    """What chooses the tokens of one answer; how it does is the family's affair."""

    def accept(self, token: int) -> None:
        """Take a token that was chosen elsewhere. Raises RpcError CONTINUATION_UNSUPPORTED."""

    def close(self) -> None:
        """Free what it holds. May be called again."""


class Answer(Protocol):
    """One choice of a job in the making."""

    @property
    def running(self) -> RunningJob:
        """Its job."""

    @property
    def choice(self) -> int:
        """Its number in the job."""

    @property
    def sampler(self) -> Sampling:
        """What chooses its tokens."""

    @property
    def text(self) -> TextStream:
        """Its text so far."""

    @property
    def is_over(self) -> bool:
        """Whether nothing follows what was said: a stop string was complete, or a limit reached."""

    def append(self, token: int) -> None:
        """Take a token that was generated."""


class Embedding(Protocol):
    """Embeddings beside answers, as far as their end is concerned."""

    def fail(self, problem: RpcError, outbox: Outbox) -> None:
        """End them all with an error."""


A = TypeVar("A", bound=Answer)
W = TypeVar("W", bound=Waiting)


class Answering(Stepping, Generic[A, W]):
    """Steps that make answers. A answers; W what stands in the line for them, one by one or several together.

    A family's `step` begins with `_take_posts` and `_drop_cancelled`, places what waits, computes, gives each chosen
    token to `_say`, and ends with `_outbox.flush`. All of it is on the engine's thread.
    """

    def __init__(
        self, vocabulary: Spelling, embedder: Embedding, line: WaitingLine[W], outbox: Outbox, patience: float
    ) -> None:
        super().__init__(patience)
        self._spelling = vocabulary
        self._embeddings = embedder
        self._outbox = outbox
        self._placed: list[A] = []
        self._open: dict[RunningJob, Sequence[A]] = {}
        self.line = line
        self.steps = 0

    # ---- what is the family's own

    @abstractmethod
    def _has_adapter(self, key: str) -> bool:
        """Whether an adapter is still loaded; it counts as used now."""

    @abstractmethod
    def _queue(self, running: RunningJob, answers: list[A]) -> None:
        """Put answers of a job into the line."""

    @abstractmethod
    def _leave(self, answer: A) -> None:
        """Take an answer out of `_placed` and free its place, if it has one."""

    # ---- jobs

    @property
    def running(self) -> int:
        """Answers that have a slot."""
        return len(self._placed)

    def accept(self, running: RunningJob, answers: Sequence[A]) -> None:
        """Put a job into the line. What was said before is said again first, which may be the end of an answer."""
        self._open[running] = answers
        try:
            if not self._has_adapter(running.adapter):
                message = "The adapter was unloaded meanwhile; repeat the call."
                raise RpcError(Code.UNAVAILABLE, message, retry_after=0.1)
            self._say_again(running, answers)
        except RpcError as problem:
            self._close(running, problem)
            return
        left = [answer for answer in answers if not answer.is_over]
        for answer in answers:
            if answer.is_over:
                self._finish(answer, EndReason.LENGTH)
        if not answers:
            self._complete(running)
        if left:
            self._queue(running, left)

    def adapters_in_use(self) -> set[str]:
        """Keys of adapters that waiting or placed answers need."""
        return {running.adapter for running in self._jobs()}

    def fail_all(self, problem: RpcError) -> None:
        """End every job with an error, and take no more."""
        self._end_posting()
        for running in self._jobs():
            self._fail(running, problem)
        self._embeddings.fail(problem, self._outbox)
        self._outbox.flush()

    def _jobs(self) -> set[RunningJob]:
        return set(self._open)

    def _drop_cancelled(self) -> None:
        for running in [each for each in self._open if each.stream.cancelled]:
            self._fail(running, cancelled())

    # ---- what is said

    def _say_again(self, running: RunningJob, answers: Sequence[A]) -> None:
        """The tokens of `Job.said`, as they go through the text, the constraint and the sampler of their choice.

        Choices that had ended are only told: whoever counts needs them. Raises RpcError CONTINUATION_UNSUPPORTED for
        tokens that a constraint forbids.
        """
        job, still_open = running.job, {answer.choice: answer for answer in answers}
        for number, said in enumerate(job.said):
            answer = still_open.get(number)
            text = answer.text if answer is not None else TextStream(job.stop)
            for token in said.ids:
                if answer is not None:
                    answer.sampler.accept(token)
                running.completion_tokens += 1
                shown = text.feed(self._spelling.visible(token, job.markers))
                self._emit(running, Tokens(number, shown, 1, ids=(token,), again=True))

    def _say(self, answer: A, token: int, scores: tuple[TokenScore, ...]) -> bool:
        """A token was chosen for an answer; False: it was the last one."""
        running, job = answer.running, answer.running.job
        if not running.first_token:
            running.first_token = time.perf_counter()
        if token in self._spelling.ends and not job.ignore_end:
            self._finish(answer, EndReason.STOP)
            return False
        answer.append(token)
        running.completion_tokens += 1
        shown = answer.text.feed(self._spelling.visible(token, job.markers))
        self._emit(running, Tokens(answer.choice, shown, 1, scores, (token,)))
        if answer.is_over:
            self._finish(answer, EndReason.LENGTH)
            return False
        return True

    def _emit(self, running: RunningJob, event: Event) -> None:
        self._outbox.add(lambda: running.stream.push(event))

    # ---- ending

    def _finish(self, answer: A, reason: EndReason) -> None:
        running = answer.running
        rest = answer.text.flush()
        if rest:
            self._emit(running, Tokens(answer.choice, rest, 0))
        stop = answer.text.stopped
        self._emit(running, Ended(answer.choice, EndReason.STOP if stop else reason, stop))
        self._leave(answer)
        answer.sampler.close()
        running.unfinished -= 1
        if not running.unfinished:
            self._complete(running)

    def _complete(self, running: RunningJob) -> None:
        now = time.perf_counter()
        if running.admitted:
            self.line.note_duration(now - running.admitted)
        self._emit(running, running.cost(now))
        self._close(running, None)

    def _fail(self, running: RunningJob, problem: RpcError) -> None:
        for answer in [placed for placed in self._placed if placed.running is running]:
            self._leave(answer)
        self.line.remove(running)
        self._close(running, problem)

    def _close(self, running: RunningJob, problem: RpcError | None) -> None:
        for answer in self._open.pop(running, ()):
            answer.sampler.close()
        if running.held is not None:
            running.held.close()
            running.held = None
        self._outbox.add(lambda: running.stream.end(problem))
