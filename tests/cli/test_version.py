"""`troupe version`."""

import json
from importlib import metadata

import pytest

from cli.__main__ import main
from cli.version import installed


def test_the_versions_are_those_of_what_is_installed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["grpc"] == metadata.version("grpcio")
    assert told["troupe"] == metadata.version("troupe-hub")
    assert told["wire protocol"] == "1"


def test_what_is_missing_is_told_as_missing() -> None:
    assert installed("no-such-distribution") == "not installed"
