"""GGUF files: what they say of themselves, and sentences for those that are damaged."""

import os
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.llama.catalog import SHIPPED
from actors.model import gguf_file
from actors.model.gguf_file import ModelHeader, Scalar, read_header
from bus import RpcError


def test_a_file_says_what_it_is() -> None:
    header = read_header(SHIPPED / "troupe-tiny.gguf")
    assert (header.architecture, header.quantization) == ("llama", "Q8_0")
    assert header.parameters > 1_000_000
    assert header.size_bytes == (SHIPPED / "troupe-tiny.gguf").stat().st_size
    assert header.context_tokens > 0 and header.embedding_dimensions > 0
    assert "im_start" in header.template
    assert not header.embeds_only


def test_the_cache_of_a_token_is_keys_and_values_of_all_layers_at_two_bytes_each() -> None:
    said = {"block_count": 4, "attention.head_count": 8, "attention.head_count_kv": 2, "embedding_length": 64}
    known: dict[str, Scalar] = {"general.architecture": "x", **{f"x.{key}": value for key, value in said.items()}}
    assert ModelHeader(known, 0, 0).cache_bytes_per_token == 4 * 2 * (8 + 8) * 2
    longer = {**known, "x.attention.key_length": 16}
    assert ModelHeader(longer, 0, 0).cache_bytes_per_token == 4 * 2 * (16 + 8) * 2
    assert ModelHeader({**known, "x.attention.causal": False}, 0, 0).cache_bytes_per_token == 0
    assert ModelHeader({"general.architecture": "x"}, 0, 0).cache_bytes_per_token == 0


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
