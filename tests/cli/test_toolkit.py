"""The CUDA toolkit, pretended."""

from pathlib import Path

import pytest

from cli import toolkit
from cli.toolkit import Toolkit


def compiler(path: Path, cuda: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\necho "Cuda compilation tools, release {cuda}, V{cuda}.88"\n')
    path.chmod(0o755)
    return str(path)


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolkit, "USUAL", tmp_path / "usual" / "nvcc")


def test_where_there_is_none_none_is_found(tmp_path: Path) -> None:
    assert toolkit.found({"PATH": str(tmp_path)}, prefix=tmp_path) is None


def test_it_is_found_by_the_environment_then_on_path_then_in_its_usual_place(tmp_path: Path) -> None:
    usual = compiler(tmp_path / "usual" / "nvcc", "12.1")
    assert toolkit.found({}, prefix=tmp_path) == Toolkit(usual, "12.1")
    on_path = compiler(tmp_path / "bin" / "nvcc", "12.2")
    environ = {"PATH": str(tmp_path / "bin")}
    assert toolkit.found(environ, prefix=tmp_path) == Toolkit(on_path, "12.2")
    named = compiler(tmp_path / "home" / "bin" / "nvcc", "12.3")
    environ["CUDA_HOME"] = str(tmp_path / "home")
    assert toolkit.found(environ, prefix=tmp_path) == Toolkit(named, "12.3")
    environ["CUDACXX"] = compiler(tmp_path / "own", "12.4")
    assert toolkit.found(environ, prefix=tmp_path) == Toolkit(str(tmp_path / "own"), "12.4")


def test_one_that_is_newer_than_the_driver_gives_way_to_what_came_in_wheels(tmp_path: Path) -> None:
    usual = compiler(tmp_path / "usual" / "nvcc", "14.0")
    root = toolkit.folder(tmp_path) / "nvidia" / "cu13"
    wheels = Toolkit(compiler(root / "bin" / "nvcc", "13.0"), "13.0", root)
    assert toolkit.found({}, "13.1", tmp_path) == wheels
    assert toolkit.found({}, "14.2", tmp_path) == Toolkit(usual, "14.0")
    assert toolkit.found({}, "12.4", tmp_path) == Toolkit(usual, "14.0"), "none fits: the first is told"


def test_one_that_does_not_run_is_none(tmp_path: Path) -> None:
    (tmp_path / "usual").mkdir()
    (tmp_path / "usual" / "nvcc").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "usual" / "nvcc").chmod(0o755)
    assert toolkit.found({}, prefix=tmp_path) is None


def test_libraries_of_the_wheels_get_the_names_that_linkers_look_for(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    for name in ("libcudart.so.13", "libcublas.so.13", "libcudart_static.a", "libodd.so.13.0.1"):
        (tmp_path / "lib" / name).touch()
    toolkit.prepare(tmp_path)
    toolkit.prepare(tmp_path)
    links = {path.name: path.readlink().name for path in (tmp_path / "lib").iterdir() if path.is_symlink()}
    assert (tmp_path / "lib64" / "libcudart.so").exists()
    assert links == {"libcudart.so": "libcudart.so.13", "libcublas.so": "libcublas.so.13"}
