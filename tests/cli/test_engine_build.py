"""How llama.cpp is compiled, on pretended machines; the numbers are those of cli/engine_build.py."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from cli import card, engine_build, toolkit
from cli.card import Cards
from cli.engine_build import NO_AMX, Build, command, fits, install, plan
from cli.toolkit import Toolkit

CARD = Cards(("RTX 4080",), ("8.9",), "12.6")
NEW = Cards(("RTX 5090", "RTX 4080"), ("12.0", "8.9"), "13.1")
MACHINES = Toolkit("/opt/cuda/bin/nvcc", "12.4")
WHEELS = Toolkit("/v/cu13/bin/nvcc", "13.0", Path("/v/cu13"))
ROOT = Path(__file__).parents[2]


def test_1_what_the_environment_says_is_compiled() -> None:
    build = plan(CARD, MACHINES, {"CMAKE_ARGS": "-DGGML_VULKAN=on"}, wheels=True)
    assert (build.flavour, "CMAKE_ARGS" in build.environment, "GGML_VULKAN" in build.what_for) == ("own", False, True)


def test_2_without_a_card_it_is_for_the_processor() -> None:
    assert plan(None, MACHINES, {}, wheels=True) == Build("cpu", "for this machine's processor")


@pytest.mark.parametrize("cards", [CARD, Cards(("RTX 4080",), ("8.9",))])
def test_3_a_card_and_a_toolkit_of_the_machine_make_one_with_cuda_for_that_card(cards: Cards) -> None:
    build = plan(cards, MACHINES, {}, wheels=True)
    assert (build.flavour, build.cuda, build.fetch, build.note) == ("cuda 12.4 for 8.9", True, False, "")
    assert build.what_for == "with CUDA 12.4 for RTX 4080"
    assert build.environment == {
        "CUDACXX": "/opt/cuda/bin/nvcc",
        "CMAKE_ARGS": "-DGGML_CUDA=on -DCMAKE_CUDA_ARCHITECTURES=89",
    }


def test_3_every_card_counts_and_one_that_does_not_tell_its_kind_is_left_to_cmake() -> None:
    assert "ARCHITECTURES=120;89" in plan(NEW, MACHINES, {}, wheels=True).environment["CMAKE_ARGS"]
    assert plan(Cards(("K80",)), MACHINES, {}, wheels=True).environment["CMAKE_ARGS"] == "-DGGML_CUDA=on"


def test_3_what_came_in_wheels_is_found_again_when_it_runs() -> None:
    build = plan(NEW, WHEELS, {"LDFLAGS": "-s"}, wheels=True)
    assert build.environment["LDFLAGS"] == "-s -Wl,-rpath,/v/cu13/lib"
    assert "-DCUDAToolkit_ROOT=/v/cu13 -DGGML_CUDA_NO_VMM=on" in build.environment["CMAKE_ARGS"]


def test_4_where_the_machine_has_no_toolkit_nvidias_wheels_are_fetched() -> None:
    for tools in (None, Toolkit("/nvcc", "14.0")):
        build = plan(NEW, tools, {}, wheels=True)
        assert (build.flavour, build.fetch, build.note) == ("cuda 13.0 for 12.0,8.9", True, "")


@pytest.mark.parametrize(
    ("cards", "tools", "wheels", "words"),
    [
        (CARD, None, True, ("no CUDA toolkit (the driver runs CUDA 12.6)", "Install the CUDA toolkit 12 ")),
        (NEW, None, False, ("no CUDA toolkit", "sudo apt-get install nvidia-cuda-toolkit")),
        (
            CARD,
            Toolkit("/nvcc", "13.0"),
            True,
            ("toolkit here is 13.0 and the driver runs CUDA 12.6", "driver up to date"),
        ),
        (Cards(("K80",)), None, True, ("does not say which CUDA", "Install the CUDA toolkit (")),
    ],
)
def test_5_where_nothing_compiles_for_the_card_a_sentence_says_what_to_do(
    cards: Cards, tools: Toolkit | None, wheels: bool, words: tuple[str, ...]
) -> None:
    build = plan(cards, tools, {}, wheels=wheels)
    assert build.flavour == "cpu"
    assert all(word in build.note for word in (*words, "`troupe add llama --again`"))
    assert "\n" not in build.note


def test_a_processor_with_amx_is_compiled_for_without_it() -> None:
    build = plan(None, None, {"CFLAGS": "-g"}, wheels=True, amx=True)
    assert build.environment == {"CFLAGS": f"-g {NO_AMX}", "CXXFLAGS": NO_AMX}
    assert plan(CARD, MACHINES, {}, wheels=True, amx=True).environment["CFLAGS"] == NO_AMX


def test_a_build_for_a_card_never_comes_from_pips_cache_nor_goes_there(tmp_path: Path) -> None:
    (tmp_path / "pins").write_text("numpy==2\nllama-cpp-python==0.3.36\n")
    plain = command(Build("cpu", ""), tmp_path / "pins", again=False)
    assert plain[1:] == ["-m", "pip", "install", "--no-input", "-c", str(tmp_path / "pins"), "llama-cpp-python==0.3.36"]
    cuda = command(Build("cuda 13.0 for 8.9", ""), tmp_path / "pins", again=True)
    assert {"--no-cache-dir", "--no-binary", "--force-reinstall", "--no-deps"} <= set(cuda)


@pytest.mark.parametrize(
    ("said", "cpu", "cuda"), [("echo 0.3.36 1", True, True), ("echo 0.3.36 0", True, False), ("exit 1", False, False)]
)
def test_an_engine_fits_a_card_if_it_can_use_one(
    said: str, cpu: bool, cuda: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{said}\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    assert (fits(Build("cpu", "")), fits(Build("cuda 13.0 for 8.9", ""))) == (cpu, cuda)


class Machine:
    """A machine with a card, where pip is pretended. fails: words of commands that end badly."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, cards: Cards | None) -> None:
        self.commands: list[tuple[list[str], Mapping[str, str]]] = []
        self.lines: list[str] = []
        self.fails = ""
        self.pins = folder / "constraints.txt"
        self.pins.write_text("llama-cpp-python==0.3.36\n")
        self._prefix = folder / "venv"
        monkeypatch.setattr(card, "found", lambda: cards)
        monkeypatch.setattr(toolkit, "in_wheels", lambda: True)
        monkeypatch.setattr(toolkit, "USUAL", folder / "none")
        monkeypatch.setattr(toolkit, "folder", lambda _=None: self._prefix / "cuda")
        monkeypatch.setenv("PATH", str(folder))
        for name in ("CMAKE_ARGS", "CUDACXX", "CUDA_HOME", "CUDA_PATH", "CUDAToolkit_ROOT", "CFLAGS"):
            monkeypatch.delenv(name, raising=False)

    def run(self, command: list[str], environment: Mapping[str, str]) -> bool:
        self.commands.append((command, environment))
        if self.fails and any(self.fails in word for word in (*command, *environment.values())):
            return False
        if "--target" in command:
            nvcc = self._prefix / "cuda" / "nvidia" / "cu13" / "bin" / "nvcc"
            nvcc.parent.mkdir(parents=True)
            nvcc.write_text("#!/bin/sh\necho release 13.0\n")
            nvcc.chmod(0o755)
        return True

    def install(self) -> bool:
        return install(self.pins, self.run, self.lines.append, again=False)


