"""Installs a part by pip as it is configured, from the pins, wholly or not at all."""

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING

from cli import card, engine_build, site_changes, toolkit
from cli.failure import FAILED, CommandError

if TYPE_CHECKING:
    from host.parts import Library, Part
    from host.settings import PartsSettings

PACKAGE = "troupe-hub"
ENGINE = "llama"
TORCH = "torch"

UNPACKED = 4
"""A library and its download take about so many times the download while it is installed."""

LOCK = ".troupe-add.lock"
END_SECONDS = 30.0
"""What pip may take to put back what it was replacing, after Ctrl-C."""

_EXTRA = re.compile(r"extra == ['\"]([^'\"]+)['\"]")
_PIP = [sys.executable, "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]


@dataclass(frozen=True, slots=True)
class Step:
    """One call of pip. loose: installed packages that it may replace, in small letters."""

    arguments: tuple[str, ...]
    loose: frozenset[str] = frozenset()


def install(name: str, part: "Part", settings: "PartsSettings", *, yes: bool, again: bool) -> None:
    """Tell the size, ask, and install. Raises CommandError, after which everything is as it was before."""
    folders = site_changes.roots()
    _check_place(name, folders)
    wanted = part.libraries if again else part.missing()
    size = megabytes(name, wanted)
    print("\n".join(told(name, part, wanted, size, settings)), flush=True)
    _check_room(size)
    if not yes:
        _confirm()
    with _alone(), site_changes.undone_on_failure(folders):
        _install(name, part, settings, again=again)
        if left := part.missing():
            names = ", ".join(library.module for library in left)
            raise CommandError(f"pip has ended, and {names} cannot be found.", "Nothing was left behind.", FAILED)


def constraints() -> Path:
    """The pins: at the top of the sources that this runs from, else where the installation has put them."""
    top = Path(__file__).parents[1] / "constraints.txt"
    return top if top.exists() else Path(sys.prefix) / "share" / "troupe" / "constraints.txt"


def requirements(name: str) -> list[str]:
    """What the installed Troupe's extra of this name asks for, as pip takes it; empty if it has no such extra."""
    try:
        lines = metadata.requires(PACKAGE) or []
    except metadata.PackageNotFoundError:
        return []
    split = (line.partition(";") for line in lines)
    return [wanted.strip() for wanted, _, marker in split if _EXTRA.findall(marker) == [name]]


def steps(
    libraries: "Sequence[Library]", wanted: "Sequence[str]", settings: "PartsSettings", *, again: bool
) -> list[Step]:
    """What pip is asked for, one call after another. libraries: of the part; wanted: all that it asks for.

    PyTorch comes first and by itself, from its own index if one is set; then the rest, from the index of pip. again:
    fetch those anew that are there. Troupe itself is not named: pip would look for it in the index.
    """
    names = [library.distribution for library in libraries]
    anew = ("--force-reinstall", "--no-deps") if again else ()
    found = []
    if TORCH in names and (settings.torch_index or again):
        index = ("--index-url", settings.torch_index) if settings.torch_index else ()
        found.append(Step((*index, *anew, TORCH), frozenset({TORCH} if again else ())))
    others = [each for each in names if each != TORCH]
    if again and others:
        found.append(Step((*anew, *others), frozenset(others)))
    return [*found, Step(tuple(wanted))]


def megabytes(name: str, wanted: "Sequence[Library]") -> int:
    """About what is fetched."""
    tools = toolkit.WHEELS_MEGABYTES if name == ENGINE and engine_build.planned().fetch else 0
    return sum(library.megabytes for library in wanted) + tools


def told(name: str, part: "Part", wanted: "Sequence[Library]", size: int, settings: "PartsSettings") -> list[str]:
    """What is about to be installed, and how large it is."""
    names = ", ".join(library.distribution for library in wanted)
    amount = f"about {size} MB to fetch, {size * UNPACKED} MB on the disk"
    lines = [f"{name}: {part.about}.", f"It brings {names}: {amount}."]
    if any(library.distribution == TORCH for library in wanted):
        lines.append(_of_torch(settings))
    return lines


def _of_torch(settings: "PartsSettings") -> str:
    if settings.torch_index:
        return f"PyTorch comes from {settings.torch_index} ([parts] torch_index)."
    cards = card.found()
    here = f"{cards} wants that" if cards else "there is no card here, and [parts] torch_index names a smaller one"
    return f"Where pip's index offers PyTorch built for CUDA, it takes some 3 GB more ({here}: docs/parts.md)."


# ---- what has to be so


def _check_place(name: str, folders: list[Path]) -> None:
    if not site_changes.writable(folders):
        raise CommandError(
            f"{folders[0]} cannot be written.",
            "Run it as the owner of this installation. A container's image is built with the part: docs/parts.md.",
            FAILED,
        )
    if not requirements(name):
        message = f"The Troupe that is installed here does not know {name}."
        raise CommandError(message, "`make up` installs it anew.", FAILED)
    if name == ENGINE and which("c++") is None and which("g++") is None:
        raise CommandError(
            "There is no C++ compiler, which llama.cpp needs.",
            "On Debian and Ubuntu: sudo apt-get install build-essential.",
            FAILED,
        )


def _check_room(size: int) -> None:
    for place, needed in ((Path(sys.prefix), size * UNPACKED), (Path(tempfile.gettempdir()), size)):
        free = site_changes.free(place) // 1_000_000
        if free < needed:
            raise CommandError(
                f"{place} has {free} MB free, and {needed} MB are needed.", "Nothing was fetched.", FAILED
            )


def _confirm() -> None:
    """Raises CommandError unless somebody says yes."""
    if not sys.stdin.isatty():
        raise CommandError("Nobody can be asked here, so nothing was fetched.", "--yes says yes beforehand.")
    try:
        answer = input("Fetch and install it? [y/N] ")
    except EOFError:
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        raise CommandError("Nothing was fetched.", code=FAILED)


@contextmanager
def _alone() -> Iterator[None]:
    """Raises CommandError while another one installs into this environment."""
    import fcntl

    lock = os.open(Path(sys.prefix) / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise CommandError("Another `troupe add` is at work here.", "Wait for its end.", FAILED) from None
    finally:
        os.close(lock)


# ---- what is done


def _install(name: str, part: "Part", settings: "PartsSettings", *, again: bool) -> None:
    with tempfile.TemporaryDirectory(prefix="troupe-add-") as folder:
        held = Path(folder, "held.txt")
        if name == ENGINE:
            run = partial(_run_held, held)
            if not engine_build.install(constraints(), run, lambda line: print(line, flush=True), again=again):
                raise _broken(name)
            again = False
        for step in steps(part.libraries, requirements(name), settings, again=again):
            held.write_text("".join(f"{line}\n" for line in site_changes.held(step.loose)), "utf-8")
            if not _run([*_PIP, "-c", str(constraints()), "-c", str(held), *step.arguments], {}):
                raise _broken(name)


def _broken(name: str) -> CommandError:
    return CommandError(
        f"pip could not install {name}; nothing of it was left behind.",
        "Its own words are above. Once that is mended, the same command tries again.",
        FAILED,
    )


def _run_held(held: Path, command: list[str], environment: Mapping[str, str]) -> bool:
    """Run pip so that it replaces nothing but llama.cpp."""
    held.write_text("".join(f"{line}\n" for line in site_changes.held(frozenset({"llama-cpp-python"}))), "utf-8")
    apart = "--target" in command  # what goes elsewhere has nothing to do with what is here
    return _run([*command, *([] if apart else ["-c", str(held)])], environment)


def _run(command: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Run a program whose words go to stderr; whether it ended well. Ctrl-C lets it put back what it was replacing."""
    child = subprocess.Popen(command, env={**os.environ, **environment}, stdin=subprocess.DEVNULL, stdout=2)
    try:
        return child.wait() == 0
    except BaseException:
        child.send_signal(signal.SIGINT)
        try:
            child.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        raise
