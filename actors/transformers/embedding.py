"""Embeddings: several texts in one forward pass, padded at their right."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from actors.model.interface import Embedding
from actors.model.stream import EventStream, Outbox
from actors.transformers.network import Network
from bus.errors import RpcError, cancelled

TEXTS = 16
"""Texts in a pass."""


@dataclass(eq=False, slots=True)
class EmbeddingWork:
    """The inputs of a call and how far they have come."""

    inputs: Sequence[Sequence[int]]
    stream: EventStream[Embedding]
    done: int = 0


class Embedder:
    """Takes turns with generation, one pass at a time, and calls with each other. On the engine's thread.

    pooling: how vectors of tokens become one of a text, see `folder.pooling`. batch: tokens in a pass, the padding
    included; a longer text is computed alone.
    """

    def __init__(self, network: Network, pooling: str, batch: int) -> None:
        self._network = network
        self._pooling = pooling
        self._batch = batch
        self._works: deque[EmbeddingWork] = deque()

    @property
    def busy(self) -> bool:
        """Whether there is work."""
        return bool(self._works)

    def add(self, work: EmbeddingWork) -> None:
        """Take on the inputs of a call."""
        self._works.append(work)

    def step(self, outbox: Outbox) -> None:
        """Compute one pass for the call whose turn it is."""
        work = self._works.popleft()
        if work.stream.cancelled:
            _end(work, outbox, cancelled())
            return
        texts = self._next(work)
        self._works.append(work)  # so that a step that fails fails it, too
        for place, vector in enumerate(self._compute(texts), work.done):
            _push(work, outbox, Embedding(place, vector, len(work.inputs[place])))
        work.done += len(texts)
        if work.done == len(work.inputs):
            self._works.pop()
            _end(work, outbox, None)

    def fail(self, problem: RpcError, outbox: Outbox) -> None:
        """End all calls with an error."""
        while self._works:
            _end(self._works.popleft(), outbox, problem)

    def _next(self, work: EmbeddingWork) -> list[Sequence[int]]:
        chosen: list[Sequence[int]] = []
        widest = 0
        for tokens in work.inputs[work.done : work.done + TEXTS]:
            widest = max(widest, len(tokens))
            if chosen and widest * (len(chosen) + 1) > self._batch:
                break
            chosen.append(tokens)
        return chosen

    def _compute(self, texts: list[Sequence[int]]) -> list[list[float]]:
        widest = max(len(tokens) for tokens in texts)
        tokens = torch.zeros((len(texts), widest), dtype=torch.long)
        mask = torch.zeros((len(texts), widest), dtype=torch.long)
        for row, text in enumerate(texts):
            tokens[row, : len(text)] = torch.tensor(text)
            mask[row, : len(text)] = 1
        self._network.use("")
        vectors = pooled(self._network.hidden(tokens, mask), mask, self._pooling)
        return [[float(value) for value in row] for row in torch.nn.functional.normalize(vectors, dim=1)]


def pooled(states: torch.Tensor, mask: torch.Tensor, how: str) -> torch.Tensor:
    """One vector of each text [texts, dimensions] from those of its tokens [texts, tokens, dimensions]."""
    if how == "cls":
        return states[:, 0]
    if how == "lasttoken":
        return states[torch.arange(len(states)), mask.sum(dim=1) - 1]
    there = mask.unsqueeze(-1)
    if how == "max":
        return states.masked_fill(there == 0, -torch.inf).amax(dim=1)
    return (states * there).sum(dim=1) / there.sum(dim=1)


def _push(work: EmbeddingWork, outbox: Outbox, found: Embedding) -> None:
    outbox.add(lambda: work.stream.push(found))


def _end(work: EmbeddingWork, outbox: Outbox, problem: RpcError | None) -> None:
    outbox.add(lambda: work.stream.end(problem))
