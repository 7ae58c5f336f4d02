"""How fast a model is that is served now: asked as anybody asks it."""

import asyncio
import random
import statistics
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from bus import Code, RpcError
from bus.channel import Channel
from bus.context import duration
from troupe.chat.v1 import ChatServiceClient, CompleteRequest, Sampling, Usage
from troupe.embedding.v1 import EmbeddingServiceClient, EmbedRequest
from troupe.model.v1 import Figures

CALL_SECONDS = 300.0
"""One call may take so long."""
SHORT_WORDS = 8
"""Of the prompt whose first token is waited for."""
FIRST_TIMES = 5
ANSWER_TOKENS = 64
ENOUGH_TOKENS, MOST_CALLS = 64, 6
"""Answers end when the model ends them: it is asked until it has said so much, or so often."""
LONG_TOKENS = 1024
"""Of the prompt by which reading is measured, at most; and at most half the context."""
TOKENS_PER_WORD = 4
"""Of made-up words, at most; what it was is told by the answer."""
TEXTS = 16
"""That are embedded at once."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. first: seconds to its first token. whole: to its end."""

    first: float
    whole: float
    usage: Usage


def measure(channel: Channel, model: str, figures: Figures, *, embeds_only: bool) -> AsyncGenerator[float, None]:
    """Measure what serves `model` and put it into `figures`; yields the share that is done.

    figures.context_tokens and figures.slots are those it serves under. Raises RpcError as its calls do. Cancelled, it
    leaves nothing running.
    """
    return (_embedding if embeds_only else _chat)(channel, model, figures)


async def _chat(channel: Channel, model: str, figures: Figures) -> AsyncGenerator[float, None]:
    client, chance = ChatServiceClient(channel), random.Random(figures.context_tokens)
    await _answer(client, model, words(chance, SHORT_WORDS), 2)  # the first one prepares what all use
    yield 0.1
    firsts = [(await _answer(client, model, words(chance, SHORT_WORDS), 2)).first for _ in range(FIRST_TIMES)]
    figures.first_token.CopyFrom(duration(statistics.median(firsts)))
    yield 0.3
    said, seconds, calls = 0, 0.0, 0
    while said < ENOUGH_TOKENS and calls < MOST_CALLS:
        calls += 1
        answer = await _answer(client, model, words(chance, SHORT_WORDS), ANSWER_TOKENS)
        if answer.usage.completion_tokens > 1:
            said, seconds = said + answer.usage.completion_tokens - 1, seconds + answer.whole - answer.first
    figures.tokens_per_second = said / seconds if seconds else 0.0
    yield 0.5
    long = min(LONG_TOKENS, figures.context_tokens // 2)
    answer = await _answer(client, model, words(chance, max(1, long // TOKENS_PER_WORD)), 1)
    figures.prompt_tokens_per_second = (answer.usage.prompt_tokens - answer.usage.cached_tokens) / answer.first
    yield 0.7
    loop = asyncio.get_running_loop()
    began = loop.time()
    prompts = [words(chance, SHORT_WORDS) for _ in range(figures.slots)]
    async with asyncio.TaskGroup() as together:
        asked = [together.create_task(_answer(client, model, each, ANSWER_TOKENS)) for each in prompts]
    answers = [each.result() for each in asked]
    total = sum(answer.usage.completion_tokens for answer in answers)
    figures.total_tokens_per_second = total / (loop.time() - began)
    figures.first_token_busy.CopyFrom(duration(percentile([answer.first for answer in answers], 0.95)))
    yield 1.0


async def _embedding(channel: Channel, model: str, figures: Figures) -> AsyncGenerator[float, None]:
    client, chance = EmbeddingServiceClient(channel), random.Random(figures.context_tokens)
    loop = asyncio.get_running_loop()

    async def embed(texts: list[str]) -> tuple[float, int]:
        began, tokens = loop.time(), 0
        async for response in client.embed(EmbedRequest(model=model, inputs=texts), timeout=CALL_SECONDS):
            tokens = response.tokens
        return loop.time() - began, tokens

    await embed([words(chance, SHORT_WORDS)])
    yield 0.2
    firsts = [(await embed([words(chance, SHORT_WORDS)]))[0] for _ in range(FIRST_TIMES)]
    figures.first_token.CopyFrom(duration(statistics.median(firsts)))
    yield 0.5
    seconds, tokens = await embed([words(chance, 4 * SHORT_WORDS) for _ in range(TEXTS)])
    figures.prompt_tokens_per_second = tokens / seconds
    yield 1.0


async def _answer(client: ChatServiceClient, model: str, prompt: str, tokens: int) -> Answer:
    request = CompleteRequest(model=model, prompt=prompt, max_tokens=tokens, sampling=Sampling(temperature=1.0))
    loop = asyncio.get_running_loop()
    began, first, usage = loop.time(), 0.0, None
    async for response in client.complete(request, timeout=CALL_SECONDS):
        if response.HasField("delta") and not first:
            first = loop.time() - began
        if response.HasField("usage"):
            usage = response.usage
    whole = loop.time() - began
    if usage is None:
        raise RpcError(Code.INTERNAL, f"{model} gave no account of its answer.", reason="ANSWER_INCOMPLETE")
    return Answer(first or whole, whole, usage)


def words(chance: random.Random, count: int) -> str:
    """Made-up words: no beginning of them is in a cache already."""
    return " ".join("".join(chance.choices("abcdefghijklmnoprstuvwz", k=5)) for _ in range(count))


def percentile(values: list[float], share: float) -> float:
    """The value below which this share of them lies, one of them; there is at least one."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
