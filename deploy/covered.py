"""Runs the tests under coverage and holds every module to its floor: `make coverage`.

python deploy/covered.py [--raise] [--check] [test…]

A module's figure is the share of its lines and branches that ran, in percent, in whatever process. Its floor is in
tests/coverage.json, or LEAST for a module that is not listed there. --check reads what the last run has left; --raise
writes down what has become better.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
FLOORS = ROOT / "tests" / "coverage.json"
REPORT = ROOT / "build" / "coverage" / "report.json"

OVERALL = 90.0
LEAST = 80.0

SLACK = 1.0
"""What a floor leaves below the measured figure: which process takes a branch is a matter of milliseconds in places."""

Figures = dict[str, float]


def measure(tests: list[str]) -> None:
    """Run the tests under coverage and put the report in its place. Raises CalledProcessError if one fails."""
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    coverage = [sys.executable, "-m", "coverage"]
    subprocess.run([*coverage, "erase"], cwd=ROOT, check=True)
    subprocess.run([*coverage, "run", "-m", "pytest", *tests], cwd=ROOT, check=True)
    subprocess.run([*coverage, "combine", "--quiet"], cwd=ROOT, check=True)
    subprocess.run([*coverage, "json", "--quiet", "-o", str(REPORT)], cwd=ROOT, check=True)


def figures(report: Path) -> tuple[float, Figures]:
    """Of all together, and of each module."""
    told = json.loads(report.read_text("utf-8"))
    each = {name: found["summary"]["percent_covered"] for name, found in told["files"].items()}
    return told["totals"]["percent_covered"], each


def complaints(overall: float, each: Figures, floors: Figures) -> list[str]:
    """What is below its floor, the lowest first."""
    low = sorted((figure, name) for name, figure in each.items() if figure < floors.get(name, LEAST))
    lines = [f"{name}: {figure:.1f} %, its floor is {floors.get(name, LEAST):.0f} %" for figure, name in low]
    return [*([f"all together: {overall:.1f} %, asked for is {OVERALL:.0f} %"] if overall < OVERALL else []), *lines]


def raised(each: Figures, floors: Figures) -> Figures:
    """The floors as they may be now: none lower, and none for a module that is gone."""
    new = {name: max(floors.get(name, LEAST), float(int(figure - SLACK))) for name, figure in each.items()}
    return {name: floor for name, floor in sorted(new.items()) if floor > LEAST}


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(description="Branch coverage by module, held to tests/coverage.json.")
    parser.add_argument("--raise", dest="write", action="store_true", help="write down what has become better")
    parser.add_argument("--check", action="store_true", help="run nothing, take the last run's report")
    told, tests = parser.parse_known_args()
    if not told.check:
        measure(tests)
    floors: Figures = json.loads(FLOORS.read_text("utf-8"))
    overall, each = figures(REPORT)
    if told.write:
        FLOORS.write_text(json.dumps(raised(each, floors), indent=1) + "\n", "utf-8")
    wrong = complaints(overall, each, floors)
    print(f"coverage: {overall:.1f} % over {len(each)} modules")
    print("\n".join(wrong), file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
