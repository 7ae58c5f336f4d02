"""What the doctor says of parts, and of PyTorch beside a pretended card."""

import sys
from pathlib import Path

import pytest

from actors.registry import PARTS
from cli import part_checks
from cli.card import Cards
from cli.finding import State
from host.parts import Library, Part

CARD = Cards(("RTX 4080",), ("8.9",), "12.6")
BAND = Part("sounds", (Library("troupe-horn", "troupe_horn", 3), Library("troupe-drum", "troupe_drum", 5)))


def test_a_part_is_absent_with_its_command_then_half_there_then_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    found = part_checks.installed("sound", BAND)
    assert (found.state, found.detail, found.remedy) == (State.ABSENT, "sounds: not installed", "troupe add sound")
    (tmp_path / "troupe_horn.py").touch()
    assert part_checks.installed("sound", BAND).detail == "sounds: troupe-drum missing"
    (tmp_path / "troupe_drum.py").touch()
    (tmp_path / "troupe_drum-1.2.dist-info").mkdir()
    (tmp_path / "troupe_drum-1.2.dist-info" / "METADATA").write_text("Name: troupe-drum\nVersion: 1.2\n")
    found = part_checks.installed("sound", BAND)
    assert (found.state, found.detail, found.remedy) == (State.OK, "troupe-horn of its own, troupe-drum 1.2", "")


def test_every_part_but_the_engine_is_told() -> None:
    told = {finding.name for finding in part_checks.every(None)} - {"PyTorch"}
    assert told == {f"Part {name}" for name in PARTS if name != "llama"}


@pytest.mark.parametrize(
    ("line", "cuda"),
    [
        ("cuda: Optional[str] = '12.6'", "12.6"),
        ('cuda = "13.0"', "13.0"),
        ("cuda: Optional[str] = None", ""),
        ("hip: Optional[str] = None", ""),
    ],
)
def test_the_build_of_pytorch_is_read_without_importing_it(
    line: str, cuda: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("raise RuntimeError\n")
    (tmp_path / "torch" / "version.py").write_text(f"__version__ = '2.13.0'\n{line}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert part_checks.torch_build() == cuda


@pytest.mark.parametrize(
    ("cuda", "cards", "state", "words"),
    [
        ("", None, State.OK, "built for the processor"),
        ("12.6", None, State.OK, "there is no card"),
        ("12.6", CARD, State.OK, "on RTX 4080"),
        ("12.8", CARD, State.OK, "on RTX 4080"),
        ("12.6", Cards(("K80",)), State.OK, "on K80"),
        ("", CARD, State.POOR, "RTX 4080 lies idle"),
        ("13.0", CARD, State.POOR, "the driver runs CUDA 12.6"),
    ],
)
def test_a_build_that_does_not_fit_the_card_is_told_with_what_mends_it(
    cuda: str, cards: Cards | None, state: State, words: str
) -> None:
    found = part_checks.torch(cuda, cards)
    assert (found.state, words in found.detail) == (state, True)
    assert ("torch_index" in found.remedy and "troupe add transformers --again" in found.remedy) is (
        state is State.POOR
    )
