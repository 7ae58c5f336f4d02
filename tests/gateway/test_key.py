import re
from pathlib import Path

import pytest

from bus.settings import load
from gateway.access import Access
from gateway.key import main


@pytest.mark.parametrize("scopes", [[], ["chat", "embedding"]])
def test_what_it_prints_lets_the_key_in(
    scopes: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["key", 'Máy "của" Lan', *scopes])
    assert main() == 0
    told = capsys.readouterr().out
    key = re.search(r"tr-[A-Za-z0-9_-]{43}", told)
    assert key is not None
    file = tmp_path / "troupe.toml"
    file.write_text(told[told.index("[[auth.keys]]") :], "utf-8")
    assert key[0] not in file.read_text("utf-8")
    principal = Access(load(file, {}).auth).principal(f"Bearer {key[0]}")
    assert principal.name == 'Máy "của" Lan'
    assert principal.scopes == (frozenset(scopes) or None)
