"""What every engine with a loop does with its answers, on one that says its prompt again, a token a step."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import pytest

from actors.model.answering import Answering
from actors.model.interface import Cost, Ended, EndReason, Event, Job, Said, Tokens
from actors.model.running import RunningJob, WaitingLine
from actors.model.stream import EventStream, Outbox
from actors.model.text import TextStream
from bus import RpcError
from bus.errors import continuation_unsupported, interrupted

END, FORBIDDEN = 0, 255


class Bytes:
    """Tokens are bytes; 0 ends a turn."""

    ends = frozenset({END})

    def visible(self, token: int, markers: Collection[str]) -> bytes:
        return bytes([token])


@dataclass
class Held:
    """Something that must be freed once."""

    closed: int = 0

    def close(self) -> None:
        self.closed += 1


class Accepts(Held):
    """Takes what was said before, all but one token."""

    def accept(self, token: int) -> None:
        if token == FORBIDDEN:
            raise continuation_unsupported("it is forbidden.")


@dataclass(eq=False)
class Echo:
    """One choice: its prompt, token by token."""

    running: RunningJob
    choice: int
    said: int = 0
    sampler: Accepts = field(default_factory=Accepts)

    def __post_init__(self) -> None:
        job = self.running.job
        self.text = TextStream(job.stop)
        self.said = len(job.said[self.choice].ids) if job.said else 0

    @property
    def is_over(self) -> bool:
        return bool(self.text.stopped) or self.said >= self.running.job.max_tokens

    def append(self, token: int) -> None:
        self.said += 1


class NoEmbeddings:
    def fail(self, problem: RpcError, outbox: Outbox) -> None:
        """There are none."""


class Loop:
    """An event loop that calls at once."""

    def is_closed(self) -> bool:
        return False

    def call_soon_threadsafe(self, call: Any, *args: Any) -> None:
        call(*args)


class Echoes(Answering[Echo, Echo]):
    """One slot, and the family's own part in a few lines."""

    def __init__(self) -> None:
        outbox = Outbox(Loop())  # type: ignore[arg-type]  # as far as an outbox asks
        super().__init__(Bytes(), NoEmbeddings(), WaitingLine(1, outbox), outbox, 60.0)

    def step(self) -> bool:
        self._take_posts()
        self._drop_cancelled()
        while not self._placed and self.line.head is not None:
            self._placed.append(self.line.pop())
            self._placed[0].running.admitted = 1.0
        self.line.report()
        for answer in list(self._placed):
            prompt = answer.running.job.prompt
            self._say(answer, prompt[answer.said % len(prompt)], ())
        self._outbox.flush()
        return bool(self._placed or self.line.waiting)

    def _has_adapter(self, key: str) -> bool:
        return not key

    def _queue(self, running: RunningJob, answers: list[Echo]) -> None:
        self.line.add(answers)

    def _leave(self, answer: Echo) -> None:
        if answer in self._placed:
            self._placed.remove(answer)


@dataclass
class Asked:
    """A job, and what came of it."""

    stream: EventStream[Event]
    answers: list[Echo]
    held: Held

    @property
    def events(self) -> list[Event]:
        return self.stream._items

    @property
    def problem(self) -> str:
        return self.stream._error.reason or self.stream._error.code.name if self.stream._error else ""

    @property
    def freed(self) -> bool:
        return self.held.closed == 1 and all(answer.sampler.closed for answer in self.answers)

    def text(self, choice: int = 0) -> str:
        return "".join(event.text for event in self.events if isinstance(event, Tokens) and event.choice == choice)


def ask(echoes: Echoes, prompt: bytes, max_tokens: int = 100, adapter: str = "", **options: Any) -> Asked:
    job, stream, held = Job(list(prompt), max_tokens, **options), EventStream[Event](echoes.wake), Held()
    numbers = [number for number in range(job.choices) if not (job.said and job.said[number].ended)]
    running = RunningJob(job, stream, adapter, unfinished=len(numbers), held=held)
    answers = [Echo(running, number) for number in numbers]
    assert echoes.post(lambda: echoes.accept(running, answers))
    return Asked(stream, answers, held)


