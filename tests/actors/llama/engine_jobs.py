"""Jobs for an engine, and what comes of them."""

import asyncio
import ctypes
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import llama_cpp.llama_cpp as llama
import numpy as np

from actors.llama.engine import LlamaEngine
from actors.model.interface import (
    Cost,
    Ended,
    Event,
    Job,
    SamplingSettings,
    Tokens,
    TokenScore,
)
from actors.model.stream import EventStream
from bus import RpcError

OpenEngine = Callable[..., Awaitable[LlamaEngine]]
GREEDY = SamplingSettings(temperature=0)
QUESTIONS = [
    "Which command starts Troupe?",
    "Lệnh nào khởi động Troupe?",
    "What is a troupe?",
    "Which port does gRPC use?",
    "Cổng HTTP là gì?",
    "What is credit?",
    "What does troupe doctor do?",
    "Who is the president?",
]
PROMPTS = [
    "Hello",
    "Xin chào các bạn",
    "What is a troupe?",
    "Sân khấu là gì?",
    "one two three",
    "(",
    "a b c d",
    "the end",
]


@dataclass
class Answer:
    """All that came of a job."""

    events: list[Event] = field(default_factory=list)

    def text(self, choice: int = 0) -> str:
        return "".join(event.text for event in self._tokens(choice))

    def count(self, choice: int = 0) -> int:
        return sum(event.count for event in self._tokens(choice))

    def scores(self, choice: int = 0) -> list[TokenScore]:
        return [score for event in self._tokens(choice) for score in event.scores]

    def end(self, choice: int = 0) -> Ended:
        return next(event for event in self.events if isinstance(event, Ended) and event.choice == choice)

    @property
    def cost(self) -> Cost:
        last = self.events[-1]
        assert isinstance(last, Cost)
        return last

    def _tokens(self, choice: int) -> list[Tokens]:
        return [event for event in self.events if isinstance(event, Tokens) and event.choice == choice]


async def collect(stream: EventStream[Event]) -> Answer:
    answer = Answer()
    async with asyncio.timeout(20):
        async for events in stream:
            answer.events.extend(events)
    return answer


def assert_same(left: Answer, right: Answer) -> None:
    """The same tokens, up to the first near tie: in other batches the numbers differ in the second decimal."""
    assert len(left.scores()) == len(right.scores())
    for mine, other in zip(left.scores(), right.scores(), strict=True):
        if mine.token != other.token:
            near = [each.token for each in mine.alternatives if mine.logprob - each.logprob < 0.15]
            assert other.token in near
            return


def chat(question: str) -> str:
    return f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"


async def ask(engine: LlamaEngine, prompt: str, max_tokens: int = 24, **options: Any) -> Answer:
    return await collect(engine.submit(job(engine, prompt, max_tokens, **options)))


def job(engine: LlamaEngine, prompt: str, max_tokens: int = 24, **options: Any) -> Job:
    given: dict[str, Any] = {"sampling": GREEDY, "ignore_end": True, **options}
    return Job(engine.tokenize(prompt, control=True), max_tokens, **given)


def plain_greedy(path: Path, prompt: str, count: int) -> bytes:
    """Greedy decoding with nothing but llama.cpp's simplest calls."""
    given = llama.llama_model_default_params()
    given.use_extra_bufts = False  # as actors/llama/binding.py, which says why
    model = llama.llama_model_load_from_file(str(path).encode(), given)
    parameters = llama.llama_context_default_params()
    parameters.n_ctx, parameters.n_threads, parameters.n_threads_batch = 512, 1, 1
    context = llama.llama_init_from_model(model, parameters)
    vocabulary = llama.llama_model_get_vocab(model)
    size = llama.llama_vocab_n_tokens(vocabulary)
    data = prompt.encode()
    tokens = (llama.llama_token * 256)()
    length = llama.llama_tokenize(vocabulary, data, len(data), tokens, 256, False, True)
    buffer = ctypes.create_string_buffer(64)
    text = b""
    for _ in range(count):
        assert llama.llama_decode(context, llama.llama_batch_get_one(tokens, length)) == 0
        logits = np.ctypeslib.as_array(llama.llama_get_logits_ith(context, -1), (size,))
        token = int(logits.argmax())
        if not llama.llama_vocab_is_control(vocabulary, token):
            written = llama.llama_token_to_piece(vocabulary, token, buffer, 64, 0, True)
            text += buffer.raw[:written]
        tokens[0], length = token, 1
    llama.llama_free(context)
    llama.llama_model_free(model)
    return text


async def outcome(stream: EventStream[Event]) -> str:
    try:
        await collect(stream)
    except RpcError as problem:
        return problem.reason
    return "complete"
