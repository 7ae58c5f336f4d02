"""Estimates beside models that are really loaded; `make bench ARGS=memory` has more of them."""

from pathlib import Path

import pytest

from actors.llama.catalog import SHIPPED
from actors.llama.footprint import Footprint, measure_footprint
from forge.architectures import Sizes, llama
from forge.blueprint import Type

from .loaded import Loaded, loaded

ABOVE, BELOW = 1.05, 0.98
"""How far an estimate may lie from what was measured."""

COPIED = Sizes(
    layers=4, width=512, feed_forward=1536, heads=8, kv_heads=4, head_width=64, vocabulary=32000, kind=Type.Q4_0
)
"""Its matrices are put into another order on most processors."""


@pytest.fixture(scope="module")
def footprint() -> Footprint:
    found = measure_footprint()
    assert found.on, "a process without a model could be measured"
    return found


def check(found: Loaded) -> None:
    assert BELOW <= found.estimated / found.used <= ABOVE, found
    assert BELOW <= found.told / found.used <= ABOVE, found


def test_the_shipped_model_takes_what_was_estimated(footprint: Footprint) -> None:
    check(loaded(SHIPPED / "troupe-tiny.gguf", footprint, context=1024, slots=4))


def test_a_model_whose_weights_are_copied_takes_them_once(footprint: Footprint, tmp_path: Path) -> None:
    path = tmp_path / "copied.gguf"
    llama(COPIED).write(path)
    check(loaded(path, footprint, context=512, slots=2))
