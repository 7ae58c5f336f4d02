"""The engine's thread: it alone computes, and goes round and round through one step.

A step takes in what callers want (jobs, cancellations, adapters), places what waits, reads a part of one prompt, and
computes one token of every answer, those of one adapter together; what came of it goes to the event loop in one call.
So a cancellation is carried out before the next computation begins, and a new answer joins the others between two
steps.
"""

import time
from collections import deque

import torch
from transformers.cache_utils import DynamicCache

from actors.model.interface import Ended, EndReason, Event, Prefilling, Tokens
from actors.model.logprobs import score
from actors.model.stepping import Stepping
from actors.model.stream import Outbox
from actors.model.text import TextStream
from actors.transformers.embedding import Embedder
from actors.transformers.line import WaitingLine
from actors.transformers.network import Network
from actors.transformers.rows import Rows
from actors.transformers.sampling import Logits
from actors.transformers.sequence import Group, RunningJob, Sequence
from actors.transformers.vocabulary import Vocabulary
from bus import Code, RpcError
from bus.errors import cancelled

PATIENCE_SECONDS = 60.0
"""For a step that reads a part of a prompt, an adapter or texts to embed; those of single tokens are all alike."""

AHEAD = 32
"""Tokens that an answer must have room for when it is placed, so that it is not put back at once."""


