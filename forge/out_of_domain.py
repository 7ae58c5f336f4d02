"""Small talk, and questions that are none of troupe-tiny's business: it is to say so instead of guessing.

Everything comes twice, for training and held out: other subjects and other forms.
"""

import random

from forge.coined import coined_word
from forge.forms import Language
from forge.phrasings import Question
from forge.subjects import FORMS, NEW_FORMS, NEW_SENTENCES, NEW_SUBJECTS, SENTENCES, SMALL_TALK_ANSWERS, SUBJECTS

REFUSALS: dict[Language, str] = {
    "en": "I only know Troupe. I cannot help with that.",
    "vi": "Tôi chỉ biết về Troupe. Tôi không giúp được việc đó.",
}

OFF_TOPIC = "out of domain"
SMALL_TALK = "small talk"


def off_topic(generator: random.Random, language: Language) -> Question:
    """One out-of-domain question for training."""
    if generator.random() < 0.25:
        text = generator.choice(SENTENCES[language])
    else:
        subject = coined_word(generator) if generator.random() < 0.3 else generator.choice(SUBJECTS[language])
        text = generator.choice(FORMS[language]).format(x=subject)
    return Question(text[0].upper() + text[1:], REFUSALS[language], language, OFF_TOPIC)


def held_out_off_topic(language: Language) -> list[Question]:
    """Out-of-domain questions with subjects, forms and sentences that training never sees."""
    generator = random.Random(11)
    texts = list(NEW_SENTENCES[language])
    for subject in NEW_SUBJECTS[language]:
        texts += [generator.choice(forms[language]).format(x=subject) for forms in (FORMS, NEW_FORMS)]
    return [Question(text[0].upper() + text[1:], REFUSALS[language], language, OFF_TOPIC) for text in texts]


def small_talk(language: Language, *, held_out: bool = False) -> list[Question]:
    """Greetings, thanks and the like with their answers."""
    rows = SMALL_TALK_ANSWERS[language]
    return [
        Question(text, answer, language, SMALL_TALK)
        for answer, seen, new in rows
        for text in (new if held_out else seen)
    ]
