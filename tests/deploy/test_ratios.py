"""How the benchmarks tell chance from change."""

import random
import runpy
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]
script = runpy.run_path(str(ROOT / "tests" / "bench" / "ratios.py"))
verdict = script["verdict"]


def rounds(seed: int, slower: float, spread: float, count: int = 10) -> tuple[list[float], list[float]]:
    """Figures of two programs on a machine whose speed wanders by far more than what is looked for."""
    luck = random.Random(seed)
    machine = [luck.uniform(50, 200) for _ in range(count)]
    old = [speed * luck.lognormvariate(0, spread) for speed in machine]
    new = [speed * slower * luck.lognormvariate(0, spread) for speed in machine]
    return new, old


@pytest.mark.parametrize("seed", range(20))
def test_what_is_a_fifth_slower_is_told_whatever_else_the_machine_does(seed: int) -> None:
    found = verdict(*rounds(seed, 1.2, 0.02))
    assert (found.worse, found.better) == (True, False)
    assert found.ratio == pytest.approx(1.2, rel=0.05)


def test_the_same_program_is_hardly_ever_accused() -> None:
    accused = sum(verdict(*rounds(seed, 1.0, 0.05)).worse for seed in range(1000))
    assert accused <= 5


def test_the_more_the_rounds_lie_apart_the_more_is_allowed() -> None:
    calm, wild = verdict(*rounds(7, 1.0, 0.01)), verdict(*rounds(7, 1.0, 0.2))
    assert calm.allowed < wild.allowed
    assert calm.allowed >= script["LEAST"]


@given(st.lists(st.floats(0.1, 1e6), min_size=5, max_size=20))
def test_what_is_like_itself_is_neither_worse_nor_better(figures: list[float]) -> None:
    found = verdict(figures, figures)
    assert (found.ratio, found.worse, found.better) == (1.0, False, False)


def test_too_few_rounds_tell_nothing() -> None:
    with pytest.raises(ValueError, match="4 rounds are too few"):
        verdict([1.0] * 4, [1.0] * 4)
