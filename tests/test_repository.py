"""What holds for the repository as a whole."""

import ast
import filecmp
import importlib
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
PACKAGES = (
    "actors",
    "bus",
    "cli",
    "forge",
    "gateway",
    "host",
    "store",
    "proto/gen/troupe",
    "clients/python/troupe_client",
)
CONSTRAINT = re.compile(r"^([a-z0-9-]+)==([0-9][0-9a-z.]*)$")

# In pieces, so that this file does not hold what it looks for.
ELSEWHERE = re.compile(
    "|".join(
        re.escape(before + after)
        for before, after in (
            ("pypi", ".org"),
            ("pythonhosted", ".org"),
            ("registry.npm", "js.org"),
            ("ghcr", ".io"),
            ("docker", ".io"),
            ("/wo", "rk/"),
            ("/ro", "ot/"),
            ("/home", "/user"),
        )
    )
)


def tracked() -> list[Path]:
    """Every file that git keeps."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def project() -> dict[str, list[str]]:
    """The requirements of the core, under "", and of each extra."""
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {"": told["dependencies"], **told["optional-dependencies"]}


def pins() -> dict[str, str]:
    """Name -> version."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    found = [CONSTRAINT.match(line) for line in lines if line and not line.startswith("#")]
    assert None not in found, "every line is name==version"
    return {match[1]: match[2] for match in found if match}


# ---- the contract


def test_generating_the_contract_again_changes_nothing(tmp_path: Path) -> None:
    programs = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run([programs / "buf", "generate", "-o", str(tmp_path)], cwd=ROOT, check=True, env=environment)
    kept, made = ROOT / "proto/gen", tmp_path / "proto/gen"
    files = {path.relative_to(kept) for path in kept.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert files == {path.relative_to(made) for path in made.rglob("*") if path.is_file()}
    _, different, unread = filecmp.cmpfiles(kept, made, files, shallow=False)
    assert (different, unread) == ([], [])


# ---- what is installed


def test_every_requirement_has_a_pin_that_satisfies_it() -> None:
    pinned, wrong = pins(), []
    for requirement in map(Requirement, (line for lines in project().values() for line in lines)):
        name = canonicalize_name(requirement.name)
        if name != "troupe-hub" and (name not in pinned or Version(pinned[name]) not in requirement.specifier):
            wrong.append(str(requirement))
    assert wrong == []


def test_pins_are_sorted_and_each_package_has_one() -> None:
    names = [line.partition("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line]
    assert names == sorted(set(names))


def test_the_extra_all_holds_every_extra_but_the_developers() -> None:
    extras = project()
    (every,) = map(Requirement, extras["all"])
    assert every.extras == set(extras) - {"", "all", "dev"}


# ---- what is kept


def test_no_tracked_file_names_a_registry_or_a_folder_of_somebodys_machine() -> None:
    found = []
    for path in tracked():
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:  # models, images
            continue
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in ELSEWHERE.finditer(text)]
    assert found == []


def test_tests_have_no_init_files_that_would_shadow_a_package() -> None:
    assert [path for path in tracked() if path.name == "__init__.py" and (ROOT / "tests") in path.parents] == []


def test_nothing_is_left_to_do() -> None:
    marks = re.compile(
        "|".join(("TO" + "DO", "FIX" + "ME", "X" * 3, "Not" + "ImplementedError", "pragma: no " + "cover"))
    )
    sources = [path for path in tracked() if path.suffix in {".py", ".proto", ".js", ".sh"}]
    assert [str(path) for path in sources if marks.search(path.read_text("utf-8"))] == []


# ---- public surfaces


def surfaces() -> list[str]:
    """Packages that say what is public."""
    files = [path for folder in PACKAGES for path in sorted((ROOT / folder).rglob("__init__.py"))]
    return [str(path.relative_to(ROOT).parent) for path in files if "__all__" in path.read_text("utf-8")]


@pytest.mark.parametrize("folder", surfaces())
def test_a_package_offers_what_it_says_and_says_what_it_offers(folder: str) -> None:
    name = folder.removeprefix("proto/gen/").removeprefix("clients/python/").replace("/", ".")
    module = importlib.import_module(name)
    offered = list(module.__all__)
    assert len(offered) == len(set(offered))
    assert [each for each in offered if not hasattr(module, each)] == []
    tree = ast.parse((ROOT / folder / "__init__.py").read_text("utf-8"))
    if any(isinstance(node, ast.FunctionDef | ast.ClassDef) for node in tree.body):
        return  # more than a surface: what it imports may be for itself
    imported = {
        alias.asname or alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert {each for each in imported if not each.startswith("_")} <= set(offered)


def test_the_bus_and_the_client_say_what_is_public() -> None:
    assert {"bus", "clients/python/troupe_client"} <= set(surfaces())
