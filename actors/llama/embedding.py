"""Embeddings: several inputs per step, in a context of their own.

Models that bring their own pooling (encoders) compute whole inputs. For all others the embedding is the mean over the
tokens' last hidden states, summed up here, because llama.cpp pools within one batch and a long input takes several.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from actors.llama.binding import Batch, FloatArray, NativeContext, NativeModel
from actors.llama.engine_limits import SEQUENCES
from actors.llama.slots import TokenArray
from actors.model.interface import Embedding
from actors.model.memory import Context
from actors.model.stream import EventStream, Outbox
from bus import Code, RpcError
from bus.errors import cancelled

NO_POOLING = 0
"""LLAMA_POOLING_TYPE_NONE."""


@dataclass(eq=False, slots=True)
class EmbeddingWork:
    """The inputs of a call and how far they have come."""

    inputs: Sequence[TokenArray]
    stream: EventStream[Embedding]
    place: int = 0
    """The input that comes next."""
    offset: int = 0
    """Its tokens that are done."""
    total: FloatArray | None = None
    """The sum over these tokens."""


@dataclass(slots=True)
class Piece:
    """A run of one input's tokens in a batch."""

    index: int
    start: int
    tokens: TokenArray
    first: int
    """Place of the run in its input."""
    sequence: int
    last: bool = field(default=False)


class Embedder:
    """Takes turns with generation, one batch at a time. On the engine's thread."""

    def __init__(
        self, model: NativeModel, dimensions: int, sizes: Context, pooling: int, threads: int, *, at_once: bool
    ) -> None:
        """sizes: of its context, which is made at once or when it is first needed."""
        self._dimensions = dimensions
        self._pooled = pooling != NO_POOLING
        self._batch = Batch(sizes.batch)
        self._batch.output[:] = 1
        self._make: Callable[[], NativeContext] = lambda: NativeContext(
            model, cells=sizes.cells, batch=sizes.batch, sequences=sizes.sequences, threads=threads, pooling=pooling
        )
        self._context: NativeContext | None = self._make() if at_once else None
        self._works: deque[EmbeddingWork] = deque()

    @property
    def busy(self) -> bool:
        """Whether there is work."""
        return bool(self._works)

    def add(self, work: EmbeddingWork) -> None:
        """Take on the inputs of a call."""
        self._works.append(work)

    def step(self, outbox: Outbox, room: int) -> None:
        """Compute one batch of about `room` tokens at most for the call whose turn it is."""
        work = self._works.popleft()
        if work.stream.cancelled:
            self._forget()
            _end(work, outbox, cancelled())
            return
        try:
            self._compute(work, outbox, room)
        except RpcError as problem:
            _end(work, outbox, problem)
            return
        if work.place < len(work.inputs):
            # A long input stays in turn until it is complete: its earlier tokens are in the cache.
            self._works.appendleft(work) if work.offset else self._works.append(work)
        else:
            _end(work, outbox, None)

    def fail(self, problem: RpcError, outbox: Outbox) -> None:
        """End all calls with an error."""
        while self._works:
            _end(self._works.popleft(), outbox, problem)

    def close(self) -> None:
        """Free the context."""
        if self._context is not None:
            self._context.close()
            self._context = None

    def _compute(self, work: EmbeddingWork, outbox: Outbox, room: int) -> None:
        if self._context is None:
            self._context = self._make()
        pieces = self._pack(work, room)
        end = pieces[-1].start + len(pieces[-1].tokens)
        self._batch.output[:end] = 1
        code = self._context.decode(self._batch, end)
        if code != 0:
            self._forget()
            raise RpcError(Code.INTERNAL, f"llama.cpp could not compute the embedding (code {code}).")
        for piece in pieces:
            self._take(work, piece, end, self._context, outbox)

    def _pack(self, work: EmbeddingWork, limit: int) -> list[Piece]:
        """The next inputs; only unpooled ones may be cut, so a pooled one may exceed the limit."""
        pieces: list[Piece] = []
        place, offset, used = work.place, work.offset, 0
        while place < len(work.inputs) and len(pieces) < SEQUENCES:
            rest = work.inputs[place][offset:]
            size = self._batch.size if self._pooled and not pieces else min(self._batch.size, max(limit, 32))
            room = size - used
            if room <= 0 or (len(rest) > room and (self._pooled or pieces)):
                break
            piece = Piece(place, used, rest[:room], offset, place % SEQUENCES, last=len(rest) <= room)
            used = self._batch.put(used, piece.tokens, offset, piece.sequence)
            pieces.append(piece)
            place, offset = (place + 1, 0) if piece.last else (place, offset + len(piece.tokens))
        work.place, work.offset = place, offset
        return pieces

    def _take(self, work: EmbeddingWork, piece: Piece, tokens: int, context: NativeContext, outbox: Outbox) -> None:
        if self._pooled:
            values = context.embedding(piece.sequence, self._dimensions)
        else:
            rows = context.token_embeddings(tokens, self._dimensions)[piece.start : piece.start + len(piece.tokens)]
            values = rows.sum(axis=0) if work.total is None else work.total + rows.sum(axis=0)
            work.total = None if piece.last else values
        if piece.last:
            context.cut(piece.sequence, 0)
            found = Embedding(piece.index, normalised(values), piece.first + len(piece.tokens))
            outbox.add(lambda: work.stream.push(found))

    def _forget(self) -> None:
        for sequence in range(SEQUENCES):
            if self._context is not None:
                self._context.cut(sequence, 0)


def normalised(values: FloatArray) -> list[float]:
    """The vector scaled to length 1; a vector of zeros stays as it is."""
    length = float(np.linalg.norm(values))
    scaled = values / length if length > 0 else values
    return [float(value) for value in scaled]


def _end(work: EmbeddingWork, outbox: Outbox, problem: RpcError | None) -> None:
    outbox.add(lambda: work.stream.end(problem))
