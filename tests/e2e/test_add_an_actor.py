"""Follows docs/add-an-actor.md to the letter, in a copy of the repository."""

import sys
from pathlib import Path

import pytest

from .walk_through import Page

FAST_SECONDS = 900
"""What a loaded machine may take for what is otherwise a matter of a minute."""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    page = Page("add-an-actor.md", tmp_path_factory.mktemp("troupe"))
    page.follow()
    page.run("buf", "lint")
    page.run("buf", "generate")
    return page


def test_the_pages_own_test_passes(page: Page) -> None:
    page.run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/actors/test_greeting.py")


def test_nothing_else_has_to_be_told_of_the_new_actor(page: Page) -> None:
    """The fast tests know no list that it would have to be in, and its own files are well-formed.

    Without those of the rooms below, which the rules of imports keep from knowing any actor.
    """
    page.run("git", "init", "-q")
    page.run("git", "add", "-A")
    page.run("ruff", "check", "--no-cache", ".")
    page.run("ruff", "format", "--no-cache", "--check", ".")
    page.run("lint-imports", "--no-cache")
    fast = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "fast")
    page.run(
        *fast, "--ignore=tests/bus", "--ignore=tests/store", "--ignore=tests/test_import_rules.py", seconds=FAST_SECONDS
    )


def test_the_new_actor_answers_through_the_door(page: Page, tmp_path: Path) -> None:
    [(_, output)] = page.blocks("output")
    with page.hub(tmp_path, "greeting") as environment:
        assert page.call(**environment) == page.told(output)
