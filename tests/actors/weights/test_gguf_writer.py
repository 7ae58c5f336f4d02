"""The writer, read back by the reader of the llama family and, where it is there, by gguf itself."""

from pathlib import Path

import pytest

from actors.model.gguf_file import read_header
from actors.weights.gguf_writer import F32, Q4_0, Tensor, Value, write_gguf

METADATA: dict[str, Value] = {
    "general.architecture": "bert",
    "bert.block_count": 3,
    "bert.attention.causal": False,
    "bert.attention.layer_norm_epsilon": 0.5,
    "tokenizer.ggml.tokens": ["▁a".encode(), b"b", b""],
    "tokenizer.ggml.scores": [-1.0, 0.25, 0.0],
    "tokenizer.ggml.token_type": [1, 2, 3],
    "tokenizer.ggml.precompiled_charsmap": b"\x00\xff",
}
TENSORS = [
    Tensor("odd", (3,), F32, memoryview(bytes(range(12)))),
    Tensor("packed", (32, 2), Q4_0, memoryview(bytes(36))),
]


def test_what_is_written_is_what_the_family_reads(tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    write_gguf(path, METADATA, TENSORS)
    header = read_header(path)
    assert (header.architecture, header.parameters, header.embeds_only) == ("bert", 67, True)
    assert header.metadata["bert.attention.layer_norm_epsilon"] == 0.5


def test_the_reference_reader_finds_every_value_and_tensor(tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf")
    path = tmp_path / "x.gguf"
    write_gguf(path, METADATA, TENSORS)
    reader = gguf.GGUFReader(path)
    fields = {name: field.contents() for name, field in reader.fields.items()}
    assert {name: fields[name] for name in METADATA} == {
        **METADATA,
        "tokenizer.ggml.tokens": ["▁a", "b", ""],
        "tokenizer.ggml.precompiled_charsmap": [0, 255],
    }
    assert {tensor.name: tensor.data.tobytes() for tensor in reader.tensors} == {
        "odd": bytes(range(12)),
        "packed": bytes(36),
    }


def test_a_tensor_whose_size_is_wrong_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="odd has 12 bytes"):
        write_gguf(tmp_path / "x.gguf", {}, [Tensor("odd", (4,), F32, memoryview(bytes(12)))])
    assert not (tmp_path / "x.gguf").exists()
