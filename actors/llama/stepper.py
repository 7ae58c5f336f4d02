"""The engine's thread: it alone touches the context, and goes round and round through one step.

A step takes in what callers want (jobs, cancellations, adapters), places waiting sequences, plans rows, computes
them, chooses a token for each finished row, and hands everything that came of it to the event loop in one call. So a
cancellation is carried out before the next computation begins, whatever its job was doing.
"""

import time

from actors.llama.adapters import AdapterShelf
from actors.llama.binding import Batch, NativeContext, NativeModel
from actors.llama.embedding import Embedder
from actors.llama.schedule import AdapterRotation, PrefillBudget, Row, RowGrouping, plan
from actors.llama.sequence import Sequence
from actors.llama.settings import LlamaSettings
from actors.llama.slots import Placement, SlotTable
from actors.llama.vocabulary import Vocabulary
from actors.model.answering import Answering
from actors.model.interface import Prefilling, TokenScore
from actors.model.logprobs import score
from actors.model.running import RunningJob, WaitingLine
from actors.model.stream import Outbox
from bus import Code, RpcError

PATIENCE = 4
"""A prompt's computation may take so many times what its length lets expect."""
FIRST_SECONDS = 60.0
"""Where nothing lets expect anything yet: the first computation may have to read the whole file from the disk."""


