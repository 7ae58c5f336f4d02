"""The understudy: an adapter file that fits the shipped model."""

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("peft")

import gguf

from forge.adapter import UNDERSTUDY, AdapterPlan, introductions, train_adapter
from forge.train import TINY

SHIPPED = Path(__file__).parents[2] / "actors/llama/models/troupe-tiny.gguf"


@pytest.mark.filterwarnings("ignore::FutureWarning")  # PEFT asks Transformers for an attribute that was renamed
def test_an_adapter_has_a_pair_for_every_matrix(tmp_path: Path) -> None:
    path = tmp_path / "understudy.gguf"
    train_adapter(SHIPPED, path, AdapterPlan(rank=2, steps=2, batch=2), lambda line: None)
    shapes = {tensor.name: tuple(map(int, tensor.shape)) for tensor in gguf.GGUFReader(path).tensors}
    expected = {}
    for layer in range(TINY.layers):
        for matrix, (rows, columns) in TINY.matrices().items():
            expected[f"blk.{layer}.{matrix}.weight.lora_a"] = (columns, 2)
            expected[f"blk.{layer}.{matrix}.weight.lora_b"] = (2, rows)
    assert shapes == expected


def test_the_understudy_introduces_itself_in_both_languages() -> None:
    answers = {one.messages[-1]["content"] for one in introductions()}
    assert answers == set(UNDERSTUDY.values())
