"""A short piece of the benchmark's simulation: what the scheduler has to hold on a real trace, whoever changes it.

`make bench ARGS=stage` has the whole of it, beside others and what knows the future.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from actors.gpu.urgency import URGENCY

if TYPE_CHECKING:
    from stage import Run

BENCH = Path(__file__).parents[2] / "bench"
CALLS = 600
MODELS = 6
BYTES_PER_SECOND = 2 * 10**9
SHARE_OF_LRU = 0.5
"""Of the p95 of interactive waits that least-recently-used has."""

LOADS_OF_LRU = 1.0
"""Of its loads: less waiting is not to be bought by more of them."""


@pytest.fixture
def simulate(monkeypatch: pytest.MonkeyPatch) -> "Callable[[str], Run]":
    """One policy on the piece."""
    monkeypatch.syspath_prepend(BENCH)  # the benchmarks are programs that lie beside each other
    import stage

    return lambda policy: stage.simulate(policy, MODELS, BYTES_PER_SECOND, CALLS)


def test_nobody_waits_longer_than_its_class_may_and_people_half_as_long_as_with_lru(
    simulate: "Callable[[str], Run]",
) -> None:
    import stage
    from stage_world import LIMIT

    ours, lru = simulate(stage.TROUPE), simulate(stage.OLLAMA)
    assert 0 < ours.high_water <= LIMIT
    assert sum(len(waits) for waits in ours.waits.values()) == CALLS, "everybody is served"
    for priority, waits in ours.waits.items():
        assert not waits or waits[-1] <= URGENCY[priority].bound, priority
    assert ours.wait(0.95) <= SHARE_OF_LRU * lru.wait(0.95)
    assert ours.wait(0.5) <= SHARE_OF_LRU * lru.wait(0.5)
    assert ours.switches <= LOADS_OF_LRU * lru.switches
