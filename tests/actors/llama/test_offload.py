"""Whether a card is of use to llama.cpp."""

from pathlib import Path

import pytest

from actors.llama.offload import offloads


@pytest.mark.parametrize(
    ("library", "card", "found"),
    [("libggml-cuda.so", True, True), ("libggml-cuda.so", False, False), ("libggml-cpu.so", True, False)],
)
def test_it_takes_a_library_for_it_and_a_card(tmp_path: Path, library: str, card: bool, found: bool) -> None:
    (tmp_path / library).touch()
    (tmp_path / "libggml-base.so").touch()
    device = tmp_path / "nvidia0"
    if card:
        device.touch()
    assert offloads(tmp_path, (str(device),)) is found


def test_the_installed_one_is_found() -> None:
    assert offloads(cards=("/nowhere",)) is False
