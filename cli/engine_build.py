"""How llama.cpp is compiled for this machine: for its processor, or with CUDA where there is an NVIDIA card.

`deploy/setup.sh` and `troupe add llama` use it. Stands on the standard library alone: set-up asks before anything is
installed.

Which build, with the numbers at the branches:

1. CMAKE_ARGS in the environment: as they say.
2. No card: for the processor.
3. A card, and a toolkit that is no newer than its driver: with CUDA, for the capabilities of the cards there are.
4. A card, and no such toolkit, but NVIDIA has it in wheels that the driver runs: with CUDA, after fetching those.
5. A card, and nothing to compile for it with: for the processor, and a sentence that says what to do.
"""

import argparse
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from cli import card, toolkit
from cli.card import Cards
from cli.finding import asked
from cli.toolkit import Toolkit

PIN = "llama-cpp-python=="
AGAIN = "`troupe add llama --again`"

OFFLOADS = "import llama_cpp; print(llama_cpp.__version__, int(llama_cpp.llama_supports_gpu_offload()))"
"""Asked in a process of its own: a build that does not fit the processor aborts."""

NO_AMX = "-mno-amx-tile -mno-amx-int8 -mno-amx-bf16"
"""Seen: llama.cpp's AMX kernels end the process with SIGILL when a thread's tile configuration was lost on the way."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Build:
    """What is to be compiled. flavour: in a word, "cpu", "own" or "cuda 13.0 for 8.9"; what for: for people.

    environment: what the compiler gets besides. fetch: the toolkit's wheels come first. note: why it is not for the
    card that is there, and what to do; empty where nothing is to be said.
    """

    flavour: str
    what_for: str
    environment: Mapping[str, str] = field(default_factory=dict)
    fetch: bool = False
    note: str = ""

    @property
    def cuda(self) -> bool:
        """It is to run on a card."""
        return self.flavour.startswith("cuda")


def plan(
    cards: Cards | None, tools: Toolkit | None, environ: Mapping[str, str], *, wheels: bool, amx: bool = False
) -> Build:
    """The build for a machine. wheels: NVIDIA has its toolkit in wheels for it. amx: its processor has AMX."""
    flags = {name: f"{environ.get(name, '')} {NO_AMX}".strip() for name in ("CFLAGS", "CXXFLAGS")} if amx else {}
    if environ.get("CMAKE_ARGS"):  # 1
        return Build("own", f"as CMAKE_ARGS say ({environ['CMAKE_ARGS']})", flags)
    if cards is None:  # 2
        return Build("cpu", "for this machine's processor", flags)
    if tools is not None and not card.newer(tools.cuda, cards.cuda):  # 3
        return _with_cuda(cards, tools, flags, environ)
    if wheels and cards.cuda and not card.newer(toolkit.WHEELS_CUDA, cards.cuda):  # 4
        return replace(_with_cuda(cards, Toolkit("", toolkit.WHEELS_CUDA), flags, environ), fetch=True)
    return Build("cpu", "for this machine's processor", flags, note=_why_not(cards, tools))  # 5


def _with_cuda(cards: Cards, tools: Toolkit, flags: Mapping[str, str], environ: Mapping[str, str]) -> Build:
    arguments = ["-DGGML_CUDA=on"]
    if cards.compute:
        arguments.append(f"-DCMAKE_CUDA_ARCHITECTURES={';'.join(each.replace('.', '') for each in cards.compute)}")
    environment = {**flags, "CUDACXX": tools.nvcc}
    if tools.root is not None:
        # The wheels lack libcuda, by which memory would be mapped; and what they bring is found by its path alone.
        arguments += [f"-DCUDAToolkit_ROOT={tools.root}", "-DGGML_CUDA_NO_VMM=on"]
        environment["LDFLAGS"] = f"{environ.get('LDFLAGS', '')} -Wl,-rpath,{tools.root}/lib".strip()
    environment["CMAKE_ARGS"] = " ".join(arguments)
    flavour = f"cuda {tools.cuda} for {','.join(cards.compute) or 'its card'}"
    return Build(flavour, f"with CUDA {tools.cuda} for {cards}", environment)


def _why_not(cards: Cards, tools: Toolkit | None) -> str:
    driver = f"the driver runs CUDA {cards.cuda}" if cards.cuda else "the driver does not say which CUDA it runs"
    if tools is not None:
        return (
            f"{cards}: the CUDA toolkit here is {tools.cuda} and {driver}, so llama.cpp uses the processor alone. "
            f"Bring the driver up to date, or install an older toolkit; then {AGAIN}."
        )
    wanted = f"the CUDA toolkit {cards.cuda.partition('.')[0]}" if cards.cuda else "the CUDA toolkit"
    return (
        f"{cards}: there is no CUDA toolkit ({driver}), so llama.cpp uses the processor alone. Install {wanted} "
        f"(Debian and Ubuntu: sudo apt-get install nvidia-cuda-toolkit), then {AGAIN}."
    )


def planned(environ: Mapping[str, str] = os.environ) -> Build:
    """The build for this machine as it is now."""
    cards = card.found()
    tools = toolkit.found(environ, cards.cuda) if cards else None
    amx = platform.machine() == "x86_64" and "amx_tile" in _text(Path("/proc/cpuinfo"))
    return plan(cards, tools, environ, wheels=toolkit.in_wheels(), amx=amx)


def fits(build: Build) -> bool:
    """The llama.cpp that is installed runs on this processor, and on the card where the build is for one."""
    ended, said = asked([sys.executable, "-c", OFFLOADS])
    return ended and (not build.cuda or said.endswith(" 1"))


def pinned(constraints: Path) -> str:
    """The requirement of llama.cpp, with its version."""
    return next(line for line in constraints.read_text("utf-8").splitlines() if line.startswith(PIN))


def command(build: Build, constraints: Path, *, again: bool) -> list[str]:
    """What pip is asked for. A build of its own kind is kept from pip's cache, which would give it out for another."""
    asked_for = [sys.executable, "-m", "pip", "install", "--no-input", "-c", str(constraints)]
    asked_for += ["--no-cache-dir", "--no-binary", PIN.rstrip("=")] if build.flavour != "cpu" else []
    asked_for += ["--force-reinstall", "--no-deps"] if again else []
    return [*asked_for, pinned(constraints)]


