"""Reordering of rotary projections, and files that say what was written into them."""

from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge.gguf_file import F16, Label, Shape, deinterleave, interleave, write_adapter, write_model
from forge.random_weights import byte_vocabulary

SMALL = Shape(
    layers=1, width=64, feed_forward=64, heads=2, kv_heads=1, head_width=32, vocabulary=300, context=128, tied=True
)


@given(heads=st.integers(1, 8), pairs=st.integers(1, 16), columns=st.integers(1, 8))
def test_deinterleave_undoes_interleave(heads: int, pairs: int, columns: int) -> None:
    rows = np.arange(heads * pairs * 2 * columns, dtype=np.float32).reshape(heads * pairs * 2, columns)
    assert np.array_equal(deinterleave(interleave(rows, heads), heads), rows)
    assert np.array_equal(interleave(deinterleave(rows, heads), heads), rows)


@given(heads=st.integers(1, 4), pairs=st.integers(2, 8))
def test_interleave_puts_the_halves_of_each_head_side_by_side(heads: int, pairs: int) -> None:
    rows = np.arange(heads * pairs * 2, dtype=np.float32)[:, None]
    head = interleave(rows, heads)[: 2 * pairs, 0]
    assert head[0::2].tolist() == list(range(pairs))
    assert head[1::2].tolist() == list(range(pairs, 2 * pairs))


def test_a_shape_counts_its_parameters() -> None:
    layer = 64 * 64 + 2 * 32 * 64 + 64 * 64 + 3 * 64 * 64 + 2 * 64
    assert SMALL.parameters() == layer + 300 * 64 + 64


def test_a_model_file_carries_label_sizes_vocabulary_and_template(tmp_path: Path) -> None:
    path = tmp_path / "small.gguf"
    generator = np.random.default_rng(0)
    tensors = [("token_embd.weight", generator.standard_normal((300, 64)).astype(np.float32))]
    write_model(path, Label("small", "For a test."), SMALL, byte_vocabulary(300), tensors, quantization=F16)
    fields = gguf.GGUFReader(path).fields
    assert fields["general.architecture"].contents() == "llama"
    assert fields["general.name"].contents() == "small"
    assert fields["llama.context_length"].contents() == 128
    assert fields["tokenizer.ggml.pre"].contents() == "gpt-2"
    assert fields["tokenizer.ggml.eos_token_id"].contents() == fields["tokenizer.ggml.eot_token_id"].contents() == 2
    assert fields["tokenizer.ggml.add_bos_token"].contents() is False
    assert "<tools>" in fields["tokenizer.chat_template"].contents()


def test_control_tokens_are_hidden_from_text_and_markup_is_not() -> None:
    kinds = dict(zip(byte_vocabulary(300).tokens, byte_vocabulary(300).types(), strict=True))
    assert kinds["<|im_end|>"] == gguf.TokenType.CONTROL
    assert kinds["<tool_call>"] == gguf.TokenType.USER_DEFINED
    assert kinds["a"] == gguf.TokenType.NORMAL


@pytest.mark.parametrize("rank", [1, 4])
def test_an_adapter_file_carries_pairs_and_alpha(tmp_path: Path, rank: int) -> None:
    path = tmp_path / "adapter.gguf"
    pair = np.ones((rank, 64), np.float32), np.ones((32, rank), np.float32)
    write_adapter(path, Label("a", "For a test."), 8.0, {"blk.0.attn_k.weight": pair})
    reader = gguf.GGUFReader(path)
    assert reader.fields["adapter.lora.alpha"].contents() == 8.0
    assert reader.fields["general.type"].contents() == "adapter"
    assert [tensor.name for tensor in reader.tensors] == ["blk.0.attn_k.weight.lora_a", "blk.0.attn_k.weight.lora_b"]