def run(echoes: Echoes) -> None:
    while echoes.step():
        pass


def test_an_answer_ends_with_the_turn_at_a_stop_string_or_at_its_limit() -> None:
    echoes = Echoes()
    turn, stop, limit = ask(echoes, b"abc\0"), ask(echoes, b"abcdef\0", stop=("cd",)), ask(echoes, b"abc\0", 2)
    run(echoes)
    assert [each.text() for each in (turn, stop, limit)] == ["abc", "ab", "ab"]
    ends = [next(event for event in each.events if isinstance(event, Ended)) for each in (turn, stop, limit)]
    assert ends == [Ended(0, EndReason.STOP), Ended(0, EndReason.STOP, "cd"), Ended(0, EndReason.LENGTH)]
    for each in (turn, stop, limit):
        assert isinstance(each.events[-1], Cost) and each.stream.ended and each.freed and not each.problem


def test_a_job_is_complete_when_its_last_choice_is() -> None:
    echoes = Echoes()
    both = ask(echoes, b"ab\0", choices=2)
    run(echoes)
    assert (both.text(0), both.text(1)) == ("ab", "ab")
    [cost] = [event for event in both.events if isinstance(event, Cost)]
    assert cost is both.events[-1] and cost.completion_tokens == 4


@pytest.mark.parametrize("steps", [1, 2])
def test_who_gives_up_is_gone_before_the_next_step_wherever_it_was(steps: int) -> None:
    echoes = Echoes()
    placed, waiting, other = ask(echoes, b"abcdef\0"), ask(echoes, b"xyz\0"), ask(echoes, b"ok\0")
    for _ in range(steps):
        echoes.step()
    before = placed.text()
    placed.stream.cancel()
    waiting.stream.cancel()
    run(echoes)
    assert (placed.text(), waiting.text(), other.text()) == (before, "", "ok")
    assert placed.problem == waiting.problem == "CANCELLED" and placed.freed and waiting.freed


def test_what_was_said_before_is_said_again_and_an_answer_that_it_ends_is_over() -> None:
    echoes = Echoes()
    said = (Said(list(b"ab")), Said(list(b"abc"), ended=True))
    goes_on, over = ask(echoes, b"abc\0", choices=2, said=said), ask(echoes, b"ab", 2, said=(Said(list(b"ab")),))
    run(echoes)
    again = [(event.choice, event.ids) for event in goes_on.events if isinstance(event, Tokens) and event.again]
    assert again == [(0, (97,)), (0, (98,)), (1, (97,)), (1, (98,)), (1, (99,))]
    assert goes_on.text() == "abc" and over.text() == "ab"
    assert isinstance(over.events[-1], Cost) and over.events[-1].completion_tokens == 2


def test_what_cannot_go_on_or_has_lost_its_adapter_is_told_and_frees_what_it_holds() -> None:
    echoes = Echoes()
    forbidden, lost = ask(echoes, b"ab", said=(Said([FORBIDDEN]),)), ask(echoes, b"ab", adapter="gone")
    run(echoes)
    assert (forbidden.problem, lost.problem) == ("CONTINUATION_UNSUPPORTED", "UNAVAILABLE")
    assert forbidden.freed and lost.freed and not echoes.line.waiting


def test_the_end_of_the_engine_is_heard_by_all_and_nothing_more_is_taken() -> None:
    echoes = Echoes()
    placed, waiting = ask(echoes, b"abc"), ask(echoes, b"abc")
    echoes.step()
    posted = ask(echoes, b"abc")
    echoes.fail_all(interrupted())
    assert [each.problem for each in (placed, waiting, posted)] == ["INTERRUPTED"] * 3
    assert placed.freed and waiting.freed and posted.freed
    assert not echoes.post(lambda: None)
