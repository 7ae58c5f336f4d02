"""Answers that fill a schema: a value that a fact holds, or values that stand in the question.

An engine holds an answer to a schema by itself, also where the prompt says nothing of JSON: the model then finds the
names of the fields already written. So where nothing is said of JSON only the values are learned, and a plain question
keeps its plain answer.
"""

import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from forge.forms import Language
from forge.knowledge.fields import FIELDS
from forge.phrasings import Question
from forge.tools import use
from forge.values import Value, value_of

FIELD_START = re.compile(r'(?:\{| )"[A-Za-z_]\w*":')
"""What an engine writes by itself: a brace or a space, the name of a field and the colon."""

STATED: tuple[tuple[dict[Language, tuple[str, ...]], tuple[tuple[str, str], ...]], ...] = (
    (
        {
            "en": ("{0} is {1} years old.", "{0} turned {1} today.", "This is {0}, aged {1}."),
            "vi": ("{0} {1} tuổi.", "{0} năm nay {1} tuổi.", "Đây là {0}, {1} tuổi."),
        },
        (("name|person|who", "person"), ("age|years", "age")),
    ),
    (
        {
            "en": ("{0} lives in {1}.", "{0} comes from {1}.", "{0} moved to {1}."),
            "vi": ("{0} sống ở {1}.", "{0} đến từ {1}.", "{0} chuyển đến {1}."),
        },
        (("name|person|who", "person"), ("city|place|town|home", "place")),
    ),
    (
        {
            "en": ("The {0} costs {1} {2}.", "{0}: {1} {2}.", "One {0} is {1} {2}."),
            "vi": ("{0} giá {1} {2}.", "{0}: {1} {2}.", "Một {0} là {1} {2}."),
        },
        (("item|product|name", "words"), ("price|cost|amount", "decimal"), ("currency|unit", "currency")),
    ),
    (
        {
            "en": ("Meet {0} on {1} at {2}.", "{0} comes on {1} at {2}.", "Appointment with {0}, {1}, {2}."),
            "vi": ("Gặp {0} ngày {1} lúc {2}.", "{0} đến ngày {1} lúc {2}.", "Hẹn với {0}, {1}, {2}."),
        },
        (("name|person|with|who", "person"), ("date|day", "date"), ("time|hour|at", "clock")),
    ),
    (
        {
            "en": ("Send {1} of {0} to {2}.", "Order {0}: {1} pieces for {2}.", "{2} wants {1} of {0}."),
            "vi": ("Gửi {1} cái {0} đến {2}.", "Đơn hàng {0}: {1} cái cho {2}.", "{2} muốn {1} cái {0}."),
        },
        (("code|item|order", "code"), ("count|quantity|amount", "number"), ("city|place|to", "place")),
    ),
    (
        {
            "en": ("{0} can be reached at {1}.", "Write to {0}: {1}.", "{0}, e-mail {1}."),
            "vi": ("Liên hệ {0} qua {1}.", "Viết cho {0}: {1}.", "{0}, email {1}."),
        },
        (("name|person|contact", "person"), ("email|address|mail", "email")),
    ),
    (
        {
            "en": ("The file {0} has {1} lines.", "{0}: {1} lines.", "There are {1} lines in {0}."),
            "vi": ("Tệp {0} có {1} dòng.", "{0}: {1} dòng.", "Có {1} dòng trong {0}."),
        },
        (("file|path|name", "path"), ("lines|count|number", "number")),
    ),
)
"""Sentences by language, and for each place in them the names of its field and the kind of its value."""

