"""Follows docs/add-an-actor.md to the letter, in a copy of the repository."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from .walk_through import Command, Page

PARTS = {
    "the gateway": ["tests/gateway"],
    "the host": ["tests/host"],
    "the rest": [f"--ignore=tests/{name}" for name in ("bus", "gateway", "host", "store", "test_import_rules.py")],
}
"""All but the rooms below, which the rules of imports keep from knowing any actor."""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    page = Page("add-an-actor.md", tmp_path_factory.mktemp("troupe"))
    page.follow()
    page.run("buf", "lint")
    page.run("buf", "generate")
    page.run("git", "init", "-q")
    page.run("git", "add", "-A")
    return page


@pytest.mark.parametrize("name", ["greeting", "lobby"])
def test_the_pages_own_tests_pass(page: Page, name: str) -> None:
    page.run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"tests/actors/test_{name}.py")


def test_its_files_are_well_formed_and_import_what_they_may(page: Page) -> None:
    page.run("ruff", "check", "--no-cache", ".")
    page.run("ruff", "format", "--no-cache", "--check", ".")
    page.run("lint-imports", "--no-cache")


@pytest.fixture(scope="module")
def suites(page: Page) -> Iterator[dict[str, Command]]:
    """All parts of the fast tests, begun at once, since they mostly wait."""
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "fast")
    with ExitStack() as stack:
        yield {name: stack.enter_context(page.begin(*command, *which)) for name, which in PARTS.items()}


@pytest.mark.parametrize("part", PARTS)
def test_nothing_else_has_to_be_told_of_the_new_actor(suites: dict[str, Command], part: str) -> None:
    """The fast tests know no list that it would have to be in."""
    suites[part].ended()


def test_the_new_actor_answers_through_the_door(page: Page, tmp_path: Path) -> None:
    [(_, output)] = page.blocks("output")
    with page.hub(tmp_path, "greeting") as environment:
        assert page.call(**environment) == page.told(output)
