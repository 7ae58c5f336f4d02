"""What the engine is measured against, built or installed once.

All of it lies in $TROUPE_BENCH_CACHE, ~/.cache/troupe-bench unless set. llama-server comes from the copy
of llama.cpp inside the llama-cpp-python sdist of the version that Troupe uses, so that both run the same kernels;
`llama-cpp-python[server]` gets an environment of its own.
"""

import os
import shutil
import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path

PACKAGE = f"llama-cpp-python=={version('llama-cpp-python')}"
CMAKE = ("-DCMAKE_BUILD_TYPE=Release", "-DLLAMA_BUILD_TESTS=OFF", "-DLLAMA_BUILD_EXAMPLES=OFF", "-DLLAMA_OPENSSL=OFF")


def cache() -> Path:
    """Where everything is kept between runs."""
    path = Path(os.environ.get("TROUPE_BENCH_CACHE") or "~/.cache/troupe-bench").expanduser()
    path.mkdir(parents=True, exist_ok=True)
    return path


def run(*command: str | Path) -> None:
    print("+", *command, flush=True)
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)


def llama_server() -> Path:
    """The program, built from the sdist the first time; takes some ten minutes."""
    program = cache() / "build" / "bin" / "llama-server"
    if not program.exists():
        source = _sdist() / "vendor" / "llama.cpp"
        run("cmake", "-S", source, "-B", cache() / "build", *CMAKE)
        run("nice", "-n", "10", "cmake", "--build", cache() / "build", "--target", "llama-server", "-j", "2")
    return program


def _sdist() -> Path:
    folder = cache() / PACKAGE.replace("-", "_").replace("==", "-")
    if not folder.exists():
        run(
            sys.executable,
            "-m",
            "pip",
            "download",
            "--no-deps",
            "--no-binary",
            "llama-cpp-python",
            PACKAGE,
            "-d",
            cache(),
        )
        with tarfile.open(folder.with_name(folder.name + ".tar.gz")) as archive:
            archive.extractall(cache(), filter="data")
    return folder


def python_server() -> Path:
    """A Python with `llama_cpp.server`."""
    python = cache() / "lcp-venv" / "bin" / "python"
    if not python.exists():
        run(sys.executable, "-m", "venv", cache() / "lcp-venv")
        run(python, "-m", "pip", "install", PACKAGE.replace("==", "[server]=="))
    return python


def model() -> Path:
    """A model of half a billion random parameters, Q8_0."""
    path = cache() / "random-0.5b.gguf"
    if not path.exists():
        temporary = path.with_suffix(".part")
        run(sys.executable, "-m", "forge", "random", "--size", "0.5b", "--out", temporary)
        shutil.move(temporary, path)
    return path
