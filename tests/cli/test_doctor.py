"""`troupe doctor`."""

import json
from pathlib import Path

import pytest

from cli import doctor
from cli.__main__ import main
from cli.finding import Finding, State

FINE = Finding("Python", State.OK, "3.12.1")
MISSING = Finding("llama.cpp", State.WRONG, "not there", "pip install it")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> list[Finding]:
    """What the checks find."""
    found: list[Finding] = []
    monkeypatch.setattr(doctor, "every", lambda _: iter(found))
    return found


def test_a_fit_machine_ends_with_exit_code_0(machine: list[Finding], capsys: pytest.CaptureFixture[str]) -> None:
    machine.append(FINE)
    assert main(["doctor"]) == 0
    assert capsys.readouterr().out.endswith("This machine can run a hub.\n")


def test_what_is_wrong_comes_with_the_command_that_mends_it(
    machine: list[Finding], capsys: pytest.CaptureFixture[str]
) -> None:
    machine += [FINE, MISSING]
    assert main(["doctor"]) == 1
    said = capsys.readouterr().out
    assert "wrong   llama.cpp: not there\n        -> pip install it\n" in said
    assert said.endswith("To mend: llama.cpp.\n")


def test_each_finding_is_a_json_object(machine: list[Finding], capsys: pytest.CaptureFixture[str]) -> None:
    machine.append(MISSING)
    assert main(["doctor", "--json"]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[-1] == {"name": "llama.cpp", "state": "wrong", "detail": "not there", "remedy": "pip install it"}


def test_wrong_settings_are_a_finding_and_the_rest_is_still_checked(
    machine: list[Finding], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    machine.append(FINE)
    file = tmp_path / "troupe.toml"
    file.write_text("[http]\nprot = 1\n")
    assert main(["doctor", "--config", str(file)]) == 1
    said = capsys.readouterr().out
    assert "Did you mean port?" in said
    assert "ok      Python: 3.12.1" in said