def install(constraints: Path, run: Callable[[list[str], Mapping[str, str]], bool], say: Say, *, again: bool) -> bool:
    """Compile and install it; where that does not succeed with CUDA, for the processor. Whether there is one now.

    run: does a command with these variables besides, and tells whether it ended well. again: also where one is there.
    """
    build = planned()
    if build.fetch:
        build = _fetched(build, constraints, run, say)
    if build.note:
        say(build.note)
    minutes = "10 to 40 minutes" if build.cuda else "about 3 minutes on two cores"
    say(f"Compile llama.cpp {build.what_for} (once; {minutes}).")
    if run(command(build, constraints, again=again), build.environment):
        return True
    if not build.cuda:
        return False
    say(f"llama.cpp cannot be compiled with CUDA here; it is compiled for the processor. Once that is mended: {AGAIN}.")
    other = plan(None, None, os.environ, wheels=False, amx="CFLAGS" in build.environment)
    return run(command(other, constraints, again=again), other.environment)


def _fetched(build: Build, constraints: Path, run: Callable[[list[str], Mapping[str, str]], bool], say: Say) -> Build:
    """The same build with the toolkit that was fetched for it; one for the processor if that cannot be had."""
    say(f"Fetch the CUDA toolkit {toolkit.WHEELS_CUDA} in NVIDIA's wheels (about {toolkit.WHEELS_MEGABYTES} MB).")
    wanted = ["--target", str(toolkit.folder()), "--upgrade", "--retries", "1", toolkit.WHEELS]
    cards, amx = card.found(), "CFLAGS" in build.environment
    there = run([sys.executable, "-m", "pip", "install", "--no-input", *wanted], {})
    tools = toolkit.fetched() if there else None
    if tools is not None and tools.root is not None:
        toolkit.prepare(tools.root)
    return plan(cards, tools, os.environ, wheels=False, amx=amx)


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8", errors="replace")
    except OSError:
        return ""


# ---- for set-up


def main() -> int:
    """`flavour`: print it; `fits`: exit code 0 if nothing is to be compiled; `install`: compile, exit code 1 if not."""
    parser = argparse.ArgumentParser(prog="python -m cli.engine_build", description="Compile llama.cpp.")
    parser.add_argument("what", choices=("flavour", "fits", "install"))
    parser.add_argument("--log", type=Path, default=Path(os.devnull), help="where what pip says goes")
    args = parser.parse_args()
    if args.what == "install":
        return _install(args.log)
    build = planned()
    if args.what == "fits":
        return 0 if fits(build) else 1
    print(build.flavour)
    if build.note:
        print(f"setup: {build.note}", file=sys.stderr)
    return 0


def _install(log: Path) -> int:
    constraints = Path("constraints.txt")
    again, _ = asked([sys.executable, "-c", "import importlib.metadata as m; m.version('llama-cpp-python')"])

    def run(command: list[str], environment: Mapping[str, str]) -> bool:
        with log.open("ab") as output:
            done = subprocess.run(
                [*command, "--disable-pip-version-check", "--progress-bar", "off"],
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                check=False,
            )
        return done.returncode == 0

    return 0 if install(constraints, run, lambda line: print(f"setup: {line}", flush=True), again=again) else 1


if __name__ == "__main__":
    sys.exit(main())
