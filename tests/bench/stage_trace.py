"""Requests of a real chat service, given to models by lot; and what a model's work takes."""

import csv
import gzip
import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bus.priority import Priority

TRACE = Path(__file__).parent / "data" / "azure_llm_2023_conv.csv.gz"
SEED = 7

GB = 10**9
SIZES = (5.0, 8.0, 2.0, 9.0, 4.0, 6.0, 3.0, 7.0, 2.5, 8.5, 4.5, 5.5)
"""GB of the models, the most popular first; 3, 6 or 12 of them."""

POPULARITY = 1.0
"""Of the model in place k: 1 / k to this power."""

CLASSES = ((Priority.VOICE, 0.05), (Priority.INTERACTIVE, 0.85), (Priority.BATCH, 0.10))

DECODE_GB_PER_SECOND = 270.0
PREFILL_GB_TOKENS_PER_SECOND = 9000.0
"""Over a model's size in GB: its tokens a second in each slot. A card that reads 450 GB/s at 60 %: 9 GB write 30 tokens
and read 1,000 a second, 2 GB write 135 and read 4,500."""

STRETCH = 24.0
"""Times as slow as in the trace, which comes from many machines."""


@dataclass(frozen=True, slots=True)
class Model:
    """One of the models. size: bytes."""

    name: str
    size: int

    def seconds(self, prompt: int, generated: int) -> float:
        """How long a request takes."""
        gigabytes = self.size / GB
        return prompt * gigabytes / PREFILL_GB_TOKENS_PER_SECOND + generated * gigabytes / DECODE_GB_PER_SECOND


@dataclass(slots=True)
class Request:
    """One call. seconds: how long it takes once it runs; began: when it ran."""

    number: int
    at: float
    model: Model
    priority: Priority
    principal: str
    seconds: float
    began: float | None = None

    @property
    def waited(self) -> float:
        """Seconds from its arrival until it ran."""
        assert self.began is not None
        return self.began - self.at


def models(count: int) -> list[Model]:
    """The most popular ones."""
    return [Model(f"m{number}", int(size * GB)) for number, size in enumerate(SIZES[:count], 1)]


def requests(count: int, of: Sequence[Model], stretch: float = STRETCH) -> list[Request]:
    """The first requests of the trace, each given to a model, a class and one of ten people by a seeded lot."""
    lot = random.Random(SEED)
    weights = list(itertools.accumulate(1 / place**POPULARITY for place in range(1, len(of) + 1)))
    shares = list(itertools.accumulate(share for _, share in CLASSES))
    found = []
    with gzip.open(TRACE, "rt") as file:
        for number, row in enumerate(itertools.islice(csv.DictReader(file), count)):
            model = lot.choices(of, cum_weights=weights)[0]
            priority = lot.choices([one for one, _ in CLASSES], cum_weights=shares)[0]
            seconds = model.seconds(int(row["prompt"]), int(row["generated"]))
            person = f"p{lot.randrange(10)}"
            found.append(Request(number, float(row["seconds"]) * stretch, model, priority, person, seconds))
    return found
