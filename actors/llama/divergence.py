"""How far one model's next-token distributions lie from another's, over the tokens of a text. Pure numpy.

The Kullback-Leibler divergence of P, the source's, from Q, the new model's, is the sum over the vocabulary of
p (ln p - ln q), in nats (S. Kullback, R. A. Leibler, On Information and Sufficiency, 1951); llama.cpp's perplexity tool
tells the same of its quantizations. Perplexity is exp of the mean negative log likelihood of the tokens that are there
(F. Jelinek and others, 1977).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

WINDOW = 256
"""Tokens that are looked at together."""
STRIDE = WINDOW // 2
"""A window begins so many after the one before; what both have is predicted in the earlier one alone."""
PIECE = 64
"""Tokens of a window that are computed at once: so many rows of logits are in memory."""
MOST_TOKENS = 2048
MOST_BYTES = 1 << 30
"""Of the source's numbers, which are kept on the disk until the new model has said its own."""
LEAST_TOKENS = 32
"""Of fewer the figures say nothing."""


@dataclass(frozen=True, slots=True)
class Window:
    """A run of a text. start: of its tokens. first: the place in it from which on predictions count. end: after it."""

    start: int
    first: int
    end: int

    @property
    def predicted(self) -> int:
        """Predictions that count: each token after `first`."""
        return self.end - self.start - 1 - self.first


def usable(tokens: int, vocabulary: int) -> int:
    """How many of a text's tokens are used."""
    return min(tokens, MOST_TOKENS, MOST_BYTES // (4 * vocabulary))


def windows(tokens: int, context: int = WINDOW) -> Iterator[Window]:
    """Every token but the first is predicted once, all but the first windows' with half a window before it.

    context: tokens that the model holds; shorter ones make shorter windows.
    """
    size = min(WINDOW, context)
    stride = max(1, size // 2)
    reached = 0
    for start in range(0, max(1, tokens), stride):
        end = min(tokens, start + size)
        if end - 1 > reached:
            yield Window(start, reached - start, end)
            reached = end - 1
        if end == tokens:
            return


@dataclass(slots=True)
class Comparison:
    """Adds up what two models say of one token after the other."""

    _kl: list[float] = field(default_factory=list)
    _same: int = 0
    _losses: list[tuple[float, float]] = field(default_factory=list)

    def add(self, source: Floats, other: Floats, follows: npt.NDArray[np.int32]) -> None:
        """Logits of both for some places, one row each, and the tokens that follow there."""
        p, q = log_softmax(source), log_softmax(other)
        self._kl += np.maximum(0.0, (np.exp(p) * (p - q)).sum(axis=1)).tolist()
        self._same += int((p.argmax(axis=1) == q.argmax(axis=1)).sum())
        rows = np.arange(len(follows))
        self._losses += list(zip((-p[rows, follows]).tolist(), (-q[rows, follows]).tolist(), strict=True))

    def result(self) -> "Figures":
        """What came of it. Something was added."""
        losses = np.array(self._losses)
        before, after = np.exp(losses.mean(axis=0))
        count = len(self._kl)
        return Figures(
            count, float(np.mean(self._kl)), float(np.percentile(self._kl, 99)), self._same / count, float(before),
            float(after),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Figures:
    """As troupe.model.v1.Divergence has them."""

    tokens: int
    mean_kl: float
    p99_kl: float
    same_top: float
    source_perplexity: float
    perplexity: float


def log_softmax(logits: Floats) -> npt.NDArray[np.float64]:
    """Natural logarithms of the probabilities of each row."""
    wide = logits.astype(np.float64)
    wide -= wide.max(axis=1, keepdims=True)
    wide -= np.log(np.exp(wide).sum(axis=1, keepdims=True))
    return wide
