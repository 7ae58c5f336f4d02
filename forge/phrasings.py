"""How people ask: question forms per kind of fact, and which of the resulting questions are kept out of training.

Held-out questions are of two sorts: `KEPT`, where
the form was trained with other facts, and `NEW`, where the form was never trained at all.
"""

import random
import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from forge.forms import FORMS, LANGUAGES, NEW_FORMS, Language
from forge.free_questions import FREE_QUESTIONS
from forge.knowledge import ASKED, Fact, Kind

KEPT_OUT_PER_FACT = 2
"""Questions per fact and language that are kept out of training though their form is trained."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question with the answer that is right for it."""

    text: str
    answer: str
    language: Language
    fact: str
    free: bool = False
    """Whether it follows no form."""


@dataclass(frozen=True, slots=True)
class Questions:
    """All questions about the facts, by what they are for."""

    train: list[Question]
    kept: list[Question]
    new: list[Question]


@lru_cache(maxsize=1 << 17)
def normalised(text: str) -> str:
    """Lower case, no accents, no punctuation around words: two questions alike in this are the same question."""
    words = re.sub(r"[?!.,:;]+(?=\s|$)", " ", fold(text).lower()).split()
    return " ".join(words)


def fold(text: str) -> str:
    """Vietnamese without its accents, as many type it."""
    bare = unicodedata.normalize("NFD", text.replace("đ", "d").replace("Đ", "D"))
    return "".join(letter for letter in bare if not unicodedata.combining(letter))


def ask(form: str, about: str) -> str:
    """A form filled in; a sentence that begins with a plain lower-case word gets its capital."""
    bare = re.sub(r"^(a|an|the) ", "", about)
    text = form.format(x=about, b=bare)
    first = text.split(maxsplit=1)[0]
    is_name = any(not letter.isalpha() for letter in first.strip("?.,!")) or text.startswith(("troupe", "make "))
    return text if is_name else text[0].upper() + text[1:]


def questions(facts: list[Fact], seed: int = 0) -> Questions:
    """Every fact asked in every form, parted for training and evaluation; the same seed parts them the same way."""
    generator = random.Random(seed)
    result = Questions([], [], [])
    for fact in facts:
        for language in LANGUAGES:
            trained = _asked(fact, language, FORMS)
            kept = set(generator.sample(sorted({normalised(question.text) for question in trained}), KEPT_OUT_PER_FACT))
            result.train.extend(question for question in trained if normalised(question.text) not in kept)
            result.kept.extend(_one_each([question for question in trained if normalised(question.text) in kept]))
            result.train.extend(_asked_freely(fact, language))
            new = _one_each(_asked(fact, language, NEW_FORMS))
            result.new.append(generator.choice(new))
    return _without_overlap(result)


def _asked(fact: Fact, language: Language, forms: dict[Kind, dict[Language, tuple[str, ...]]]) -> list[Question]:
    entry = fact.english if language == "en" else fact.vietnamese
    pairs = [(form, about) for about in entry.about for form in forms[fact.kind][language]]
    texts = dict.fromkeys(ask(form, about) for form, about in pairs)
    return [Question(text, entry.answer, language, fact.key) for text in texts]


def _asked_freely(fact: Fact, language: Language) -> list[Question]:
    entry = fact.english if language == "en" else fact.vietnamese
    texts = ASKED.get(fact.key, ("", ""))[LANGUAGES.index(language)].split("|")
    return [Question(text, entry.answer, language, fact.key, free=True) for text in texts if text]


def _one_each(found: list[Question]) -> list[Question]:
    return list({normalised(question.text): question for question in found}.values())


def _without_overlap(split: Questions) -> Questions:
    """A question may come out of two facts (English and Vietnamese share names): drop what would leak or contradict."""
    answers: dict[str, set[str]] = {}
    for question in [*split.train, *split.kept, *split.new]:
        answers.setdefault(normalised(question.text), set()).add(question.answer)
    measured = {normalised(text) for written in FREE_QUESTIONS.values() for text, _ in written}
    clear = {text for text, found in answers.items() if len(found) == 1} - measured
    train = [question for question in split.train if normalised(question.text) in clear]
    trained = {normalised(question.text) for question in train}
    fresh = clear - trained
    return Questions(
        train,
        [question for question in split.kept if normalised(question.text) in fresh],
        [question for question in split.new if normalised(question.text) in fresh],
    )
