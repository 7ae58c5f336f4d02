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

from actors.model.answering import Answering
from actors.model.interface import Prefilling
from actors.model.logprobs import score
from actors.model.running import RunningJob, WaitingLine
from actors.model.stream import Outbox
from actors.transformers.embedding import Embedder
from actors.transformers.network import Network
from actors.transformers.rows import Rows
from actors.transformers.sampling import Logits
from actors.transformers.sequence import Group, Sequence
from actors.transformers.vocabulary import Vocabulary
from bus import RpcError

PATIENCE_SECONDS = 60.0
"""For a step that reads a part of a prompt, an adapter or texts to embed; those of single tokens are all alike."""

AHEAD = 32
"""Tokens that an answer must have room for when it is placed, so that it is not put back at once."""


class Stepper(Answering[Sequence, Group]):
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
        super().__init__(vocabulary, embedder, WaitingLine(slots, outbox), outbox, PATIENCE_SECONDS)
        self._network = network
        self._vocabulary = vocabulary
        self._embedder = embedder
        self._slots = slots
        self._batch = batch
        self._capacity = capacity
        self._reading: deque[tuple[Group, DynamicCache]] = deque()
        self._rows: dict[str, Rows] = {}

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
        return bool(self._placed or self.line.waiting or self._embedder.busy or self._inbox)

    def fail_all(self, problem: RpcError) -> None:
        """End every job with an error, and take no more."""
        super().fail_all(problem)
        self._rows.clear()

    # ---- placing

    def _has_adapter(self, key: str) -> bool:
        if key not in self._network:
            return False
        self._network.touch(key)
        return True

    def _queue(self, running: RunningJob, answers: list[Sequence]) -> None:
        """Choices that begin alike are read once, as many as may run together."""
        alike = 1 if running.job.said else max(1, min(self._slots, self._capacity // (len(running.job.prompt) + 1)))
        self.line.add(Group(answers[place : place + alike]) for place in range(0, len(answers), alike))

    def _admit(self) -> None:
        while (group := self.line.head) is not None and self._has_room(group):
            self.line.pop()
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
        found = () if job.alternatives is None else (score(logits, token, job.alternatives, self._vocabulary.piece),)
        return self._say(sequence, token, found)

    # ---- ending

    def _fail(self, running: RunningJob, problem: RpcError) -> None:
        super()._fail(running, problem)
        self._reading = deque(each for each in self._reading if each[0].running is not running)

    def _leave(self, answer: Sequence) -> None:
        if answer in self._placed:
            self._placed.remove(answer)
        rows = self._rows.get(answer.running.adapter)
        if rows is not None:
            rows.leave(answer)
