"""The floors of coverage."""

import json
import runpy
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]
script = runpy.run_path(str(ROOT / "deploy" / "covered.py"))

MODULES = st.sampled_from(["bus/a.py", "bus/b.py", "host/c.py"])
measured_figures = st.dictionaries(MODULES, st.floats(0, 100))
written_floors = st.dictionaries(MODULES, st.integers(81, 100).map(float))


def test_what_is_below_its_floor_is_named_the_lowest_first() -> None:
    told = script["complaints"](95.0, {"bus/a.py": 94.0, "bus/b.py": 79.9, "host/c.py": 80.0}, {"bus/a.py": 95.0})
    assert told == ["bus/b.py: 79.9 %, its floor is 80 %", "bus/a.py: 94.0 %, its floor is 95 %"]


def test_all_together_has_a_floor_of_its_own() -> None:
    assert script["complaints"](89.9, {"bus/a.py": 89.9}, {}) == ["all together: 89.9 %, asked for is 90 %"]


@given(measured_figures, written_floors)
def test_floors_never_fall_and_what_was_measured_stands_above_them(
    measured: dict[str, float], floors: dict[str, float]
) -> None:
    new = script["raised"](measured, floors)
    assert set(new) <= set(measured)
    for name, floor in floors.items():
        if name in measured:
            assert new[name] >= floor
    own = {name for name, figure in measured.items() if figure < floors.get(name, script["LEAST"])}
    assert {name for name, figure in measured.items() if figure < new.get(name, script["LEAST"])} == own


def test_the_written_floors_are_of_modules_that_are_there() -> None:
    floors = json.loads((ROOT / "tests" / "coverage.json").read_text("utf-8"))
    assert [name for name in floors if not (ROOT / name).is_file()] == []
    assert all(script["LEAST"] < floor <= 100 for floor in floors.values())
