"""The documentation agrees with what it is about."""

import re
import runpy
import tomllib
from pathlib import Path

import msgspec
import pytest
from msgspec import Struct
from msgspec.structs import FieldInfo, fields

from actors.weights.known import KNOWN
from cli.__main__ import COMMANDS
from gateway.settings import ROOMS
from host.settings import Settings

ROOT = Path(__file__).parents[2]
SETTINGS = (ROOT / "docs" / "settings.md").read_text("utf-8")
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("clients/*/README.md")]
    + [page for room in ("actors", "bus", "gateway", "host", "store") for page in ROOT.glob(f"{room}/**/*.md")]
)
CHANGES = ROOT / "CHANGELOG.md"  # which tells of what was, too
FILE = re.compile(
    r"(?<![\w./$<~-])((?:[\w.-]+/)+[\w.-]+\.(?:py|proto|json|js|md|toml|sh|yml|mjs)\b|[\w-]+/[\w/-]*/(?=`))"
)
ROOMS_OF_FILES = {path.name for path in ROOT.iterdir() if path.is_dir()} - {"build", "dist"}
WRITTEN = re.compile(r"<!-- (?:file|home): (\S+) -->")
ROW = re.compile(r"^\| `(\w+)` \| `(.*?)` \|", re.MULTILINE)
BROUGHT = ("llama", "forge", "transformers", "training", "dev")
"""Extras that something in this repository uses; the others get their lines with what uses them."""
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
        for name, section in script["actors_with_settings"]()
        for kind in (section, *(entry for _, entry in script["nested"](section)))
        for key, text in script["texts"](kind).items()
        if not text
    ]
    assert unsaid == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    targets = [target for target, _ in LINK.findall(page.read_text("utf-8")) if "://" not in target]
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", sorted({*PAGES} - {CHANGES}), ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_a_page_names_are_there(page: Path) -> None:
    text = page.read_text("utf-8")
    named = {name for name in FILE.findall(text) if name.partition("/")[0] in ROOMS_OF_FILES}
    own = set(WRITTEN.findall(text))  # those that a walk-through writes
    assert [name for name in sorted(named - own) if not (ROOT / name).exists()] == []


def test_the_architecture_names_files_of_every_room() -> None:
    named = {name.partition("/")[0] for name in FILE.findall((ROOT / "docs" / "architecture.md").read_text("utf-8"))}
    assert {"actors", "bus", "gateway", "host", "proto", "store"} <= named


def test_the_drawing_of_the_rooms_is_what_import_linter_holds() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    drawing = text.partition("this drawing to import-linter:\n\n```\n")[2].partition("```")[0]
    drawn = [
        {cell for cell in re.split(r" {4,}", line.strip()) if cell.isidentifier()} for line in drawing.splitlines()
    ]
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    [layers] = [rule["layers"] for rule in rules if rule["type"] == "layers"]
    assert drawn == [set(layer.split(" | ")) for layer in layers]


def test_every_page_is_reached_from_the_readme() -> None:
    linked = {target for target, _ in LINK.findall((ROOT / "README.md").read_text("utf-8"))}
    pages = {str(page.relative_to(ROOT)) for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]}
    assert pages - {"README.md"} - linked == set()


def test_each_command_of_make_that_a_page_names_is_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    pages = [page for page in PAGES if page != CHANGES]
    named = {name for page in pages for name in re.findall(r"`make ([a-z-]+)", page.read_text("utf-8"))}
    assert named - targets == set()


def test_the_notice_names_every_package_that_an_installation_brings_along() -> None:
    told = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [*told["dependencies"], *(line for name in BROUGHT for line in told["optional-dependencies"][name])]
    lines = re.findall(r"^  ([a-z0-9, -]+): ", (ROOT / "NOTICE").read_text("utf-8"), re.MULTILINE)
    named = {name for line in lines for name in line.split(", ")}
    assert {re.split(r"[<>=;\s]", line)[0] for line in wanted} == named - set(KNOWN)


def test_each_command_has_its_chapter() -> None:
    text = (ROOT / "docs" / "cli.md").read_text("utf-8")
    assert re.findall(r"^## troupe (\w+)", text, re.MULTILINE) == list(COMMANDS)


def test_the_page_about_sixteen_gigabytes_is_as_it_is_written() -> None:
    script = runpy.run_path(str(ROOT / "deploy" / "sixteen_gigabytes.py"))
    assert script["main"](["--check"]) == 0, "run `make docs`"
