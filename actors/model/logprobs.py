"""How likely a token was: natural logarithms of the softmax over the model's raw logits."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from actors.model.interface import Alternative, TokenScore


def score(logits: npt.NDArray[np.float32], token: int, alternatives: int, piece: Callable[[int], bytes]) -> TokenScore:
    """The chosen token's score with its alternatives, likeliest first; the chosen one may be among them.

    logits: of the whole vocabulary. piece: the bytes of a token.
    """
    peak = logits.max()
    total = float(peak) + float(np.log(np.exp(logits - peak, dtype=np.float64).sum()))
    best = likeliest(logits, alternatives)
    others = tuple(Alternative(piece(each), float(logits[each]) - total) for each in best)
    return TokenScore(piece(token), float(logits[token]) - total, others)


def likeliest(logits: npt.NDArray[np.float32], count: int) -> list[int]:
    """The tokens with the highest logits, highest first."""
    if count == 0:
        return []
    count = min(count, len(logits))
    found = np.argpartition(logits, -count)[-count:]
    return [int(token) for token in found[np.argsort(-logits[found], kind="stable")]]
