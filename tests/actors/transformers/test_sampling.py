"""Choosing tokens from logits."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.model.interface import SamplingSettings
from actors.transformers.sampling import Logits, Sampler

FREE = {"top_k": 0, "top_p": 1.0, "min_p": 0.0}


def row(*values: float) -> Logits:
    return np.array(values, np.float32)


def drawn(logits: Logits, count: int = 300, **options: object) -> list[int]:
    chosen = SamplingSettings(**{"temperature": 1.0, "seed": 3, **FREE, **options})  # type: ignore[arg-type]
    sampler = Sampler(chosen)
    return [sampler.choose(logits) for _ in range(count)]


def test_tokens_are_drawn_as_often_as_they_are_likely() -> None:
    found = drawn(np.log(row(0.1, 0.6, 0.3)), 3000)
    assert [found.count(token) / 3000 for token in range(3)] == pytest.approx([0.1, 0.6, 0.3], abs=0.03)


def test_temperature_sharpens() -> None:
    found = drawn(np.log(row(0.1, 0.6, 0.3)), 3000, temperature=0.5)
    assert [found.count(token) / 3000 for token in range(3)] == pytest.approx([0.022, 0.783, 0.196], abs=0.03)


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"top_k": 2}, {1, 2}),
        ({"top_p": 0.55}, {1}),
        ({"top_p": 0.85}, {1, 2}),
        ({"min_p": 0.4}, {1, 2}),
        ({"min_p": 0.05}, {0, 1, 2}),
        ({"top_k": 1000}, {0, 1, 2}),
    ],
)
def test_filters_keep_the_likeliest(options: dict[str, Any], kept: set[int]) -> None:
    assert set(drawn(np.log(row(0.1, 0.6, 0.3)), **options)) == kept


def test_penalties_and_bias_change_the_order() -> None:
    logits = row(2.0, 1.9, -1.0)
    assert Sampler(SamplingSettings(temperature=0, logit_bias={2: 9.0, 99: 1.0})).choose(logits) == 2
    frequency = Sampler(SamplingSettings(temperature=0, frequency_penalty=0.2))
    assert [frequency.choose(logits) for _ in range(4)] == [0, 1, 0, 1]
    presence = Sampler(SamplingSettings(temperature=0, presence_penalty=1.5))
    assert [presence.choose(logits) for _ in range(3)] == [0, 1, 0]
    repeat = Sampler(SamplingSettings(temperature=0, repeat_penalty=1.5), prompt=[0])
    assert repeat.choose(logits) == 1
    assert logits.tolist() == pytest.approx([2.0, 1.9, -1.0])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-20, 20, width=32), min_size=1, max_size=40),
    st.integers(0, 1 << 62),
    st.integers(0, 12),
    st.floats(0.1, 2),
    st.floats(0.05, 1),
    st.floats(0, 1),
)
def test_a_draw_depends_on_seed_and_place_alone(
    values: list[float], seed: int, place: int, temperature: float, top_p: float, min_p: float
) -> None:
    chosen = SamplingSettings(temperature=temperature, top_p=top_p, min_p=min_p, seed=seed)
    whole, taken_up = Sampler(chosen), Sampler(chosen)
    said = [whole.choose(row(*values)) for _ in range(place)]
    for token in said:
        taken_up.accept(token)
    token = whole.choose(row(*values))
    assert token == taken_up.choose(row(*values))
    assert 0 <= token < len(values)


def test_without_a_seed_answers_differ() -> None:
    logits = row(*([1.0] * 1000))
    chosen = SamplingSettings(temperature=1.0, **FREE)  # type: ignore[arg-type]
    assert [Sampler(chosen).choose(logits) for _ in range(5)] != [Sampler(chosen).choose(logits) for _ in range(5)]
