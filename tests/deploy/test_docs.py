"""The documentation agrees with what it is about."""

import re
import runpy
from pathlib import Path

import msgspec
import pytest
from msgspec import Struct
from msgspec.structs import FieldInfo, fields

from cli.__main__ import COMMANDS
from gateway.settings import ROOMS
from host.settings import Settings

ROOT = Path(__file__).parents[2]
SETTINGS = (ROOT / "docs" / "settings.md").read_text("utf-8")
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("clients/*/README.md")])
ROW = re.compile(r"^\| `(\w+)` \| `(.*?)` \|", re.MULTILINE)
LINK = re.compile(r"\]\(([^)#\s]+)(#[^)]*)?\)")


def sections() -> dict[str, type[Struct]]:
    own = {
        found.name: found.type
        for found in fields(Settings)
        if isinstance(found.type, type) and issubclass(found.type, Struct)
    }
    return {**own, **ROOMS}


def default(found: FieldInfo) -> object:
    return found.default_factory() if found.default_factory is not msgspec.NODEFAULT else found.default


@pytest.mark.parametrize("section", sections())
def test_each_setting_is_described_with_its_default(section: str) -> None:
    _, heading, rest = SETTINGS.partition(f"\n## [{section}]\n")
    assert heading
    told = dict(ROW.findall(rest.partition("\n## ")[0]))
    assert told == {found.name: msgspec.json.encode(default(found)).decode() for found in fields(sections()[section])}


def test_no_section_is_described_that_there_is_not() -> None:
    assert set(re.findall(r"^## \[([a-z]+)\]$", SETTINGS, re.MULTILINE)) == set(sections())


def test_the_chapters_of_the_actors_are_what_make_docs_writes() -> None:
    script = runpy.run_path(str(ROOT / "deploy" / "settings_page.py"))
    assert script["page"](SETTINGS) == SETTINGS, "run `make docs`"


def test_each_key_of_an_actor_says_what_it_is() -> None:
    script = runpy.run_path(str(ROOT / "deploy" / "settings_page.py"))
    unsaid = [
        f"[actors.{name}] {key}"
        for name, kind in script["actors_with_settings"]()
        for key, text in script["texts"](kind).items()
        if not text
    ]
    assert unsaid == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    targets = [target for target, _ in LINK.findall(page.read_text("utf-8")) if "://" not in target]
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_every_page_is_reached_from_the_readme() -> None:
    linked = {target for target, _ in LINK.findall((ROOT / "README.md").read_text("utf-8"))}
    assert {f"docs/{page.name}" for page in ROOT.glob("docs/*.md")} - linked == set()


def test_each_command_has_its_chapter() -> None:
    text = (ROOT / "docs" / "cli.md").read_text("utf-8")
    assert re.findall(r"^## troupe (\w+)", text, re.MULTILINE) == list(COMMANDS)