def test_the_toolkits_wheels_come_first_into_a_folder_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(tmp_path, monkeypatch, NEW)
    assert machine.install()
    (fetch, _), (compiled, environment) = machine.commands
    assert fetch[-1] == toolkit.WHEELS
    assert fetch[fetch.index("--target") + 1] == str(tmp_path / "venv" / "cuda")
    assert "about 600 MB" in machine.lines[0], "the size is told before it is fetched"
    assert environment["CUDACXX"] == str(tmp_path / "venv" / "cuda" / "nvidia" / "cu13" / "bin" / "nvcc")
    assert compiled[-1] == "llama-cpp-python==0.3.36"
    assert "with CUDA 13.0 for RTX 5090, RTX 4080" in machine.lines[1]


def test_where_the_wheels_cannot_be_had_it_is_compiled_for_the_processor_and_says_why_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(tmp_path, monkeypatch, NEW)
    machine.fails = "--target"
    assert machine.install()
    assert "CMAKE_ARGS" not in machine.commands[-1][1]
    assert any("there is no CUDA toolkit" in line for line in machine.lines)


def test_where_it_does_not_compile_with_cuda_it_is_compiled_for_the_processor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(tmp_path, monkeypatch, NEW)
    machine.fails = "GGML_CUDA"
    assert machine.install()
    assert "CMAKE_ARGS" not in machine.commands[-1][1]
    assert machine.lines[-1].endswith("Once that is mended: `troupe add llama --again`.")


def test_where_it_does_not_compile_at_all_that_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(tmp_path, monkeypatch, None)
    machine.fails = "llama"
    assert not machine.install()
    assert len(machine.commands) == 1


def test_set_up_asks_it_before_anything_is_installed() -> None:
    script = "import sys; sys.path = [p for p in sys.path if 'site-packages' not in p]; import cli.engine_build"
    subprocess.run([sys.executable, "-S", "-c", script], cwd=ROOT, check=True)
    assert engine_build.pinned(ROOT / "constraints.txt").startswith("llama-cpp-python==")
