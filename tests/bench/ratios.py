"""Is one thing slower than another? From rounds in which both were measured, one right after the other.

What a machine does besides falls on both of a round alike, so a round's ratio tells more than either figure. The middle
of all ratios is compared with how far they lie apart: the median absolute deviation, as the standard error of a median.
Few rounds may lie together by chance; so nearly all of them have to say the same, besides.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

SIGMA_OF_DEVIATION = 1.4826
"""Of a normal distribution: its standard deviation in median absolute deviations."""

ERROR_OF_MEDIAN = 1.2533
"""Of a normal distribution: the standard error of a median in that of a mean, sqrt(pi / 2)."""

SURE = 3.0
"""So many standard errors are not chance."""

DISSENT = 0.1
"""The share of rounds that may say the opposite."""

FEWEST = 5
"""Rounds, below which the spread says nothing."""

LEAST = 0.03
"""What is not worth a word: the share by which two runs of the same program may differ for reasons of their start."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """ratio: new by old; above 1 is worse. noise: standard error of the ratio. allowed: how much above 1 is chance.

    agreed: nearly all rounds lie on that side of 1.
    """

    ratio: float
    noise: float
    allowed: float
    agreed: bool

    @property
    def worse(self) -> bool:
        return self.agreed and self.ratio > 1 + self.allowed

    @property
    def better(self) -> bool:
        return self.agreed and self.ratio < 1 / (1 + self.allowed)


def verdict(new: Sequence[float], old: Sequence[float]) -> Verdict:
    """Figures of the same rounds, of which less is better. Raises ValueError for fewer than FEWEST, or not above 0."""
    if len(new) < FEWEST:
        raise ValueError(f"{len(new)} rounds are too few to tell chance from change; {FEWEST} are needed.")
    logs = [math.log(mine / theirs) for mine, theirs in zip(new, old, strict=True)]
    middle = statistics.median(logs)
    deviation = statistics.median(abs(each - middle) for each in logs)
    noise = SIGMA_OF_DEVIATION * ERROR_OF_MEDIAN * deviation / math.sqrt(len(logs))
    dissent = sum(each * middle <= 0 for each in logs)
    agreed = dissent <= DISSENT * len(logs)
    return Verdict(math.exp(middle), noise, max(LEAST, math.expm1(SURE * noise)), agreed)
