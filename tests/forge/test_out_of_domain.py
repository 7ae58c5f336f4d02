"""Off-topic questions and small talk: what is held out is not trained."""

import random

import pytest

from forge.forms import LANGUAGES, Language
from forge.out_of_domain import REFUSALS, held_out_off_topic, off_topic, small_talk
from forge.phrasings import normalised


@pytest.mark.parametrize("language", LANGUAGES)
def test_off_topic_training_never_asks_a_held_out_question(language: Language) -> None:
    generator = random.Random(0)
    trained = {normalised(off_topic(generator, language).text) for _ in range(20_000)}
    held = {normalised(question.text) for question in held_out_off_topic(language)}
    assert len(trained) > 3_000
    assert len(held) >= 50
    assert trained & held == set()


@pytest.mark.parametrize("language", LANGUAGES)
def test_off_topic_questions_are_refused_in_their_language(language: Language) -> None:
    assert {question.answer for question in held_out_off_topic(language)} == {REFUSALS[language]}


@pytest.mark.parametrize("language", LANGUAGES)
def test_held_out_small_talk_is_not_trained(language: Language) -> None:
    seen, new = ({normalised(one.text) for one in small_talk(language, held_out=held)} for held in (False, True))
    assert len(new) >= 15
    assert seen & new == set()
