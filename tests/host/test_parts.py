"""What is installed is told by looking for it."""

import sys
from pathlib import Path

import pytest

from host.parts import Library, Part, absences, lacking, part_of

SOUND = Part(
    "sounds",
    (Library("troupe-horn", "troupe_horn", 3), Library("troupe-drum", "troupe_drum", 5)),
    {"band": ("a.v1.B",)},
)
PARTS = {"sound": SOUND, "empty": Part("nothing", (), {"mime": ()})}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_an_actor_lacks_its_part_until_every_library_is_there(site: Path) -> None:
    assert lacking("band", PARTS) == "sound"
    (site / "troupe_horn.py").touch()
    assert [library.distribution for library in SOUND.missing()] == ["troupe-drum"]
    assert lacking("band", PARTS) == "sound"
    (site / "troupe_drum").mkdir()
    (site / "troupe_drum" / "__init__.py").touch()
    assert lacking("band", PARTS) == ""


def test_looking_imports_nothing(site: Path) -> None:
    (site / "troupe_horn.py").write_text("raise RuntimeError\n")
    SOUND.missing()
    assert "troupe_horn" not in sys.modules


def test_who_needs_no_part_lacks_none() -> None:
    assert (part_of("echo", PARTS), lacking("echo", PARTS), lacking("mime", PARTS)) == ("", "", "")


def test_an_absence_tells_what_would_be_served() -> None:
    [absence] = absences({"band": "sound"}, PARTS)
    assert (absence.actor, absence.part, list(absence.services)) == ("band", "sound", ["a.v1.B"])
