"""Whether greedy answers that are taken up in another engine are what they would have been, and how far logits stray.

Answers are written alone, then nine at a time are taken up at random places, as after a kill. GOING_ON_MODEL names a
GGUF file to measure beside troupe-tiny.
"""

import asyncio
import os
import random
from pathlib import Path
from typing import Any

import numpy as np

from actors.llama.catalog import SHIPPED
from actors.llama.engine import LlamaEngine
from actors.llama.sequence import Sequence
from actors.llama.settings import LlamaSettings
from actors.llama.stepper import Stepper
from actors.model.interface import Job, Said, SamplingSettings, Tokens
from actors.model.prompt import ChatTemplate
from table import Table

TOGETHER = 9
CONTEXT = 512
MOST_TOKENS = 48
ROUNDS = 20
QUESTIONS = [
    "What is a troupe?",
    "Lệnh nào khởi động Troupe?",
    "Which port does gRPC use?",
    "What is credit?",
    "Name three animals.",
    "Write a short poem about rain.",
    "Explain what a computer is.",
    "Say hello to Anna.",
]
GREEDY = SamplingSettings(temperature=0)
CACHES = {"one for all": 2 * CONTEXT, "a part for each": TOGETHER * CONTEXT}


class Watched:
    """An engine that computes when told, and what it has seen: by job, its tokens and the logits of each."""

    def __init__(self, path: Path, cells: int) -> None:
        settings = LlamaSettings(threads=1, slots=TOGETHER, context=CONTEXT, cache_tokens=cells)
        self.engine = LlamaEngine.load(path, settings, asyncio.get_running_loop())
        self._seen: dict[Any, list[np.ndarray[Any, Any]]] = {}
        choose = Stepper._choose

        def watching(stepper: Stepper, sequence: Sequence, place: int) -> Any:
            self._seen.setdefault(sequence.running.stream, []).append(stepper._context.logits(place).copy())
            return choose(stepper, sequence, place)

        self.engine._stepper._choose = watching.__get__(self.engine._stepper)  # type: ignore[method-assign]

    async def run(self, jobs: list[Job]) -> list[tuple[list[int], list[np.ndarray[Any, Any]]]]:
        """Tokens and logits of each job; nothing is reused of those before."""
        for slot in self.engine._stepper._table.slots:
            self.engine._context.cut(slot.index, 0)
            slot.cached = 0
        streams = [self.engine.submit(job) for job in jobs]
        while self.engine.step():
            pass
        found = []
        for stream in streams:
            events = [event async for events in stream for event in events if isinstance(event, Tokens)]
            found.append(([token for event in events for token in event.ids], self._seen.pop(stream)))
        return found


async def measure(path: Path, cells: int) -> tuple[int, int, list[float], list[float]]:
    """Answers that were taken up, those that differ, the gaps where they do first, and the noise of each token."""
    watched = Watched(path, cells)
    template = ChatTemplate(watched.engine.info)
    chats = [template.render([{"role": "user", "content": question}], [], {}) for question in QUESTIONS]
    prompts = [template.tokenize(chat, watched.engine) for chat in chats]
    whole = [(await watched.run([Job(prompt, MOST_TOKENS, sampling=GREEDY)]))[0] for prompt in prompts]
    chance, taken_up, gaps, noise = random.Random(1), 0, list[float](), list[float]()
    for _ in range(ROUNDS):
        which = [chance.randrange(len(prompts)) for _ in range(TOGETHER)]
        cuts = [chance.randrange(1, len(whole[number][0])) for number in which]
        jobs = [
            Job(prompts[number], MOST_TOKENS, sampling=GREEDY, said=[Said(whole[number][0][:cut])])
            for number, cut in zip(which, cuts, strict=True)
        ]
        for number, cut, (ids, logits) in zip(which, cuts, await watched.run(jobs), strict=True):
            wanted, known = whole[number]
            pairs = enumerate(zip(ids, wanted, strict=False))
            differs = next((place for place, (token, other) in pairs if token != other), -1)
            same = len(known) if differs < 0 else differs + 1
            noise += [float(np.abs(a - b).max()) for a, b in zip(logits, known[cut:same], strict=False)]
            taken_up += 1
            if differs >= 0:
                first, second = np.partition(known[differs], -2)[-2:][::-1]
                gaps.append(float(first - second))
    await watched.engine.close()
    return taken_up, len(gaps), gaps, noise


async def main() -> None:
    table = Table(
        "going_on",
        "Greedy answers taken up in another process, nine at a time, beside the same answers written alone",
        ("model", "cache", "as they would have been", "logits differ by, median", "at most", "gap where they part"),
        notes=[
            "The gap is that between the two likeliest tokens at the first other one. Where the cache has a part for "
            "each slot, nothing depends on what else is computed; in one cache for all, sums run in another order."
        ],
    )
    paths = [SHIPPED / "troupe-tiny.gguf", *map(Path, filter(None, [os.environ.get("GOING_ON_MODEL", "")]))]
    for path in paths:
        for name, cells in CACHES.items():
            taken_up, others, gaps, noise = await measure(path, cells)
            far = f"{min(gaps):.2f} to {max(gaps):.2f}" if gaps else ""
            row = (path.stem, name, f"{taken_up - others} of {taken_up}")
            table.rows.append((*row, f"{np.median(noise):.2f}", f"{max(noise):.2f}", far))
    table.publish()


if __name__ == "__main__":
    asyncio.run(main())
