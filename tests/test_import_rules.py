"""The rules of imports bite: each is broken on purpose, in a copy, and named.

None of them lists what there is, so a new actor, capability or door is held to them from its first line.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

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

FLOORS = "The floors: each room sees those below it"
NO_CAPABILITY = "Bus and store know no capability"
WORDS = "The contract knows the words of calls alone"
STRANGERS = "Actors do not know each other; what families share is a room of its own"
NO_MODALITY = "The generic doors know no modality"
CLIENT = "A client sees the contract and the words of calls"
NO_CLIENTS = "The rooms know neither the clients nor the forge"
FORGE = "The forge stands alone"
CIRCLES = "No circles, for type checkers neither"

# What is written where, and which rule it breaks. The modules are new: nothing names them.
PLANTED = [
    ("bus/planted.py", "import host.log", FLOORS),
    ("bus/planted.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import store.table", FLOORS),
    ("store/planted.py", "import host.settings", FLOORS),
    ("host/planted.py", "def late():\n    import actors.echo", FLOORS),
    ("gateway/planted.py", "import actors.registry", FLOORS),
    ("actors/planted.py", "import gateway.limits", FLOORS),
    ("bus/planted.py", "import troupe.planted.v1", NO_CAPABILITY),
    ("proto/gen/troupe/planted/v1/planted.py", "import bus.channel", WORDS),
    ("actors/planted.py", "import actors.echo", STRANGERS),
    ("actors/planted/engine.py", "import actors.llama.engine", STRANGERS),
    ("actors/model/planted.py", "import actors.llama.catalog", STRANGERS),
    ("gateway/planted.py", "import troupe.planted.v1", NO_MODALITY),
    ("clients/python/troupe_client/planted.py", "import bus.transports.nats", CLIENT),
    ("host/planted.py", "import troupe_client", NO_CLIENTS),
    ("forge/planted.py", "import bus", FORGE),
]


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources, and a capability that no rule has heard of."""
    copy = tmp_path_factory.mktemp("copied")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.gguf"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    (copy / "proto/gen/troupe/planted/v1").mkdir(parents=True)
    (copy / "proto/gen/troupe/planted/v1/__init__.py").touch()
    (copy / "proto/gen/troupe/planted/__init__.py").touch()
    return copy


def broken(copy: Path) -> set[str]:
    """The rules that are broken in a copy."""
    program = "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, "--no-cache"],
        cwd=copy,
        env={"PYTHONPATH": f"{copy}:{copy}/proto/gen:{copy}/clients/python", "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.splitlines()
    assert any(line.startswith("Contracts: ") for line in lines), done.stdout + done.stderr
    return {line.split(" BROKEN")[0] for line in lines if " BROKEN" in line}


def test_nothing_is_broken_before_anything_is_planted(copied: Path) -> None:
    assert broken(copied) == set()


@pytest.mark.parametrize(("name", "text", "rule"), PLANTED)
def test_what_is_planted_is_found(copied: Path, name: str, text: str, rule: str) -> None:
    path = copied / name
    new = not path.parent.exists()
    path.parent.mkdir(exist_ok=True)
    if new:
        (path.parent / "__init__.py").touch()
    path.write_text(text + "\n")
    try:
        assert rule in broken(copied)
    finally:
        path.unlink()
        if new:
            shutil.rmtree(path.parent)


def test_a_circle_is_found_also_one_for_type_checkers(copied: Path) -> None:
    one, two = copied / "bus" / "one.py", copied / "bus" / "two.py"
    one.write_text("import bus.two\n")
    two.write_text("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import bus.one\n")
    try:
        assert broken(copied) == {CIRCLES}
    finally:
        one.unlink()
        two.unlink()
