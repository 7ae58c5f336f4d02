"""Follows docs/add-an-actor.md to the letter, in a copy of the repository."""

import sys
from pathlib import Path

import pytest

from .walk_through import Page


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    page = Page("add-an-actor.md", tmp_path_factory.mktemp("troupe"))
    page.follow()
    page.run("buf", "lint")
    page.run("buf", "generate")
    return page


@pytest.mark.parametrize("name", ["greeting", "lobby"])
def test_the_pages_own_tests_pass(page: Page, name: str) -> None:
    page.run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"tests/actors/test_{name}.py")


def test_the_new_actor_answers_through_the_door(page: Page, tmp_path: Path) -> None:
    [(_, output)] = page.blocks("output")
    with page.hub(tmp_path, "greeting") as environment:
        assert page.call(**environment) == page.told(output)
