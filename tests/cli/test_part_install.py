"""What pip is asked for, and what is said before; tests/e2e/test_add_a_part.py does it for real."""

import fcntl
import io
import os
import shutil
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

from cli import card, engine_build, part_install, site_changes, toolkit
from cli.card import Cards
from cli.failure import CommandError
from cli.part_install import Step, constraints, install, steps, told
from host.parts import Library, Part
from host.settings import PartsSettings

TORCH, PEFT = Library("torch", "troupe_torch", 200), Library("peft", "troupe_peft", 1)
BRAIN = Part("thoughts", (TORCH, PEFT))
WANTED = ("accelerate>=1", "peft>=0.18", "torch>=2.8")
INDEX = PartsSettings(torch_index="http://index/cu130")


def test_a_part_is_one_call_of_pip_for_all_that_its_extra_asks_for() -> None:
    assert steps(BRAIN.libraries, WANTED, PartsSettings(), again=False) == [Step(WANTED)]


def test_pytorch_comes_first_from_its_own_index_and_the_rest_from_that_of_pip() -> None:
    first, rest = steps(BRAIN.libraries, WANTED, INDEX, again=False)
    assert first == Step(("--index-url", "http://index/cu130", "torch"))
    assert rest == Step(WANTED)
    assert steps((PEFT,), WANTED, INDEX, again=False) == [Step(WANTED)], "no PyTorch, no other index"


def test_again_replaces_what_the_part_brings_and_nothing_else() -> None:
    torch, others, rest = steps(BRAIN.libraries, WANTED, INDEX, again=True)
    anew = ("--force-reinstall", "--no-deps")
    assert torch == Step(("--index-url", "http://index/cu130", *anew, "torch"), frozenset({"torch"}))
    assert others == Step((*anew, "peft"), frozenset({"peft"}))
    assert rest == Step(WANTED), "what another build of PyTorch needs besides"


def test_the_size_is_told_and_where_pytorch_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(card, "found", lambda: None)
    said = "\n".join(told("brain", BRAIN, BRAIN.libraries, 201, PartsSettings()))
    assert "brain: thoughts.\nIt brings torch, peft: about 201 MB to fetch, 804 MB on the disk." in said
    assert "3 GB more (there is no card here, and [parts] torch_index names a smaller one" in said
    assert "http://index/cu130" in "\n".join(told("brain", BRAIN, (TORCH,), 200, INDEX))
    monkeypatch.setattr(card, "found", lambda: Cards(("RTX 4080",)))
    assert "RTX 4080 wants that" in "\n".join(told("brain", BRAIN, (TORCH,), 200, PartsSettings()))
    assert "CUDA" not in "\n".join(told("brain", BRAIN, (PEFT,), 1, PartsSettings()))


def test_the_toolkit_of_a_card_counts_with_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(card, "found", lambda: Cards(("RTX 5090",), ("12.0",), "13.1"))
    monkeypatch.setattr(toolkit, "found", lambda *_: None)
    monkeypatch.setattr(toolkit, "in_wheels", lambda: True)
    monkeypatch.delenv("CMAKE_ARGS", raising=False)
    assert part_install.megabytes("llama", (PEFT,)) == 601
    assert part_install.megabytes("brain", (PEFT,)) == 1


def test_what_an_extra_asks_for_is_read_from_the_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["rich>=14", "torch>=2.8; extra == 'brain'", 'peft; extra == "brain"', "torch; extra == 'brainy'"]
    monkeypatch.setattr(metadata, "requires", lambda _: lines)
    assert part_install.requirements("brain") == ["torch>=2.8", "peft"]
    assert part_install.requirements("voice") == []


def test_the_pins_are_found_in_the_sources() -> None:
    assert "torch==" in constraints().read_text("utf-8")


