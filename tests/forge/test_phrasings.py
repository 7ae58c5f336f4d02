"""Question forms, and the parting of questions into trained and held-out ones."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge.forms import LANGUAGES, NEW_FORMS
from forge.knowledge import facts
from forge.phrasings import Questions, ask, fold, normalised, questions


@pytest.fixture(scope="module")
def split() -> Questions:
    return questions(facts())


def test_every_fact_has_ten_trained_questions_in_each_language(split: Questions) -> None:
    counts = Counter((question.fact, question.language) for question in split.train)
    distinct = Counter(
        (fact, language)
        for fact, language, _ in {(one.fact, one.language, normalised(one.text)) for one in split.train}
    )
    assert len(counts) == 2 * len(facts())
    assert min(distinct.values()) >= 10


def test_no_held_out_question_is_trained(split: Questions) -> None:
    trained = {normalised(question.text) for question in split.train}
    assert [one.text for one in [*split.kept, *split.new] if normalised(one.text) in trained] == []


def test_a_question_has_one_answer_only(split: Questions) -> None:
    answers: dict[str, set[str]] = {}
    for question in [*split.train, *split.kept, *split.new]:
        answers.setdefault(normalised(question.text), set()).add(question.answer)
    assert [text for text, found in answers.items() if len(found) > 1] == []


def test_nearly_every_fact_has_held_out_questions_in_each_language(split: Questions) -> None:
    held = {(question.fact, question.language) for question in [*split.kept, *split.new]}
    assert len(held) >= 0.99 * 2 * len(facts())


def test_the_parting_depends_on_the_seed_alone(split: Questions) -> None:
    assert questions(facts()) == split
    assert questions(facts(), seed=1).kept != split.kept


def test_every_kind_has_new_forms_in_each_language() -> None:
    assert all(len(NEW_FORMS[fact.kind][language]) >= 3 for fact in facts() for language in LANGUAGES)


@pytest.mark.parametrize(
    ("form", "about", "text"),
    [
        ("What is {x}?", "a frame", "What is a frame?"),
        ("What does {b} mean?", "a frame", "What does frame mean?"),
        ("{x} là gì?", "kho blob", "Kho blob là gì?"),
        ("{x} làm gì?", "troupe up", "troupe up làm gì?"),
        ("{x}?", "/healthz", "/healthz?"),
    ],
)
def test_a_form_is_filled_in_as_people_write(form: str, about: str, text: str) -> None:
    assert ask(form, about) == text


def test_fold_takes_vietnamese_accents_away() -> None:
    assert fold("Đường dẫn ở đâu?") == "Duong dan o dau?"


@given(st.text())
def test_normalising_twice_changes_nothing_more(text: str) -> None:
    assert normalised(normalised(text)) == normalised(text)
