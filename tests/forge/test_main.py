"""The command line."""

from pathlib import Path

import pytest

from forge.__main__ import parser


def test_fixture_writes_its_files_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = parser().parse_args(["fixture", "--out", str(tmp_path)])
    options.run(options)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fixture-b.gguf", "fixture-lora.gguf", "fixture.gguf"]
    assert "fixture-lora.gguf" in capsys.readouterr().out


def test_random_makes_a_model_of_the_named_size(tmp_path: Path) -> None:
    options = parser().parse_args(["random", "--size", "fixture", "--out", str(tmp_path / "m.gguf")])
    options.run(options)
    assert (tmp_path / "m.gguf").stat().st_size < 300_000


def test_an_unknown_size_is_refused_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["random", "--size", "9b", "--out", "x"])
    assert "0.5b" in capsys.readouterr().err


def test_tiny_goes_where_the_hub_looks() -> None:
    assert parser().parse_args(["tiny"]).out == Path("actors/llama/models")
