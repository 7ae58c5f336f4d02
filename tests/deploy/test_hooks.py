"""make hooks: what is staged is checked before a commit, in a repository of the test's own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COPIED = ("actors", "bus", "cli", "clients", "deploy", "forge", "gateway", "host", "proto", "store")
FILES = ("buf.yaml", "buf.gen.yaml", "pyproject.toml", ".gitignore")
PROTO = "proto/troupe/echo/v1/echo_service.proto"


class Checkout:
    """A repository with the hook in place."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        identity = {
            f"GIT_{who}_{what}": "lan@hub.example" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
        }
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "PYTHON"))}
        self._environment = {**kept, **identity, "PATH": path, "GIT_CONFIG_GLOBAL": os.devnull}

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=self.folder, env=self._environment, capture_output=True, text=True, timeout=120, check=False
        )

    def commit(self, *names: str) -> subprocess.CompletedProcess[str]:
        self.run("git", "add", *names)
        return self.run("git", "commit", "-q", "-m", "A step.")

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    own = Checkout(tmp_path_factory.mktemp("hooks"))
    for name in COPIED:
        ignored = shutil.ignore_patterns("__pycache__", "*.gguf", "node_modules")
        shutil.copytree(ROOT / name, own.folder / name, ignore=ignored)
    for name in FILES:
        shutil.copy(ROOT / name, own.folder / name)
    own.run("git", "init", "-q")
    assert own.commit(".").returncode == 0
    assert "before each commit" in own.run("deploy/hooks.sh").stdout
    return own


@pytest.fixture
def checkout(made: Checkout) -> Checkout:
    """As it was committed."""
    made.run("git", "reset", "-q", "--hard")
    made.run("git", "clean", "-fdq")
    return made


def test_what_is_well_formed_is_committed(checkout: Checkout) -> None:
    checkout.write("bus/planted.py", '"""A module."""\n')
    done = checkout.commit("bus/planted.py")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("bus/planted.py", '"""A module."""\nNUMBERS = [1,2]\n', "make format"),
        ("bus/planted.py", '"""A module."""\nimport os\n', "style"),
        ("bus/planted.py", '"""A module."""\n\nfrom host import log\n\n__all__ = ["log"]\n', "wrong way"),
    ],
)
def test_what_is_not_is_told(checkout: Checkout, name: str, text: str, told: str) -> None:
    checkout.write(name, text)
    done = checkout.commit(name)
    assert (done.returncode, told in done.stderr) == (1, True), done.stderr


def test_what_is_not_staged_does_not_count(checkout: Checkout) -> None:
    checkout.write("bus/sloppy.py", "import os")
    checkout.write("docs.md", "Words.\n")
    assert checkout.commit("docs.md").returncode == 0
    checkout.write("bus/neat.py", '"""A module."""\n')
    assert checkout.commit("bus/neat.py").returncode == 0


def test_a_contract_is_committed_with_what_is_generated_from_it(checkout: Checkout) -> None:
    text = (checkout.folder / PROTO).read_text()
    checkout.write(PROTO, text + "\n// Planted is a message that nobody sends.\nmessage Planted {}\n")
    done = checkout.commit(PROTO)
    assert (done.returncode, "make proto" in done.stderr) == (1, True), done.stderr
    assert checkout.run("buf", "generate").returncode == 0
    done = checkout.commit(PROTO, "proto/gen")
    assert done.returncode == 0, done.stderr


def test_a_contract_without_comments_is_refused(checkout: Checkout) -> None:
    checkout.write(PROTO, (checkout.folder / PROTO).read_text() + "\nmessage Silent {}\n")
    done = checkout.commit(PROTO)
    assert (done.returncode, "pre-commit: the contract" in done.stderr) == (1, True)


def test_a_hook_of_somebody_elses_stays(checkout: Checkout) -> None:
    hook = checkout.folder / ".git" / "hooks" / "pre-commit"
    own = hook.read_text()
    hook.write_text("#!/bin/sh\ntrue\n")
    done = checkout.run("deploy/hooks.sh")
    assert (done.returncode, hook.read_text()) == (1, "#!/bin/sh\ntrue\n")
    hook.write_text(own)
    assert checkout.run("deploy/hooks.sh").returncode == 0
