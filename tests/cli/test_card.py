"""Cards, as a pretended driver tells."""

from pathlib import Path

import pytest

from cli import card, wsl
from cli.card import Cards

BANNER = "| NVIDIA-SMI 580.65.06   Driver Version: 580.65.06   CUDA Version: 13.0 |"


class Driver:
    """A machine whose only program is the driver's."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        monkeypatch.setenv("PATH", str(folder))
        monkeypatch.setattr(wsl, "NVIDIA_SMI", str(folder / "wsl-smi"))

    def says(self, script: str, name: str = "nvidia-smi") -> None:
        path = self._folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def has(self, *rows: str, banner: str = BANNER) -> None:
        lines = "; ".join(f"echo '{row}'" for row in rows)
        self.says(f'case "$*" in *compute_cap*) {lines} ;; "") echo "{banner}" ;; *) exit 1 ;; esac')


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Driver:
    return Driver(tmp_path, monkeypatch)


def test_without_a_driver_there_is_no_card(driver: Driver) -> None:
    assert card.found() is None


def test_the_cards_their_capabilities_and_what_the_driver_runs_are_told(driver: Driver) -> None:
    driver.has("NVIDIA GeForce RTX 4080, 8.9", "NVIDIA GeForce RTX 3060, 8.6", "NVIDIA GeForce RTX 3060, 8.6")
    found = card.found()
    assert found == Cards(
        ("NVIDIA GeForce RTX 4080", "NVIDIA GeForce RTX 3060", "NVIDIA GeForce RTX 3060"), ("8.6", "8.9"), "13.0"
    )
    assert str(found) == "NVIDIA GeForce RTX 4080, NVIDIA GeForce RTX 3060"


def test_an_older_driver_tells_the_name_alone(driver: Driver) -> None:
    driver.says('case "$*" in *compute_cap*) exit 2 ;; *name*) echo "Tesla K80" ;; *) echo "no words" ;; esac')
    assert card.found() == Cards(("Tesla K80",))


@pytest.mark.parametrize("script", ["exit 9", "exit 0", "kill -KILL $$"])
def test_a_driver_that_finds_no_card_or_breaks_has_none(driver: Driver, script: str) -> None:
    driver.says(script)
    assert card.found() is None


def test_the_driver_of_windows_is_found_beside_the_path(driver: Driver) -> None:
    driver.says('case "$*" in *compute_cap*) echo "RTX 4060, 8.9" ;; esac', "wsl-smi")
    assert card.found() == Cards(("RTX 4060",), ("8.9",))


@pytest.mark.parametrize(
    ("one", "other", "later"),
    [("13.0", "12.9", True), ("12.9", "12.1", False), ("9.2", "12.0", False), ("", "12.0", False), ("13.0", "", False)],
)
def test_versions_are_compared_by_their_major(one: str, other: str, later: bool) -> None:
    assert card.newer(one, other) is later
