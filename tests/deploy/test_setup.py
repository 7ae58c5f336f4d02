"""deploy/setup.sh on machines that lack something. What it would call is stood in for; nothing is installed."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("sh", "dirname", "cat", "cksum", "grep", "id", "printf", "tail", "mkdir", "cp")


class Machine:
    """A checkout on a machine with few programs."""

    def __init__(self, folder: Path) -> None:
        self.checkout = folder / "checkout"
        self.programs = folder / "bin"
        self.programs.mkdir()
        (self.checkout / "deploy").mkdir(parents=True)
        for name in ("deploy/setup.sh", "pyproject.toml", "constraints.txt"):
            shutil.copy(ROOT / name, self.checkout / name)
        for name in TOOLS:
            if path := shutil.which(name):
                (self.programs / name).symlink_to(path)
        self.has("id", "echo 1000")

    def has(self, name: str, script: str) -> None:
        """Give it a program."""
        path = self.programs / name
        path.unlink(missing_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def has_python(self, *, venv: bool = True, engine: bool = True, flavour: str = "cpu") -> None:
        """A fit interpreter. Those in its virtual environments do nothing, with success, unless there is no engine.

        flavour: which engine the machine is to have.
        """
        told = f'case "$*" in *"engine_build flavour"*) echo {flavour} ;; *engine_build*) echo "$*" ;; esac'
        missing = 'case "$*" in *"import llama_cpp"* | *"engine_build fits"*) exit 1 ;; esac'
        (self.programs / "inner").write_text(f"#!/bin/sh\n{told}\n{'' if engine else missing}\n")
        (self.programs / "inner").chmod(0o755)
        modules = "exit 0" if venv else "exit 1"
        made = f"mkdir -p .venv/bin; cp {self.programs}/inner .venv/bin/python"
        self.has(
            "python3",
            f'case "$*" in *ensurepip*) {modules} ;; "-m venv"*) {made} ;; *print*) echo 3.12 ;; esac',
        )

    def set_up(self, what: str = "hub") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.checkout / "deploy/setup.sh"), what],
            env={"PATH": str(self.programs)},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=60,
            check=False,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_without_python_the_packages_are_named(machine: Machine) -> None:
    machine.has("python3", "exit 1")
    done = machine.set_up()
    assert (done.returncode, "sudo apt-get install python3 python3-venv" in done.stderr) == (1, True)


def test_without_the_venv_module_the_package_of_that_python_is_named(machine: Machine) -> None:
    machine.has_python(venv=False)
    done = machine.set_up()
    assert (done.returncode, "sudo apt-get install python3.12-venv" in done.stderr) == (1, True)


def test_without_a_compiler_the_package_is_named(machine: Machine) -> None:
    machine.has_python(engine=False)
    done = machine.set_up()
    assert (done.returncode, "sudo apt-get install build-essential" in done.stderr) == (1, True)


def test_root_on_debian_gets_the_packages_installed(machine: Machine) -> None:
    machine.has("id", "echo 0")
    machine.has("env", 'shift; exec "$@"')
    machine.has_python(venv=False)
    machine.has("apt-get", f'echo "$*" >> {machine.checkout}/apt')
    done = machine.set_up()
    asked = (machine.checkout / "apt").read_text()
    assert "install -y -qq --no-install-recommends python3.12-venv" in asked
    assert "Install python3.12-venv" in done.stdout
    assert done.returncode == 1  # this one's packages hold nothing


def test_a_second_run_does_nothing(machine: Machine) -> None:
    machine.has_python()
    first, second = machine.set_up(), machine.set_up()
    assert (first.returncode, second.returncode) == (0, 0)
    assert "Install Troupe" in first.stdout
    assert second.stdout == ""


def test_changed_pins_are_installed(machine: Machine) -> None:
    machine.has_python()
    machine.set_up()
    (machine.checkout / "constraints.txt").write_text("llama-cpp-python==9.9.9\n")
    assert "Install Troupe" in machine.set_up().stdout


def test_a_card_that_has_come_since_is_noticed(machine: Machine) -> None:
    machine.has_python()
    machine.set_up()
    machine.has_python(flavour="cuda 13.0 for 8.9")
    (machine.checkout / ".venv" / "bin" / "python").write_text((machine.programs / "inner").read_text())
    done = machine.set_up()
    assert "engine_build fits" in done.stdout, "whether the engine that is there is one for the card"
    assert "engine_build fits" not in machine.set_up().stdout


def test_an_engine_that_does_not_fit_is_compiled_and_what_that_says_is_kept(machine: Machine) -> None:
    machine.has_python(engine=False)
    machine.has("cc", "exit 0")
    machine.has("c++", "exit 0")
    done = machine.set_up()
    assert (done.returncode, "engine_build install --log .venv/setup.log" in done.stdout) == (0, True), done.stderr


def test_a_browser_that_may_not_be_installed_is_named_and_does_not_stop_the_tests(machine: Machine) -> None:
    machine.has_python()
    done = machine.set_up("tests")
    assert (done.returncode, "sudo apt-get install chromium" in done.stdout) == (0, True)
