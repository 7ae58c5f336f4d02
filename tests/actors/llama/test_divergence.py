"""How far one model's predictions lie from another's."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.llama.divergence import MOST_BYTES, MOST_TOKENS, Comparison, log_softmax, usable, windows


def compared(source: list[list[float]], other: list[list[float]], follows: list[int]) -> Comparison:
    comparison = Comparison()
    comparison.add(np.array(source, np.float32), np.array(other, np.float32), np.array(follows, np.int32))
    return comparison


def test_what_says_the_same_diverges_by_nothing() -> None:
    found = compared([[1.0, 2.0, 3.0]] * 4, [[11.0, 12.0, 13.0]] * 4, [0, 1, 2, 2]).result()
    assert found.tokens == 4
    assert found.mean_kl == pytest.approx(0, abs=1e-6)
    assert found.same_top == 1
    assert found.perplexity == pytest.approx(found.source_perplexity, rel=1e-5)


def test_the_divergence_is_that_of_the_formula() -> None:
    p, q = [0.5, 0.25, 0.25], [0.25, 0.5, 0.25]
    found = compared([[math.log(each) for each in p]], [[math.log(each) for each in q]], [0]).result()
    assert found.mean_kl == pytest.approx(0.5 * math.log(2) - 0.25 * math.log(2), rel=1e-5)
    assert found.same_top == 0
    assert found.source_perplexity == pytest.approx(2, rel=1e-5)
    assert found.perplexity == pytest.approx(4, rel=1e-5)


def test_the_worst_of_a_hundred_is_seen_beside_the_mean() -> None:
    comparison = Comparison()
    for number in range(200):
        other = [[0.0, 9.0]] if number % 50 == 0 else [[3.0, 0.0]]
        comparison.add(np.array([[3.0, 0.0]], np.float32), np.array(other, np.float32), np.array([0], np.int32))
    found = comparison.result()
    assert found.p99_kl > 20 * found.mean_kl
    assert found.same_top == pytest.approx(0.98)


def test_large_numbers_do_not_overflow() -> None:
    assert np.isfinite(log_softmax(np.array([[1e4, -1e4, 0.0]], np.float32))).all()


@given(st.integers(2, 1200), st.integers(2, 4096))
def test_every_token_but_the_first_is_predicted_once(tokens: int, context: int) -> None:
    predicted: list[int] = []
    for window in windows(tokens, context):
        assert 0 <= window.start < window.end <= tokens
        assert window.end - window.start <= min(256, context)
        predicted += range(window.start + window.first + 1, window.end)
    assert predicted == list(range(1, tokens))


def test_all_but_the_first_window_have_half_a_window_before() -> None:
    assert [window.first for window in windows(1000)] == [0, *[127] * 6]


def test_a_text_is_used_as_far_as_its_numbers_fit_the_disk() -> None:
    assert usable(10, 32_000) == 10
    assert usable(10_000, 32_000) == MOST_TOKENS
    assert usable(10_000, 262_144) * 262_144 * 4 <= MOST_BYTES
