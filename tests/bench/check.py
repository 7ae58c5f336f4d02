"""The short benchmarks on this tree and on the last release, turn and turn about: `make bench-check`.

python tests/bench/check.py [--rounds N] [--against COMMIT]

Both hubs run all the time and one of them works; who begins changes from round to round. One client calls both.
Ends with 1 where something has become worse by more than its noise; ratios.py says how that is told.
"""

import argparse
import asyncio
import contextlib
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from hub_processes import ROOT, HubProcesses, hub_processes
from ratios import FEWEST, Verdict, verdict
from token_path import HERE, run_json

BASELINE = Path(__file__).with_name("baseline")
"""The commit of the last release, as long as no tag names one."""

ROUNDS = 10
PACED_TOKENS = 100
INTERVAL_MS = 20.0
UNPACED_TOKENS = 20_000
FLUSHED = 1e-6

# What is measured: door, streams, tokens in all, milliseconds between two of a stream.
LOADS = {
    "WebSocket, 10 paced streams": ("ws", 10, 10 * PACED_TOKENS, INTERVAL_MS),
    "gRPC, 10 paced streams": ("grpc", 10, 10 * PACED_TOKENS, INTERVAL_MS),
    "WebSocket, token by token": ("ws", 10, UNPACED_TOKENS, FLUSHED),
    "WebSocket, backlog": ("ws", 10, 3 * UNPACED_TOKENS, 0.0),
}
SIDES = ("this tree", "the release")


def release(named: str | None) -> str:
    """The commit to compare with. Raises SystemExit if this checkout does not have it."""
    commit = named or _said("describe", "--tags", "--abbrev=0") or BASELINE.read_text().strip()
    if not _said("rev-parse", "--verify", f"{commit}^{{commit}}"):
        raise SystemExit(f"bench-check: {commit} is not in this checkout; git fetch --unshallow --tags brings it.")
    return commit


def _said(*command: str) -> str:
    """What git says; nothing if it fails."""
    return subprocess.run(["git", *command], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


@contextlib.contextmanager
def checked_out(commit: str) -> Iterator[Path]:
    """A folder with that commit's files."""
    with tempfile.TemporaryDirectory(prefix="troupe-release-") as folder:
        archive = subprocess.run(["git", "archive", commit], cwd=ROOT, check=True, capture_output=True).stdout
        subprocess.run(["tar", "-x", "-C", folder], input=archive, check=True)
        yield Path(folder)


async def measured(client: HubProcesses, running: HubProcesses, name: str) -> dict[str, float]:
    """One turn of a hub, called by this tree's client: each figure is better the less it is."""
    door, streams, tokens, interval = LOADS[name]
    watched = {each: running.processes[each] for each in ("gateway", "nats", "echo")}
    before = {each: process.cpu_seconds() for each, process in watched.items()}
    port = running.grpc_port if door == "grpc" else running.http_port
    command = (str(HERE / "load.py"), door, str(port), str(streams), str(tokens // streams), str(interval))
    result = await run_json(client, *command)
    used = sum(process.cpu_seconds() - before[each] for each, process in watched.items())
    taken = {"µs of CPU per token": used / result["received"] * 1e6}
    if interval >= 1:
        return {"µs to the client, median": result["p50_us"], **taken}
    return {"µs per token": result["seconds"] / result["received"] * 1e6, **taken}


Figures = dict[tuple[str, str], tuple[list[float], list[float]]]


async def compared(mine: HubProcesses, theirs: HubProcesses, rounds: int) -> Figures:
    """Figures by load and kind, of both sides. The first round is thrown away: it warms both up."""
    found: Figures = {}
    for number in range(rounds + 1):
        for name in LOADS:
            turns = [(0, mine), (1, theirs)]
            for side, running in turns if number % 2 else reversed(turns):
                for kind, figure in (await measured(mine, running, name)).items():
                    if number:
                        found.setdefault((name, kind), ([], []))[side].append(figure)
        print(f"round {number} of {rounds}", file=sys.stderr, flush=True)
    return found


@contextlib.asynccontextmanager
async def both(folder: Path) -> AsyncIterator[tuple[HubProcesses, HubProcesses]]:
    """This tree's hub and the release's."""
    async with hub_processes("echo") as mine, hub_processes("echo", root=folder) as theirs:
        await asyncio.sleep(2.0)
        yield mine, theirs


def table(verdicts: dict[tuple[str, str], Verdict], figures: Figures) -> str:
    """As people read it."""
    lines = ["| what | this tree | the release | ratio | allowed | |", "|---|---|---|---|---|---|"]
    for key, each in verdicts.items():
        middles = (f"{sorted(values)[len(values) // 2]:,.1f}" for values in figures[key])
        word = "worse" if each.worse else "better" if each.better else ""
        lines.append(
            f"| {', '.join(key)} | {' | '.join(middles)} | {each.ratio:.3f} | {1 + each.allowed:.3f} | {word} |"
        )
    return "\n".join(lines)


async def main(rounds: int, commit: str) -> int:
    """The exit status."""
    with checked_out(commit) as folder:
        async with both(folder) as (mine, theirs):
            figures = await compared(mine, theirs, rounds)
    verdicts = {key: verdict(new, old) for key, (new, old) in figures.items()}
    print(f"This tree beside {commit}, medians of {rounds} rounds.\n")
    print(table(verdicts, figures))
    return int(any(each.worse for each in verdicts.values()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Compares the short benchmarks with the last release.")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"at least {FEWEST}; the more, the less is noise")
    parser.add_argument("--against", help="a commit or tag instead of the last release")
    told = parser.parse_args()
    if told.rounds < FEWEST:
        parser.error(f"--rounds is {FEWEST} at least.")
    sys.exit(asyncio.run(main(told.rounds, release(told.against))))
