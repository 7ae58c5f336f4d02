"""Choosing the next token from a row of logits: bias, penalties, top-k, top-p, min-p, temperature, draw.

The order and the meaning of each are those of the other families. A draw is a pure function of the seed and of the
token's place in its answer, so an answer that goes on elsewhere draws as it would here.
"""

import hashlib
import secrets
import struct
from collections import Counter, deque
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from actors.model.interface import SamplingSettings
from actors.model.refusals import dead_end
from bus.errors import continuation_unsupported

Logits = npt.NDArray[np.float32]
REPEAT_WINDOW = 64
"""Tokens that the repeat penalty looks back on, those of the prompt included."""
SEEDED = struct.Struct("<QQ")
"""Seed and place of a token."""


class Gate(Protocol):
    """What may veto tokens: a constraint."""

    def allows(self, token: int) -> bool:
        """Whether the token may come next."""

    def mask(self) -> npt.NDArray[np.bool_]:
        """Of each token whether it may come next."""

    def accept(self, token: int) -> None:
        """The token was chosen; it must be allowed."""


class Sampler:
    """Chooses the tokens of one sequence.

    choice: number of the sequence in its job. prompt: what comes before. gate: of this sequence alone.
    """

    def __init__(
        self, settings: SamplingSettings, *, choice: int = 0, prompt: Sequence[int] = (), gate: Gate | None = None
    ) -> None:
        self._settings = settings
        self._seed = (secrets.randbits(62) if settings.seed is None else settings.seed) + choice
        self._window = deque(prompt[-REPEAT_WINDOW:], REPEAT_WINDOW)
        self._counts = Counter[int]()
        self._position = 0
        self._gate = gate

    def choose(self, logits: Logits) -> int:
        """The next token, which is accepted. The logits stay as they are.

        Raises RpcError INVALID_SCHEMA if the constraint leaves none.
        """
        scores = self._adjusted(logits)
        token = self._pick(scores)
        # A model mostly says what it may; asking about one token costs a hundredth of asking about all.
        if self._gate is not None and not self._gate.allows(token):
            scores = np.where(self._gate.mask()[: len(scores)], scores, np.float32(-np.inf))
            if not np.isfinite(scores.max()):
                raise dead_end()
            token = self._pick(scores)
        self._take(token)
        return token

    def accept(self, token: int) -> None:
        """Take a token that was chosen elsewhere. Raises CONTINUATION_UNSUPPORTED if it breaks the constraint."""
        if self._gate is not None and not self._gate.allows(token):
            raise continuation_unsupported("what was said before breaks the requested format.")
        self._take(token)

    def close(self) -> None:
        """Nothing is held outside of Python."""

    def _pick(self, scores: Logits) -> int:
        return int(scores.argmax()) if self._settings.temperature <= 0 else self._draw(scores)

    def _take(self, token: int) -> None:
        if self._gate is not None:
            self._gate.accept(token)
        self._position += 1
        self._window.append(token)
        self._counts[token] += 1

    def _adjusted(self, logits: Logits) -> Logits:
        own = self._settings
        if not own.logit_bias and not own.frequency_penalty and not own.presence_penalty and own.repeat_penalty == 1:
            return logits
        scores = logits.copy()
        for token, bias in own.logit_bias.items():
            if 0 <= token < len(scores):
                scores[token] += bias
        if own.repeat_penalty != 1 and self._window:
            seen = np.fromiter(set(self._window), np.int64)
            scores[seen] = np.where(
                scores[seen] > 0, scores[seen] / own.repeat_penalty, scores[seen] * own.repeat_penalty
            )
        for token, count in self._counts.items() if own.frequency_penalty or own.presence_penalty else ():
            scores[token] -= count * own.frequency_penalty + own.presence_penalty
        return scores

    def _draw(self, scores: Logits) -> int:
        own, size = self._settings, len(scores)
        kept = min(own.top_k, size) if own.top_k > 0 else size
        best = np.argpartition(scores, -kept)[-kept:] if kept < size else np.arange(size)
        best = best[np.argsort(-scores[best], kind="stable")]
        chances = _softmax(scores[best])
        if own.top_p < 1:
            best = best[: int(np.searchsorted(np.cumsum(chances), own.top_p)) + 1]
        if own.min_p > 0:
            best = best[: max(1, int((chances[: len(best)] >= own.min_p * chances[0]).sum()))]
        totals = np.cumsum(_softmax(scores[best] / own.temperature))
        place = int(np.searchsorted(totals, _uniform(self._seed, self._position) * totals[-1], side="right"))
        return int(best[min(place, len(best) - 1)])


def _softmax(scores: Logits) -> npt.NDArray[np.float64]:
    powers: npt.NDArray[np.float64] = np.exp(scores.astype(np.float64) - float(scores.max()))
    powers /= powers.sum()
    return powers


def _uniform(seed: int, position: int) -> float:
    """From 0 to 1, excluded: always the same for a seed and a place."""
    mixed = hashlib.blake2b(SEEDED.pack(seed & (1 << 64) - 1, position), digest_size=8).digest()
    return int.from_bytes(mixed, "little") / (1 << 64)
