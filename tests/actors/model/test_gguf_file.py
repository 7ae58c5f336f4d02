"""GGUF files: what they say of themselves, and sentences for those that are damaged."""

import os
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.llama.catalog import SHIPPED
from actors.model import gguf_file
from actors.model.gguf_file import read_header
from bus import RpcError
from forge.architectures import Sizes, lfm2


def test_a_file_says_what_it_is() -> None:
    header = read_header(SHIPPED / "troupe-tiny.gguf")
    assert (header.architecture, header.quantization) == ("llama", "Q8_0")
    assert header.parameters > 1_000_000
    assert header.size_bytes == (SHIPPED / "troupe-tiny.gguf").stat().st_size
    assert header.context_tokens > 0 and header.embedding_dimensions > 0
    assert "im_start" in header.template
    assert not header.embeds_only


def test_a_file_says_where_each_tensor_lies(models: Path) -> None:
    header = read_header(models / "fixture.gguf")
    whole = (models / "fixture.gguf").stat().st_size
    ends = [header.starts[0] + tensor.offset + tensor.size for tensor in header.tensors]
    assert max(ends) <= whole < max(ends) + 32
    table, query = header.tensor("token_embd.weight"), header.tensor("blk.1.attn_q.weight")
    assert table is not None and (list(table.axes), table.kind, table.layer) == ([64, 288], 8, None)
    assert query is not None and (query.size, query.layer) == (64 * 64 // 32 * 34, 1)


def test_arrays_tell_numbers_by_layer_and_how_much_text_there_is(tmp_path: Path) -> None:
    path = tmp_path / "hybrid.gguf"
    sizes = Sizes(layers=3, width=64, feed_forward=64, heads=2, kv_heads=2, head_width=32, vocabulary=288)
    lfm2(sizes, (1,)).write(path)
    header = read_header(path)
    assert header.numbers("lfm2.attention.head_count_kv", 3) == [0, 2, 0]
    assert header.numbers("lfm2.attention.head_count", 3) == [2, 2, 2]
    assert header.numbers("lfm2.nothing", 2) == [0, 0]
    tokens = header.texts["tokenizer.ggml.tokens"]
    assert tokens.count == 288 and tokens.size > 288


def test_a_long_list_is_the_same_in_pieces_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = read_header(SHIPPED / "troupe-tiny.gguf").texts
    for piece in (8, 9, 64, 1000):
        monkeypatch.setattr(gguf_file, "PIECE", piece)
        assert read_header(SHIPPED / "troupe-tiny.gguf").texts == whole


def test_a_file_cut_at_any_tensor_is_refused_with_the_tensors_name(models: Path, tmp_path: Path) -> None:
    whole = (models / "fixture.gguf").read_bytes()
    header = read_header(models / "fixture.gguf")
    for tensor in header.tensors:
        message = reason_for(tmp_path / "cut.gguf", whole[: header.starts[0] + tensor.offset])
        assert "incomplete" in message
        assert f"from the tensor {tensor.name} on" in message


def test_an_adapter_says_that_it_is_one(models: Path) -> None:
    assert read_header(models / "fixture-lora.gguf").text("general.type") == "adapter"


def reason_for(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(RpcError) as refusal:
        read_header(path)
    assert refusal.value.reason == "MODEL_LOAD_FAILED"
    assert path.name in refusal.value.message
    return refusal.value.message


@pytest.mark.parametrize("share", [0.0001, 0.01, 0.3, 0.9, 0.99999])
def test_a_file_that_ends_too_early_is_called_incomplete(models: Path, tmp_path: Path, share: float) -> None:
    whole = (models / "fixture.gguf").read_bytes()
    message = reason_for(tmp_path / "cut.gguf", whole[: int(len(whole) * share)])
    assert "incomplete" in message or "no GGUF file" in message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no GGUF file"),
        (b"PK\x03\x04" + bytes(100), "no GGUF file"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "version is 1"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 0), "claims"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1 << 62), "claims a string"),
        (b"GGUF" + struct.pack("<IQQQ1sI", 3, 0, 1, 1, b"k", 77), "unknown type 77"),
        (b"GGUF" + struct.pack("<IQQQ1sIIQ", 3, 0, 1, 1, b"k", 9, 4, 1 << 60), "claims an array"),
        (b"GGUF" + struct.pack("<IQQQ1sIIQ", 3, 0, 1, 1, b"k", 9, 9, 2), "array of the unknown type"),
        (b"GGUF" + struct.pack("<IQQQ1sI", 3, 1, 0, 1, b"t", 99), "99 dimensions"),
    ],
)
def test_a_file_that_is_none_is_told_why(tmp_path: Path, content: bytes, words: str) -> None:
    assert words in reason_for(tmp_path / "bad.gguf", content)


def test_a_header_that_would_be_read_for_minutes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hole in a file costs no disk: an array of empty strings in it is read at 8 bytes each."""
    monkeypatch.setattr(gguf_file, "READS_LIMIT", 1000)
    path = tmp_path / "hole.gguf"
    array = struct.pack("<Q1sIIQ", 1, b"k", 9, 8, 1 << 24)
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 1 << 20) + array)
    os.truncate(path, 1 << 28)
    with pytest.raises(RpcError, match="larger than any model's"):
        read_header(path)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(RpcError, match="cannot be read"):
        read_header(tmp_path / "missing.gguf")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200), st.integers(0, 400))
def test_damaged_headers_raise_nothing_but_the_typed_error(
    models: Path, tmp_path: Path, noise: bytes, place: int
) -> None:
    whole = bytearray((models / "fixture.gguf").read_bytes())
    whole[place : place + len(noise)] = noise
    path = tmp_path / "noise.gguf"
    path.write_bytes(whole)
    try:
        read_header(path)
    except RpcError as problem:
        assert problem.reason == "MODEL_LOAD_FAILED"
