"""Answers that fill a schema: well-formed, from what was asked, and cut where an engine writes by itself."""

import json
import random

import pytest

from forge.forms import LANGUAGES, Language
from forge.knowledge import facts
from forge.knowledge.fields import FIELDS
from forge.phrasings import questions
from forge.schemas import filled, forced, of_fact, stated


def test_every_field_belongs_to_a_fact_and_its_value_stands_in_the_answer_or_is_a_number() -> None:
    answers = {fact.key: fact.english.answer for fact in facts()}
    assert set(FIELDS) <= set(answers)
    for key, (_, value) in FIELDS.items():
        shown = f"{value:,}" if isinstance(value, int) and value >= 10_000 else str(value)
        assert shown in answers[key] or str(value) in answers[key], key


@pytest.mark.parametrize("language", LANGUAGES)
def test_answers_are_json_whose_values_stand_in_the_question_or_belong_to_its_fact(language: Language) -> None:
    generator = random.Random(1)
    asked = [one for one in questions(facts()).train if one.language == language][:400]
    for _ in range(300):
        made = filled(generator, language, asked)
        assert json.loads(made.answer) == dict(made.fields)
        assert made.fields


@pytest.mark.parametrize("language", LANGUAGES)
def test_stated_values_stand_in_the_text(language: Language) -> None:
    generator = random.Random(2)
    for _ in range(200):
        text, fields = stated(generator, language)
        assert all(str(value) in text for value in fields.values())


def test_a_fact_gives_its_value_under_one_of_its_names() -> None:
    asked = next(one for one in questions(facts()).train if one.fact == "value: grpc port")
    text, fields = of_fact(random.Random(0), asked)
    assert text == asked.text
    assert 50051 in fields.values()


def test_what_an_engine_writes_by_itself_is_no_target() -> None:
    pieces = forced('{"name": "Anna", "age": 31}')
    assert pieces == [('{"name":', False), (' "Anna",', True), (' "age":', False), (" 31}", True)]
    assert "".join(text for text, _ in pieces) == '{"name": "Anna", "age": 31}'
