"""Coined words are words, and hardly ever the same."""

import random

from forge.coined import coined_name, coined_word, vietnamese_name


def test_a_coined_word_is_letters_only() -> None:
    generator = random.Random(0)
    assert all(coined_word(generator).isalpha() for _ in range(500))


def test_names_are_capitalised() -> None:
    generator = random.Random(0)
    for _ in range(200):
        assert coined_name(generator).istitle()
        assert all(syllable[0].isupper() for syllable in vietnamese_name(generator).split())


def test_names_hardly_ever_repeat() -> None:
    generator = random.Random(0)
    assert len({coined_name(generator) for _ in range(1_000)}) > 900
