"""`troupe add` before it installs; tests/e2e/test_add_a_part.py goes on from there."""

import json

import pytest

from actors.registry import PARTS
from cli.__main__ import main
from cli.add import named, part_names
from cli.failure import CommandError


def test_without_a_name_the_parts_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["add"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["PART", "STATE", "FOR"]
    assert [line.split()[0] for line in lines] == list(PARTS)
    assert main(["add", "--json"]) == 0
    listed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert listed[0] == {"name": "llama", "installed": True, "about": PARTS["llama"].about}


def test_a_misspelt_part_is_told_with_the_nearest() -> None:
    with pytest.raises(CommandError, match="Did you mean voice"):
        named("vocie", PARTS)
    with pytest.raises(CommandError, match="There are: llama, transformers"):
        named("xyzzy", PARTS)


def test_the_parts_are_completed() -> None:
    assert part_names("v") == list(PARTS)
