"""Follows docs/add-a-family.md to the letter, in a copy of the repository."""

import json
import sys
from pathlib import Path

import pytest

from .walk_through import Page


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    page = Page("add-a-family.md", tmp_path_factory.mktemp("troupe"))
    page.follow()
    return page


def test_the_pages_own_test_passes(page: Page) -> None:
    page.run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/actors/test_parrots.py")


def test_a_model_of_the_new_family_is_loaded_by_the_first_call_and_listed_beside_all_others(
    page: Page, tmp_path: Path
) -> None:
    [(_, output)] = page.blocks("output")
    with page.hub(tmp_path, "parrots,models") as environment:
        assert page.call(**environment) == page.told(output)
        listed = page.run(sys.executable, "-m", "cli", "models", "--json", **environment)
    [polly] = [json.loads(line) for line in listed.splitlines()]
    assert (polly["name"], polly["qualifiedName"], polly["state"]) == ("polly", "parrots/polly", "MODEL_STATE_READY")
