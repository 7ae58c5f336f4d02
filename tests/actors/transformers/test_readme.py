"""The head of a README."""

from pathlib import Path

import pytest

from actors.model.card import Card
from actors.transformers.readme import card_of_readme, head

FULL = """---
license: other
license_name: gemma
language:
- en
- no
- [nested]
tags: [conversational, safetensors, arxiv:2401.1]
pipeline_tag: text-generation
---
# A model
license: not this
"""


def test_licence_languages_and_specialties_are_taken(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(FULL)
    assert card_of_readme(tmp_path) == Card("gemma", "", ("en", "no"), ("chat",))


def test_one_language_may_stand_alone(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\nlicense: mit\nlanguage: vi\n---\n")
    assert card_of_readme(tmp_path) == Card("mit", "", ("vi",))


@pytest.mark.parametrize(
    "text",
    ["", "# Only text\n---\nlicense: mit\n---", "---\nlicense: mit", "---\n- a\n---", "---\n{a: b\n---", "---\n---",
     "---\n!!python/object/apply:os.getcwd []\n---", "---\n" + "[" * 2000 + "\n---"],
)  # fmt: skip
def test_what_has_no_head_or_a_broken_one_says_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "README.md").write_text(text)
    assert card_of_readme(tmp_path) == Card()


def test_without_a_readme_nothing_is_said(tmp_path: Path) -> None:
    assert card_of_readme(tmp_path) == Card()
    assert head("---\nlicense: mit\n---\nmore") == "license: mit"