class Stepper(Answering[Sequence, Sequence]):
    """Carries out jobs on one context."""

    def __init__(
        self,
        model: NativeModel,
        vocabulary: Vocabulary,
        context: NativeContext,
        table: SlotTable,
        embedder: Embedder,
        settings: LlamaSettings,
        outbox: Outbox,
    ) -> None:
        super().__init__(vocabulary, embedder, WaitingLine(settings.slots, outbox), outbox, FIRST_SECONDS)
        self._vocabulary = vocabulary
        self._context = context
        self._table = table
        self._embedder = embedder
        # llama.cpp takes no batch that is larger than its cache.
        size = min(settings.batch, table.capacity)
        self._batch = Batch(size)
        self._budget = PrefillBudget(size, settings.gap_seconds)
        self._rotation = AdapterRotation(settings.adapter_run)
        self._grouping = RowGrouping(may_part=not model.offloaded)
        self._ahead = settings.answer_reserve
        self.shelf = AdapterShelf(model, context, settings.adapter_limit)
        self.prompt_tokens = 0

    # ---- on the engine's thread

    def step(self) -> bool:
        """One step; False if there is nothing to do until somebody wakes the engine."""
        self._patience = FIRST_SECONDS  # an adapter is read, an embedding is computed
        self._take_posts()
        self._drop_cancelled()
        self._admit()
        if self._embedder.busy:
            self._embedder.step(self._outbox, self._budget.tokens(len(self._placed), 1))
        if self._placed:
            self._compute()
            self.steps += 1
        self._outbox.flush()
        self._rounds += 1
        return bool(self._placed or self.line.waiting or self._embedder.busy or self._inbox)

    # ---- placing

    def _has_adapter(self, key: str) -> bool:
        if key not in self.shelf:
            return False
        self.shelf.touch(key)
        return True

    def _queue(self, running: RunningJob, answers: list[Sequence]) -> None:
        answers[0].share(answers)
        self.line.add(answers)

    def _admit(self) -> None:
        while (sequence := self.line.head) is not None and sequence.ready:
            placement = self._table.place(sequence.tokens, sequence.adapter, sequence.reserve(self._ahead))
            if placement is None:
                break
            self.line.pop()
            self._occupy(sequence, placement)
        self.line.report()

    def _occupy(self, sequence: Sequence, placement: Placement) -> None:
        slot, context = placement.slot, self._context
        if placement.moved is not None:
            context.copy(slot.index, placement.moved.index, placement.moved.cached)
        if not context.cut(slot.index, placement.kept):
            context.cut(slot.index, 0)
            slot.cached = 0
        elif placement.source is not None:
            context.copy(placement.source.index, slot.index, placement.reused)
        slot.tokens = sequence.buffer
        sequence.slot = slot
        self._placed.append(sequence)
        self._note_admission(sequence, slot.cached)

    def _note_admission(self, sequence: Sequence, cached: int) -> None:
        running = sequence.running
        if not running.admitted:
            running.admitted = time.perf_counter()
            running.cached_tokens = min(cached, len(running.job.prompt))
            self._emit(running, Prefilling(cached, sequence.length))

    # ---- computing

    def _compute(self) -> None:
        adapter = self._rotation.choose([sequence.adapter for sequence in self._placed])
        self._secure([sequence for sequence in self._placed if sequence.adapter == adapter])
        group = [sequence for sequence in self._placed if sequence.adapter == adapter]
        if not group:
            return
        rows = plan(group, self._budget)
        self._context.use_adapter(adapter)
        prompt_tokens = sum(row.count for row in rows if row.count > 1)
        generating = sum(row.count == 1 for row in rows)
        apart = not prompt_tokens and self._grouping.apart(generating)
        seconds = sum(self._decode([row]) for row in rows) if apart else self._decode(rows)
        self._budget.observe(generating, prompt_tokens, seconds)
        if not prompt_tokens:
            self._grouping.observe(generating, apart, seconds)

    def _decode(self, rows: list[Row[Sequence]]) -> float:
        """Compute rows and choose their tokens; returns the seconds that the computation took."""
        # Where each slot has a part of the cache, llama.cpp computes only neighbours together, in ascending order.
        rows.sort(key=_place)
        tokens = self._fill(rows)
        if not tokens:
            return 0.0
        self._patience = self._expected(rows)
        began = time.perf_counter()
        code = self._context.decode(self._batch, tokens)
        if code != 0:
            raise RpcError(Code.INTERNAL, f"llama.cpp could not compute a step of {tokens} tokens (code {code}).")
        seconds = time.perf_counter() - began
        for row in rows:
            self._advance(row)
        return seconds

    def _expected(self, rows: list[Row[Sequence]]) -> float:
        """Seconds to be patient with this computation; 0: it is like those before."""
        prompt_tokens = sum(row.count for row in rows if row.count > 1)
        if not prompt_tokens and self.steps:
            return 0.0
        return PATIENCE * self._budget.expected(prompt_tokens) or FIRST_SECONDS

    def _secure(self, group: list[Sequence]) -> None:
        """Make sure that each generating sequence may take one more cell; the youngest one makes room if need be."""
        for sequence in group:
            slot = sequence.slot
            if slot is None or sequence.length <= slot.reserved:
                continue
            while not self._table.grow(slot, sequence.reserve(self._ahead)):
                youngest = self._placed[-1]
                self._suspend(youngest)
                if youngest is sequence:
                    break

    def _suspend(self, sequence: Sequence) -> None:
        """Put a sequence back at the head of the line; what it has computed stays as long as there is room."""
        self._leave(sequence)
        self.line.put_back(sequence)

    def _fill(self, rows: list[Row[Sequence]]) -> int:
        batch, end = self._batch, 0
        for row in rows:
            sequence = row.sequence
            slot = sequence.slot
            if slot is None:
                continue
            if row.count == 1:
                place, end = end, end + 1
                batch.token[place] = sequence.buffer[slot.cached]
                batch.position[place] = slot.cached
                batch.sequence[place] = slot.index
            else:
                end = batch.put(end, sequence.buffer[slot.cached : slot.cached + row.count], slot.cached, slot.index)
            complete = row.count == sequence.pending
            batch.output[end - 1] = complete
            row.output = end - 1 if complete else -1
        return end

    def _advance(self, row: Row[Sequence]) -> None:
        sequence = row.sequence
        if sequence.slot is None:
            return
        sequence.slot.cached += row.count
        if not sequence.prefilled:
            self.prompt_tokens += row.count
        if row.output < 0:
            self._emit(sequence.running, Prefilling(sequence.slot.cached, sequence.length))
            return
        try:
            token, scores = self._choose(sequence, row.output)
        except RpcError as problem:
            self._fail(sequence.running, problem)
            return
        sequence.prefilled = True
        self._say(sequence, token, scores)

    def _choose(self, sequence: Sequence, place: int) -> tuple[int, tuple[TokenScore, ...]]:
        token = sequence.sampler.choose(self._context, place)
        alternatives = sequence.running.job.alternatives
        if alternatives is None:
            return token, ()
        return token, (score(self._context.logits(place), token, alternatives, self._vocabulary.piece),)

    # ---- ending

    def _leave(self, sequence: Sequence) -> None:
        if sequence.slot is not None:
            self._placed.remove(sequence)
            self._table.release(sequence.slot)
            sequence.slot = None


def _place(row: Row[Sequence]) -> int:
    return row.sequence.slot.index if row.sequence.slot is not None else -1