class Stepper(Stepping):
    """Carries out jobs on one network.

    slots: answers at the same time. batch: tokens of a prompt in a step. capacity: tokens in all caches together, the
    padding included; what has outgrown it waits, the youngest first, and is read again.
    """

    def __init__(
        self,
        network: Network,
        vocabulary: Vocabulary,
        embedder: Embedder,
        outbox: Outbox,
        *,
        slots: int,
        batch: int,
        capacity: int,
    ) -> None:
        super().__init__(PATIENCE_SECONDS)
        self._network = network
        self._vocabulary = vocabulary
        self._embedder = embedder
        self._outbox = outbox
        self._slots = slots
        self._batch = batch
        self._capacity = capacity
        self._reading: deque[tuple[Group, DynamicCache]] = deque()
        self._rows: dict[str, Rows] = {}
        self._placed: list[Sequence] = []
        self.line = WaitingLine(slots, outbox)
        self.steps = 0

    @property
    def running(self) -> int:
        """Answers that have a slot."""
        return len(self._placed)

    # ---- on the engine's thread

    def step(self) -> bool:
        """One step; False if there is nothing to do until somebody wakes the engine."""
        self._patience = PATIENCE_SECONDS
        self._take_posts()
        self._drop_cancelled()
        self._admit()
        if self._embedder.busy:
            self._embedder.step(self._outbox)
        if self._reading:
            self._read_on()
        if self._placed:
            self._patience = PATIENCE_SECONDS if not self.steps else 0.0
            self._secure()
            for rows in [each for each in self._rows.values() if each.sequences]:
                self._generate(rows)
            self.steps += 1
        self._outbox.flush()
        self._rounds += 1
        return bool(self._placed or self.line.groups or self._embedder.busy or self._inbox)

    def accept(self, running: RunningJob, sequences: list[Sequence]) -> None:
        """Put a job into the line. What was said before is said again first."""
        if running.adapter not in self._network:
            message = "The adapter was unloaded meanwhile; repeat the call."
            self._close(running, RpcError(Code.UNAVAILABLE, message, retry_after=0.1))
            return
        self._network.touch(running.adapter)
        try:
            self._say_again(running, sequences)
        except RpcError as problem:
            self._close(running, problem)
            return
        for sequence in [each for each in sequences if running.job.said and each.is_over]:
            self._finish(sequence, EndReason.LENGTH)
        left = [each for each in sequences if not (running.job.said and each.is_over)]
        if not sequences:
            self._complete(running)
        for group in self._grouped(running, left):
            self.line.add(group)

    def adapters_in_use(self) -> set[str]:
        """Keys of adapters that waiting or placed answers need."""
        waiting = {group.running.adapter for group in self.line.groups}
        return waiting | {sequence.running.adapter for sequence in self._placed}

    def fail_all(self, problem: RpcError) -> None:
        """End every job with an error, and take no more."""
        self._end_posting()
        for running in self._jobs():
            self._fail(running, problem)
        self._embedder.fail(problem, self._outbox)
        self._outbox.flush()
        self._rows.clear()

    # ---- placing

    def _grouped(self, running: RunningJob, sequences: list[Sequence]) -> list[Group]:
        """Choices that begin alike are read once, as many as may run together."""
        alike = 1 if running.job.said else max(1, min(self._slots, self._capacity // (len(running.job.prompt) + 1)))
        return [Group(sequences[place : place + alike]) for place in range(0, len(sequences), alike)]

    def _say_again(self, running: RunningJob, sequences: list[Sequence]) -> None:
        still_open = {sequence.choice: sequence for sequence in sequences}
        for number, said in enumerate(running.job.said):
            sequence = still_open.get(number)
            text = sequence.text if sequence is not None else TextStream(running.job.stop)
            for token in said.ids:
                if sequence is not None:
                    sequence.sampler.accept(token)
                running.completion_tokens += 1
                shown = text.feed(self._vocabulary.visible(token, running.job.markers))
                self._emit(running, Tokens(number, shown, 1, ids=(token,), again=True))

    def _jobs(self) -> set[RunningJob]:
        return {each.running for each in self._placed} | {group.running for group in self.line.groups}

    def _drop_cancelled(self) -> None:
        for running in [each for each in self._jobs() if each.stream.cancelled]:
            self._fail(running, cancelled())

    def _admit(self) -> None:
        while self.line.groups and self._has_room(next(iter(self.line.groups))):
            group = self.line.pop()
            self._placed += group.sequences
            self._reading.append((group, DynamicCache()))
            running = group.running
            if not running.admitted:
                running.admitted = time.perf_counter()
                self._emit(running, Prefilling(0, len(group.tokens)))
        self.line.report()

    def _has_room(self, group: Group) -> bool:
        if not self._placed:
            return True
        count, tokens = len(group.sequences), len(group.tokens) + AHEAD
        rows = self._rows.get(group.running.adapter)
        more = rows.with_more(count, tokens) - rows.cells if rows is not None else count * tokens
        return len(self._placed) + count <= self._slots and self._cells() + more <= self._capacity

    def _cells(self) -> int:
        reading = sum(len(group.sequences) * (len(group.tokens) + 1) for group, _ in self._reading)
        return reading + sum(rows.cells for rows in self._rows.values())

    def _secure(self) -> None:
        """Make sure that each answer may take one more cell; the youngest one makes room if need be."""
        while len(self._placed) > 1 and self._cells() + len(self._placed) > self._capacity:
            youngest = self._placed[-1]
            for group, _ in [each for each in self._reading if youngest in each[0].sequences]:
                group.sequences.remove(youngest)
            self._reading = deque(each for each in self._reading if each[0].sequences)
            self._leave(youngest)
            self.line.put_back(Group([youngest]))

    # ---- computing

    def _read_on(self) -> None:
        """Read the next part of the prompt whose turn it is."""
        group, cache = self._reading[0]
        end = min(group.done + self._batch, len(group.tokens))
        self._network.use(group.running.adapter)
        logits = self._network.logits(
            torch.tensor([group.tokens[group.done : end]]),
            torch.ones((1, end), dtype=torch.long),
            torch.arange(group.done, end).unsqueeze(0),
            cache,
        )
        group.done = end
        if end < len(group.tokens):
            self._emit(group.running, Prefilling(end, len(group.tokens)))
            return
        self._reading.popleft()
        going_on = [sequence for sequence in group.sequences if self._take(sequence, logits[0])]
        if going_on:
            self._rows.setdefault(group.running.adapter, Rows(group.running.adapter)).join(going_on, cache, end)

    def _generate(self, rows: Rows) -> None:
        self._network.use(rows.adapter)
        sequences = list(rows.sequences)
        for sequence, logits in zip(sequences, rows.step(self._network), strict=True):
            self._take(sequence, logits)
        if not rows.sequences:
            self._rows.pop(rows.adapter, None)

    def _take(self, sequence: Sequence, logits: Logits) -> bool:
        """Choose the next token; False: the answer is complete."""
        running, job = sequence.running, sequence.running.job
        if sequence not in self._placed:  # another choice of its job has failed in this step
            return False
        try:
            token = sequence.sampler.choose(logits)
        except RpcError as problem:
            self._fail(running, problem)
            return False
        if not running.first_token:
            running.first_token = time.perf_counter()
        if token in self._vocabulary.ends and not job.ignore_end:
            self._finish(sequence, EndReason.STOP)
            return False
        found = () if job.alternatives is None else (score(logits, token, job.alternatives, self._vocabulary.piece),)
        sequence.tokens.append(token)
        running.completion_tokens += 1
        shown = sequence.text.feed(self._vocabulary.visible(token, job.markers))
        self._emit(running, Tokens(sequence.choice, shown, 1, found, (token,)))
        if sequence.is_over:
            self._finish(sequence, EndReason.LENGTH)
        return not sequence.is_over

    # ---- ending

    def _finish(self, sequence: Sequence, reason: EndReason) -> None:
        running = sequence.running
        rest = sequence.text.flush()
        if rest:
            self._emit(running, Tokens(sequence.choice, rest, 0))
        stop = sequence.text.stopped
        self._emit(running, Ended(sequence.choice, EndReason.STOP if stop else reason, stop))
        self._leave(sequence)
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
        for sequence in [each for each in self._placed if each.running is running]:
            self._leave(sequence)
        self._reading = deque(each for each in self._reading if each[0].running is not running)
        self.line.remove(running)
        self._close(running, problem)

    def _leave(self, sequence: Sequence) -> None:
        if sequence in self._placed:
            self._placed.remove(sequence)
        rows = self._rows.get(sequence.running.adapter)
        if rows is not None:
            rows.leave(sequence)

    def _close(self, running: RunningJob, problem: RpcError | None) -> None:
        self._outbox.add(lambda: running.stream.end(problem))

    def _emit(self, running: RunningJob, event: Event) -> None:
        self._outbox.add(lambda: running.stream.push(event))
