"""The facts: enough of them, complete, and each said once."""

import re
from collections import Counter

from forge.free_questions import FREE_QUESTIONS
from forge.knowledge import Kind, facts


def test_there_are_more_than_300_facts() -> None:
    assert len(facts()) >= 300


def test_every_fact_has_its_own_key() -> None:
    assert [key for key, count in Counter(fact.key for fact in facts()).items() if count > 1] == []


def test_every_fact_is_complete_in_both_languages() -> None:
    entries = [entry for fact in facts() for entry in (fact.english, fact.vietnamese)]
    assert all(entry.answer.strip() == entry.answer != "" for entry in entries)
    assert all(about.strip() == about != "" for entry in entries for about in entry.about)


def test_answers_are_short() -> None:
    assert max(len(entry.answer) for fact in facts() for entry in (fact.english, fact.vietnamese)) <= 120


def test_every_error_has_a_meaning_and_a_remedy_in_both_languages() -> None:
    meanings = {fact.english.about for fact in facts() if fact.kind is Kind.MEANING}
    remedies = {fact.english.about for fact in facts() if fact.kind is Kind.REMEDY}
    assert meanings == remedies
    assert len(meanings) >= 30
    assert all(re.fullmatch("[A-Z_]+", about) for (about,) in meanings)


def test_a_vietnamese_sentence_has_vietnamese_letters() -> None:
    plain = [
        fact.key
        for fact in facts()
        if fact.kind is Kind.CONCEPT and not re.search("[^\x00-\x7f]", fact.vietnamese.answer)
    ]
    assert plain == []


def test_questions_written_by_hand_name_facts_that_exist() -> None:
    keys = {fact.key for fact in facts()}
    assert [key for asked in FREE_QUESTIONS.values() for _, key in asked if key not in keys] == []
