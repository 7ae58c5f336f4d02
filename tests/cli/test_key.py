"""`troupe key new`: what it prints lets its key in."""

import json
import tomllib

import msgspec
import pytest

from cli.__main__ import main
from cli.key import lines
from gateway.access import Access
from gateway.settings import AuthSettings


async def test_the_printed_entry_lets_the_printed_key_in(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["key", "new", 'Lan "Mực"', "--scope", "chat"]) == 0
    printed = [line.strip() for line in capsys.readouterr().out.splitlines()]
    key = next(line for line in printed if line.startswith("tr-"))
    entry = tomllib.loads("\n".join(printed[printed.index("[[auth.keys]]") :]))
    principal = await Access(msgspec.convert(entry["auth"], AuthSettings)).principal(f"Bearer {key}")
    assert (principal.name, principal.scopes) == ('Lan "Mực"', frozenset({"chat"}))


def test_two_keys_differ_and_come_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    keys = set()
    for _ in range(2):
        main(["key", "new", "a", "--json"])
        keys.add(json.loads(capsys.readouterr().out)["key"])
    assert len(keys) == 2


def test_a_scope_that_no_method_asks_for_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["key", "new", "a", "--scope", "chatt"]) == 2
    assert "There is: chat." in capsys.readouterr().err


def test_a_key_for_everything_names_no_scopes() -> None:
    assert lines({"name": "a", "hash": "00", "scopes": []}) == ["[[auth.keys]]", 'name = "a"', 'hash = "00"']
