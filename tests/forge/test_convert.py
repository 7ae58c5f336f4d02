"""Conversion between Transformers and GGUF keeps what the model says."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from forge.convert import from_gguf, to_gguf
from forge.gguf_file import F16, Label, Shape
from forge.parity import greedy
from forge.random_weights import byte_vocabulary
from forge.train import new_model

SHAPE = Shape(layers=2, width=64, feed_forward=96, heads=4, kv_heads=2, head_width=16, vocabulary=300, context=128)
TOKENS = [20, 30, 40, 50, 60]


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    torch.manual_seed(0)
    model = new_model(SHAPE)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 2:
                weight.copy_((weight * 8).half().float())
    path = tmp_path_factory.mktemp("convert") / "model.gguf"
    to_gguf(model, path, Label("m", "For a test."), SHAPE, byte_vocabulary(300), F16)
    return model, path


def test_weights_survive_the_way_there_and_back(paths: tuple[Any, Path]) -> None:
    model, path = paths
    again = new_model(SHAPE)
    from_gguf(path, again, SHAPE)
    before, after = (dict(one.named_parameters()) for one in (model, again))
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_llama_cpp_expects_the_same_next_tokens(paths: tuple[Any, Path]) -> None:
    pytest.importorskip("llama_cpp")
    from forge.llama import GreedyModel

    model, path = paths
    converted = GreedyModel(path, context=64)
    try:
        with torch.no_grad():
            logits = model(torch.tensor([TOKENS])).logits[0, -1].numpy()
        assert np.abs(converted.logits(TOKENS) - logits).max() < 0.02 * np.abs(logits).max()
        assert converted.continuation(TOKENS, 8) == greedy(model, TOKENS, 8)
    finally:
        converted.close()
