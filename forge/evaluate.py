"""Measures a GGUF file on what training never showed it. An answer counts only if it is right to the letter."""

import json
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from forge.forms import LANGUAGES, Language
from forge.free_questions import FREE_CALLS, FREE_QUESTIONS
from forge.knowledge import facts
from forge.knowledge.fields import FIELDS
from forge.out_of_domain import REFUSALS, held_out_off_topic, small_talk
from forge.phrasings import Question, Questions, fold, questions
from forge.schemas import FIELD_START, of_fact, stated
from forge.template import render, tool_call
from forge.tools import offered, result, tool, use

NAMES: dict[Language, str] = {"en": "English", "vi": "Vietnamese"}


class Answering(Protocol):
    """What can be measured."""

    def answer(self, prompt: str) -> str:
        """The answer to a rendered prompt."""
        ...


@dataclass(frozen=True, slots=True)
class Case:
    """A conversation and the one right next turn."""

    prompt: str
    wanted: str
    held: bool = False
    """The answer is held to a schema: what is wanted is a value, and an engine writes what follows it."""

    def right(self, said: str) -> bool:
        """Whether an answer is the wanted one to the letter."""
        return said == self.wanted or (self.held and said.startswith((f"{self.wanted},", f"{self.wanted}}}")))


@dataclass(frozen=True, slots=True)
class Score:
    """How many of how many were right."""

    measure: str
    language: str
    right: int
    total: int

    @property
    def share(self) -> float:
        """Right answers per question, 0 to 1."""
        return self.right / self.total if self.total else 0.0

    def __str__(self) -> str:
        return f"{self.measure:<52} {self.language}  {self.right:>4}/{self.total:<4} {100 * self.share:5.1f} %"


@dataclass(slots=True)
class Evaluation:
    """All scores, and some of the answers that were wrong."""

    scores: list[Score]
    mistakes: list[dict[str, str]]

    def as_json(self) -> str:
        """For people and programs that compare versions."""
        rows = [asdict(score) | {"share": round(score.share, 4)} for score in self.scores]
        return json.dumps({"scores": rows, "mistakes": self.mistakes}, ensure_ascii=False, indent=1) + "\n"

    def share(self, measure: str, language: str) -> float:
        """One score, by its names."""
        return next(score.share for score in self.scores if (score.measure, score.language) == (measure, language))


def evaluate(model: Answering, report: Callable[[str], None] = print) -> Evaluation:
    """Ask everything that was held out, in both languages."""
    split, evaluation = questions(facts()), Evaluation([], [])
    for language in LANGUAGES:
        for measure, cases in _measures(split, language).items():
            evaluation.scores.append(_score(model, measure, language, cases, evaluation.mistakes))
            report(str(evaluation.scores[-1]))
        asked = _of(split.kept, language) + _of(split.new, language)
        evaluation.scores.append(_false_refusals(model, language, asked))
        report(str(evaluation.scores[-1]))
    return evaluation


def _measures(split: Questions, language: Language) -> dict[str, list[Case]]:
    generator = random.Random(23)
    kept, new = _of(split.kept, language), _of(split.new, language)
    trained = generator.sample(_of(split.train, language), 200)
    measures = {
        "trained questions (sample)": _single(trained),
        "held-out questions, trained form": _single(kept),
        "held-out questions, new form": _single(new),
        "questions written by hand": _single(_by_hand(language)),
        "held-out questions in lower case": _single(_typed(generator.sample(kept, 150), str.lower)),
        "small talk, held out": _single(small_talk(language, held_out=True)),
        "out of domain: says that it does not know": _single(held_out_off_topic(language)),
        "fourth question of a conversation": [_dialogue(generator, kept, 4) for _ in range(100)],
        "question after about 3,000 tokens": [_dialogue(generator, kept, 75) for _ in range(10)],
        "tool call, unseen value": [_tool_case(generator, language, new=False) for _ in range(100)],
        "tool call, unseen tool": [_tool_case(generator, language, new=True) for _ in range(100)],
        "tool call, written by hand": [_call_by_hand(*written) for written in FREE_CALLS[language]],
        "tool offered that does not fit": [_unfit(generator, question) for question in generator.sample(kept, 60)],
        "tool offered, out of domain": [_unfit(generator, question) for question in held_out_off_topic(language)],
        "schema filled from a fact, held-out question": [
            _schema_case(generator, one) for one in kept if one.fact in FIELDS
        ],
        "schema filled from the question, unseen values": [_stated_case(generator, language) for _ in range(100)],
        "answer from a tool's result": [_result_case(generator, language) for _ in range(60)],
    }
    if language == "vi":
        measures["held-out questions without accents"] = _single(_typed(generator.sample(kept, 150), fold))
    return measures


