"""What was broken off is taken back, and nothing else."""

import os
import shutil
from importlib import metadata
from pathlib import Path

import pytest

from cli import site_changes


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "site" / "numpy").mkdir(parents=True)
    (tmp_path / "site" / "numpy" / "core.py").write_text("old")
    return tmp_path / "site"


def broken_off(site: Path, error: BaseException) -> None:
    with site_changes.undone_on_failure([site, site.parent / "bin"]):
        (site / "torch" / "lib").mkdir(parents=True)
        (site / "torch" / "lib" / "a.so").touch()
        (site / "numpy" / "extra.py").touch()
        (site.parent / "bin").mkdir()
        (site.parent / "bin" / "torchrun").symlink_to(site / "numpy")
        raise error


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_whatever_has_come_is_removed_and_what_was_there_stays(site: Path, error: BaseException) -> None:
    before = site_changes.present([site.parent])
    with pytest.raises(type(error)):
        broken_off(site, error)
    assert site_changes.present([site.parent]) == before
    assert (site / "numpy" / "core.py").read_text() == "old"


def test_what_succeeds_stays(site: Path) -> None:
    with site_changes.undone_on_failure([site]):
        (site / "torch").mkdir()
    assert (site / "torch").is_dir()


def test_where_packages_go_is_within_the_environment(tmp_path: Path) -> None:
    folders = site_changes.roots(tmp_path)
    assert all(folder.is_relative_to(tmp_path) for folder in folders)
    assert {"site-packages", "bin", "share"} <= {folder.name for folder in folders}


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_place_of_somebody_elses_is_known(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert not site_changes.writable([tmp_path / "lib" / "site-packages"])


def test_a_place_of_ones_own_is_known(tmp_path: Path) -> None:
    assert site_changes.writable([tmp_path / "lib" / "site-packages"])


def test_room_is_asked_of_the_disk_that_a_folder_will_be_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=17)
    monkeypatch.setattr(shutil, "disk_usage", {tmp_path: usage}.__getitem__)
    assert site_changes.free(tmp_path / "not" / "yet") == 17


def test_what_is_installed_is_held_in_one_spelling_and_the_first_on_the_path_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder, name, version in (
        ("a", "Jinja_Two", "1.0+cpu"),
        ("b", "jinja.two", "2.0"),
        ("b", "odd", "not a version"),
        ("b", "torch", "2.13.0"),
    ):
        info = tmp_path / folder / f"{name}-0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n")
    path = [str(tmp_path / "a"), str(tmp_path / "b")]
    there = list(metadata.distributions(path=path))
    monkeypatch.setattr(metadata, "distributions", lambda: iter(there))
    assert site_changes.held(frozenset({"torch"})) == ["jinja-two==1.0+cpu"]
    assert site_changes.held() == ["jinja-two==1.0+cpu", "torch==2.13.0"]