TASKS: dict[Language, tuple[str, ...]] = {
    "en": ("", "", "", "Extract: ", "Read this: ", "Fill in the form: ", "What does this say? ", "Extract the data. "),
    "vi": ("", "", "", "Trích xuất: ", "Đọc câu này: ", "Điền vào mẫu: ", "Câu này nói gì? ", "Lấy dữ liệu ra. "),
}
INSTRUCTIONS: dict[Language, tuple[str, ...]] = {
    "en": ("Answer as JSON.", "Reply with JSON only.", "Answer as JSON with the fields {0}.", "Give JSON: {0}."),
    "vi": ("Trả lời bằng JSON.", "Chỉ trả JSON.", "Trả lời bằng JSON với các trường {0}.", "Cho JSON: {0}."),
}
ANSWER_NAMES = ("answer", "text", "reply", "response", "message", "content", "result", "summary")
LANGUAGE_NAMES = ("language", "lang", "language_code")


@dataclass(frozen=True, slots=True)
class Filled:
    """A question, and the fields that are right for it."""

    question: str
    fields: Mapping[str, Value]
    language: Language
    whole: bool
    """Whether the question says that JSON is wanted, so that all of the answer is to be learned."""

    @property
    def answer(self) -> str:
        """The fields as JSON, in one line."""
        return json.dumps(dict(self.fields), ensure_ascii=False)


def filled(generator: random.Random, language: Language, asked: Sequence[Question]) -> Filled:
    """A random schema and what fills it. asked: questions about facts in this language that may be used."""
    chance = generator.random()
    if chance < 0.35:
        held = [one for one in asked if one.fact in FIELDS]
        question, fields = of_fact(generator, generator.choice(held)) if held else stated(generator, language)
    elif chance < 0.5 and asked:
        one = generator.choice(asked)
        question, fields = one.text, {generator.choice(ANSWER_NAMES): one.answer}
        if generator.random() < 0.3:
            fields[generator.choice(LANGUAGE_NAMES)] = language
    elif chance < 0.75:
        used = use(generator, language)
        question, fields = used.question, dict(used.arguments)
    else:
        question, fields = stated(generator, language)
    return _told(generator, question, fields, language)


def of_fact(generator: random.Random, asked: Question) -> tuple[str, dict[str, Value]]:
    """A question about a fact, and the value that the fact holds; sometimes the sentence beside it."""
    names, value = FIELDS[asked.fact]
    first, *others = names.split("|")
    name = first if not others or generator.random() < 0.5 else generator.choice(others)
    fields: dict[str, Value] = {name: value}
    if generator.random() < 0.15:
        fields[generator.choice(ANSWER_NAMES)] = asked.answer
    return asked.text, fields


def stated(generator: random.Random, language: Language, *, held_out: bool = False) -> tuple[str, dict[str, Value]]:
    """A sentence with made-up values, and the fields that hold them, in any order and not always all."""
    forms, places = generator.choice(STATED)
    values = [_value(generator, kind, held_out) for _, kind in places]
    text = generator.choice(TASKS[language]) + generator.choice(forms[language]).format(*values)
    named = [(generator.choice(names.split("|")), value) for (names, _), value in zip(places, values, strict=True)]
    if generator.random() < 0.2:
        generator.shuffle(named)
    kept = named if generator.random() < 0.75 else named[: generator.randint(1, len(named))]
    return text, dict(kept)


def forced(answer: str) -> list[tuple[str, bool]]:
    """An answer in pieces; True: the model chooses the piece, False: the engine writes it by itself."""
    pieces: list[tuple[str, bool]] = []
    place = 0
    for match in FIELD_START.finditer(answer):
        pieces += [(answer[place : match.start()], True), (match.group(), False)]
        place = match.end()
    return [(text, chosen) for text, chosen in [*pieces, (answer[place:], True)] if text]


def _told(generator: random.Random, question: str, fields: Mapping[str, Value], language: Language) -> Filled:
    if generator.random() < 0.6:
        return Filled(question, fields, language, whole=False)
    instruction = generator.choice(INSTRUCTIONS[language]).format(", ".join(fields))
    text = f"{question} {instruction}" if generator.random() < 0.7 else f"{instruction} {question}"
    return Filled(text, fields, language, whole=True)


def _value(generator: random.Random, kind: str, held_out: bool) -> Value:
    if kind == "age":
        return generator.randint(1, 99)
    return value_of(generator, kind, held_out=held_out)
