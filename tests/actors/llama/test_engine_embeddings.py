"""Embeddings beside generation."""

import asyncio
import math

import numpy as np
import pytest

from actors.llama.engine import LlamaEngine
from actors.model.interface import Embedding
from bus import RpcError

from .engine_jobs import (
    PROMPTS,
    ask,
)


async def embeddings(engine: LlamaEngine, inputs: list[list[int]]) -> list[Embedding]:
    async with asyncio.timeout(20):
        return [embedding async for some in engine.embed(inputs) for embedding in some]


async def test_embeddings_have_length_one_and_the_order_of_the_inputs(engine: LlamaEngine) -> None:
    inputs = [engine.tokenize(text, control=False) for text in [*PROMPTS, "long " * 300]]
    found = await embeddings(engine, inputs)
    assert [embedding.index for embedding in found] == list(range(len(inputs)))
    assert [embedding.tokens for embedding in found] == [len(tokens) for tokens in inputs]
    for embedding in found:
        assert len(embedding.values) == 64
        assert math.fsum(value * value for value in embedding.values) == pytest.approx(1.0, abs=1e-5)


async def test_an_embedding_is_the_same_alone_and_in_company(engine: LlamaEngine) -> None:
    inputs = [engine.tokenize(text, control=False) for text in PROMPTS]
    together = await embeddings(engine, inputs)
    for left, tokens in zip(together, inputs, strict=True):
        [right] = await embeddings(engine, [tokens])
        assert np.dot(left.values, right.values) == pytest.approx(1.0, abs=1e-3)
    assert np.dot(together[0].values, together[1].values) < 0.999


async def test_embeddings_go_on_beside_generation(engine: LlamaEngine) -> None:
    tokens = engine.tokenize("Xin chào", control=False)
    answer, [found] = await asyncio.gather(ask(engine, "Hello", 50), embeddings(engine, [tokens]))
    assert answer.count() == 50
    assert len(found.values) == 64


async def test_embeddings_that_nobody_wants_any_more_are_not_made(stepped: LlamaEngine) -> None:
    stream = stepped.embed([stepped.tokenize("Xin chào", control=False)] * 100)
    stepped.step()
    stream.cancel()
    assert not stepped.step()
    with pytest.raises(RpcError) as refusal:
        async for some in stream:
            assert len(some) < 100
    assert refusal.value.reason == "CANCELLED"
