"""Training is repeatable and learns from the first steps."""

import random
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from forge.dataset import Conversation, encode
from forge.tokenizer import tokenizer_of
from forge.train import PADDING, TINY, History, Plan, batches, pad, practise, train

SHIPPED = Path(__file__).parents[2] / "actors/llama/models/troupe-tiny.gguf"
SHORT = Plan(steps=3, practice_steps=1, batch_tokens=192, warmup=1, pool=12)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return tokenizer_of(SHIPPED)


def test_the_same_plan_gives_the_same_weights(tokenizer: Any) -> None:
    (first, history), (second, other) = (train(tokenizer, SHORT, lambda line: None) for _ in range(2))
    practise(first, tokenizer, SHORT, history, lambda line: None)
    practise(second, tokenizer, SHORT, other, lambda line: None)
    assert all(torch.equal(one, same) for one, same in zip(first.parameters(), second.parameters(), strict=True))
    assert history.steps == 4
    assert history.losses == other.losses


def test_a_few_steps_lower_the_loss(tokenizer: Any) -> None:
    plan = Plan(steps=5, drill_steps=5, batch_tokens=256, warmup=1, pool=24)
    _, history = train(tokenizer, plan, lambda line: None)
    assert min(history.losses[3:]) < history.losses[0]


def test_the_shape_is_that_of_the_shipped_model() -> None:
    assert 3e6 < TINY.parameters() < 5e6


def test_batches_stay_below_their_bound_unless_one_conversation_is_longer(tokenizer: Any) -> None:
    stream = batches(tokenizer, Plan(batch_tokens=400, pool=40), History())
    for _, batch in zip(range(20), stream, strict=False):
        assert batch.tokens.numel() <= 400 or len(batch.tokens) == 1


def test_padding_is_never_a_target_and_stretching_stays_in_the_context(tokenizer: Any) -> None:
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Goodbye!"}]
    long, short = (encode(tokenizer, Conversation(messages * turns)) for turns in (5, 1))
    batch = pad([long, short], random.Random(0), 1.0)
    assert not batch.target[batch.tokens == PADDING].any()
    assert batch.positions[0].max() > len(long.tokens)
    assert batch.positions.max() < TINY.context
    assert (batch.positions.diff() > 0).all()
