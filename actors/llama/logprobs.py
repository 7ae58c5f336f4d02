"""How likely a token was: natural logarithms of the softmax over the model's raw logits."""

import numpy as np

from actors.llama.binding import FloatArray
from actors.llama.vocabulary import Vocabulary
from actors.model.interface import Alternative, TokenScore


def score(logits: FloatArray, token: int, alternatives: int, vocabulary: Vocabulary) -> TokenScore:
    """The chosen token's score with its alternatives, likeliest first; the chosen one may be among them."""
    peak = logits.max()
    total = float(peak) + float(np.log(np.exp(logits - peak, dtype=np.float64).sum()))
    best = likeliest(logits, alternatives)
    others = tuple(Alternative(vocabulary.piece(int(each)), float(logits[each]) - total) for each in best)
    return TokenScore(vocabulary.piece(token), float(logits[token]) - total, others)


def likeliest(logits: FloatArray, count: int) -> list[int]:
    """The tokens with the highest logits, highest first."""
    if count == 0:
        return []
    count = min(count, len(logits))
    found = np.argpartition(logits, -count)[-count:]
    return [int(token) for token in found[np.argsort(-logits[found], kind="stable")]]