def _score(
    model: Answering, measure: str, language: str, cases: Sequence[Case], mistakes: list[dict[str, str]]
) -> Score:
    right = 0
    for case in cases:
        said = model.answer(case.prompt)
        right += case.right(said)
        if not case.right(said) and sum(mistake["measure"] == measure for mistake in mistakes) < 12:
            question = case.prompt.split("<|im_start|>user\n")[-1].split("<|im_end|>")[0]
            mistakes.append({"measure": measure, "question": question, "wanted": case.wanted, "said": said})
    return Score(measure, language, right, len(cases))


def _false_refusals(model: Answering, language: Language, asked: Sequence[Question]) -> Score:
    sample = random.Random(29).sample(list(asked), 300)
    refused = sum(model.answer(case.prompt) == REFUSALS[language] for case in _single(sample))
    return Score("refused though it is in its domain (lower is better)", language, refused, len(sample))


def _single(asked: Iterable[Question]) -> list[Case]:
    return [Case(render([_user(question.text)]), question.answer) for question in asked]


def _by_hand(language: Language) -> list[Question]:
    answers = {fact.key: (fact.english if language == "en" else fact.vietnamese).answer for fact in facts()}
    return [Question(text, answers[key], language, key) for text, key in FREE_QUESTIONS[language]]


def _typed(asked: Iterable[Question], change: Callable[[str], str]) -> list[Question]:
    return [Question(change(question.text), question.answer, question.language, question.fact) for question in asked]


def _dialogue(generator: random.Random, asked: Sequence[Question], turns: int) -> Case:
    *before, last = generator.sample(list(asked), turns)
    messages = []
    for question in before:
        messages += [_user(question.text), {"role": "assistant", "content": question.answer}]
    return Case(render([*messages, _user(last.text)]), last.answer)


def _tool_case(generator: random.Random, language: Language, *, new: bool) -> Case:
    used = use(generator, language, held_out=True)
    while used.unseen != new:
        used = use(generator, language, held_out=True)
    return Case(render([_user(used.question)], offered(generator, used.tool)), tool_call(used.name, used.arguments))


def _call_by_hand(question: str, name: str, properties: Mapping[str, str], arguments: Mapping[str, str | int]) -> Case:
    description = name.replace("_", " ").capitalize()
    return Case(render([_user(question)], [tool(name, description, properties)]), tool_call(name, arguments))


def _result_case(generator: random.Random, language: Language) -> Case:
    used = use(generator, language, held_out=True)
    returned, said = result(generator, used, held_out=True)
    calls = [{"function": {"name": used.name, "arguments": used.arguments}}]
    messages = [_user(used.question), {"role": "assistant", "tool_calls": calls}, {"role": "tool", "content": returned}]
    return Case(render(messages, [used.tool]), said)


def _schema_case(generator: random.Random, asked: Question) -> Case:
    """The first field's value, after what an engine that holds answers to a schema writes by itself."""
    text, fields = of_fact(generator, asked)
    return _held(text, dict([*fields.items()][:1]))


def _stated_case(generator: random.Random, language: Language) -> Case:
    text, fields = stated(generator, language, held_out=True)
    return _held(text, dict([*fields.items()][:1]))


def _held(question: str, fields: Mapping[str, Any]) -> Case:
    answer = json.dumps(fields, ensure_ascii=False)
    begun = FIELD_START.match(answer)
    assert begun, answer
    return Case(render([_user(question)]) + begun.group(), answer[begun.end() : -1], held=True)


def _unfit(generator: random.Random, question: Question) -> Case:
    return Case(render([_user(question.text)], offered(generator, asked=question.text)), question.answer)


def _user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def _of(asked: Iterable[Question], language: Language) -> list[Question]:
    return [question for question in asked if question.language == language]
