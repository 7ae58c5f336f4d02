from dataclasses import fields
from string import Formatter
from typing import Any

import pytest

from cli.chat_words import ENGLISH, VIETNAMESE, Words, words_for


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


@pytest.mark.parametrize("name", [field.name for field in fields(Words)])
def test_both_languages_say_the_same_things(name: str) -> None:
    english, vietnamese = getattr(ENGLISH, name), getattr(VIETNAMESE, name)
    if isinstance(english, str):
        assert placeholders(english) == placeholders(vietnamese)
        assert english != vietnamese
    else:
        assert english.keys() == vietnamese.keys()


@pytest.mark.parametrize(
    ("asked", "environ", "expected"),
    [
        (None, {}, ENGLISH),
        (None, {"LANG": "vi_VN.UTF-8"}, VIETNAMESE),
        (None, {"LANG": "vi_VN.UTF-8", "LC_ALL": "C.UTF-8"}, ENGLISH),
        (None, {"LANG": "fr_FR.UTF-8"}, ENGLISH),
        ("vi", {"LANG": "en_GB.UTF-8"}, VIETNAMESE),
    ],
)
def test_the_language_is_the_one_asked_for_or_the_locales(asked: str | None, environ: Any, expected: Words) -> None:
    assert words_for(asked, environ) is expected