@pytest.fixture
def ready(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """What was done, where nothing is in the way."""
    done: list[str] = []
    monkeypatch.setattr(part_install, "_check_place", lambda *_: None)
    monkeypatch.setattr(part_install, "_install", lambda name, *_, **__: done.append(name))
    monkeypatch.setattr(site_changes, "roots", lambda: [tmp_path / "site"])
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    return done


def test_a_disk_without_room_is_told_before_anything_is_fetched(
    ready: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=700_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(CommandError, match="700 MB free, and 804 MB are needed"):
        install("brain", BRAIN, INDEX, yes=True, again=False)
    assert ready == []


def test_one_at_a_time(ready: list[str], tmp_path: Path) -> None:
    lock = os.open(tmp_path / part_install.LOCK, os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    with pytest.raises(CommandError, match="Another `troupe add`"):
        install("brain", BRAIN, INDEX, yes=True, again=False)
    os.close(lock)
    assert ready == []


def test_what_pip_has_installed_and_cannot_be_found_is_no_success(ready: list[str]) -> None:
    with pytest.raises(CommandError, match="troupe_torch, troupe_peft cannot be found"):
        install("brain", BRAIN, INDEX, yes=True, again=False)
    assert ready == ["brain"]


def test_a_troupe_that_does_not_know_the_part_is_told_before_anything_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site_changes, "roots", lambda: [tmp_path])
    with pytest.raises(CommandError, match="does not know brain"):
        install("brain", BRAIN, INDEX, yes=True, again=False)


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A pip that writes down what it is asked for, and fails where that names "missing"."""
    asked = tmp_path / "asked"
    program = (
        "import sys\n"
        f"with open({str(asked)!r}, 'a') as asked: print(*sys.argv[1:], file=asked)\n"
        "sys.exit('missing' in sys.argv)"
    )
    monkeypatch.setattr(part_install, "_PIP", [sys.executable, "-c", program])
    monkeypatch.setattr(part_install, "_check_place", lambda *_: None)
    monkeypatch.setattr(part_install, "_check_room", lambda *_: None)
    monkeypatch.setattr(site_changes, "roots", lambda: [tmp_path / "site"])
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    return asked


def test_pip_is_held_to_the_pins_and_to_what_is_there(pip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part_install, "requirements", lambda _: ["torch>=2.8", "peft>=0.18"])
    there = Part("thoughts", (Library("torch", "json", 1), Library("peft", "email", 1)))
    install("brain", there, INDEX, yes=True, again=True)
    torch, peft, rest = (line.split() for line in pip.read_text("utf-8").splitlines())
    assert torch[4:] == ["--index-url", "http://index/cu130", "--force-reinstall", "--no-deps", "torch"]
    assert peft[4:] == ["--force-reinstall", "--no-deps", "peft"]
    assert rest[4:] == ["torch>=2.8", "peft>=0.18"]
    assert [line[1] for line in (torch, peft, rest)] == [str(constraints())] * 3


def test_where_pip_fails_the_part_is_not_installed(pip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part_install, "requirements", lambda _: ["missing"])
    with pytest.raises(CommandError, match="pip could not install brain; nothing of it was left behind"):
        install("brain", BRAIN, PartsSettings(), yes=True, again=False)


@pytest.mark.parametrize("built", [True, False])
def test_the_engine_is_built_by_its_own_way_and_the_rest_by_pip(
    pip: Path, monkeypatch: pytest.MonkeyPatch, built: bool
) -> None:
    def engine(pins: Path, run: Callable[..., bool], say: Callable[[str], None], *, again: bool) -> bool:
        say("It is built.")
        assert run([*part_install._PIP, "llama-cpp-python"], {"CMAKE_ARGS": "-DGGML_CUDA=on"})
        assert run([*part_install._PIP, "--target", "elsewhere", "tools"], {})
        return built

    monkeypatch.setattr(engine_build, "install", engine)
    monkeypatch.setattr(part_install, "requirements", lambda _: ["llama-cpp-python==0.3"])
    part = Part("models", (Library("llama-cpp-python", "json", 1),))
    try:
        install("llama", part, PartsSettings(), yes=True, again=True)
    except CommandError as error:
        assert not built and "pip could not install llama" in str(error)
    engine_asked, apart, *rest = (line.split() for line in pip.read_text("utf-8").splitlines())
    assert (engine_asked[0], engine_asked[1], len(engine_asked)) == ("llama-cpp-python", "-c", 3)
    assert apart == ["--target", "elsewhere", "tools"], "what goes elsewhere has nothing to do with what is here"
    assert [line[-1] for line in rest] == (["llama-cpp-python==0.3"] if built else [])


def test_nobody_who_could_be_asked_means_no(pip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    with pytest.raises(CommandError, match="Nobody can be asked here"):
        install("brain", BRAIN, INDEX, yes=False, again=False)
    assert not pip.exists()


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_whatever_is_not_yes_means_no(pip: Path, monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    given = io.StringIO(answer)
    given.isatty = lambda: True  # type: ignore[method-assign]  # as a terminal's
    monkeypatch.setattr(sys, "stdin", given)
    with pytest.raises(CommandError, match="Nothing was fetched"):
        install("brain", BRAIN, INDEX, yes=False, again=False)
    assert not pip.exists()
