"""What an installed Troupe consists of."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The files of the wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], cwd=ROOT, check=True)
    (wheel,) = folder.glob("*.whl")
    return zipfile.ZipFile(wheel).namelist()


def test_the_model_and_the_page_are_in_it(names: list[str]) -> None:
    assert "actors/llama/models/troupe-tiny.gguf" in names
    assert "clients/web/index.html" in names


def test_the_pins_are_in_it_where_troupe_add_looks(names: list[str]) -> None:
    assert [name for name in names if name.endswith(".data/data/share/troupe/constraints.txt")]


def test_each_package_lies_under_the_name_by_which_it_is_imported(names: list[str]) -> None:
    for package in ("actors", "bus", "cli", "gateway", "host", "store", "troupe", "troupe_client"):
        assert f"{package}/__init__.py" in names
    assert not [name for name in names if name.startswith(("proto/", "tests/", "forge/", "clients/python"))]


def test_the_contract_and_the_client_are_typed(names: list[str]) -> None:
    assert {"troupe/py.typed", "troupe_client/py.typed"} <= set(names)
