"""Training conversations: one and several turns, with and without instructions, with and without tools.

Everything is drawn from one seeded generator, so that a run can be repeated exactly.
"""

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeVar

from tokenizers import Tokenizer

from forge.forms import LANGUAGES, Language
from forge.knowledge import facts
from forge.out_of_domain import coined_word, held_out_off_topic, off_topic, small_talk
from forge.phrasings import Question, Questions, fold, normalised, questions
from forge.template import TURN_END, render, tool_call
from forge.tools import Tool, offered, result, tool, use

T = TypeVar("T")

SYSTEM_PROMPTS = (
    "You are troupe-tiny, the guide of the Troupe hub.",
    "You are a helpful assistant.",
    "You are a helpful assistant. Answer briefly.",
    "Answer in one sentence.",
    "Be brief.",
    "You answer questions about Troupe.",
    "You can call tools.",
    "Use the tools if they help.",
    "Bạn là troupe-tiny, người hướng dẫn của hub Troupe.",
    "Bạn là trợ lý hữu ích.",
    "Hãy trả lời ngắn gọn.",
    "Bạn là trợ lý. Trả lời bằng tiếng Việt.",
)
LEADS: dict[Language, tuple[str, ...]] = {
    "en": (
        "Hi, ",
        "Hello. ",
        "Please: ",
        "A question: ",
        "Hey, ",
        "Quick question: ",
        "Sorry, ",
        "One more thing: ",
        "And ",
    ),
    "vi": ("Chào bạn, ", "Xin chào. ", "Cho tôi hỏi: ", "Bạn ơi, ", "Một câu hỏi: ", "Xin lỗi, ", "Này, ", "Còn nữa: "),
}
TAILS: dict[Language, tuple[str, ...]] = {
    "en": (", please?", " exactly?", " now?", " then?", " please", " actually?", "??", ", thanks"),
    "vi": (" vậy?", " ạ?", " thế?", " nhỉ?", " vậy bạn?", " hả?", "??", " với"),
}
TOOL = "tool"
PLACEHOLDER = "\ue000"
"""Stands in a rendered text for tokens that are put in by id."""

ANSWER = re.compile(rf"(?<=<\|im_start\|>assistant\n).*?{re.escape(TURN_END)}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Conversation:
    """Turns to learn from; every assistant's turn is a target."""

    messages: list[dict[str, Any]]
    tools: list[Tool] = field(default_factory=list)
    spliced: tuple[int, ...] = ()
    """Tokens that replace each placeholder."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A conversation as tokens; `target[i]` says that token i is the assistant's."""

    tokens: list[int]
    target: list[bool]
    turns: list[int]
    """Where turns begin."""


@cache
def _split() -> Questions:
    return questions(facts())


class Conversations:
    """An endless, seeded stream of training conversations in which every fact comes up equally often."""

    def __init__(self, seed: int, vocabulary_size: int, tool_share: float = 0.24) -> None:
        self._tool_share = tool_share
        self._random = random.Random(seed)
        split = _split()
        self._asked = split.train
        self._held_out = {normalised(question.text) for question in [*split.kept, *split.new]}
        for language in LANGUAGES:
            self._held_out |= {normalised(question.text) for question in held_out_off_topic(language)}
            self._held_out |= {normalised(question.text) for question in small_talk(language, held_out=True)}
        self._small_talk = {language: small_talk(language) for language in LANGUAGES}
        self._vocabulary_size = vocabulary_size
        self._facts = self._cycle(self._by_fact())
        self._rare = self._cycle([0, *range(3, vocabulary_size)])

    def __iter__(self) -> Iterator[Conversation]:
        while True:
            yield self.draw()

    def draw(self) -> Conversation:
        """The next conversation."""
        chance = self._random.random()
        if chance < self._tool_share:
            return self._with_tools()
        if chance < self._tool_share + 0.04:
            return self._copying_tokens()
        turns = 1 if self._random.random() < 0.6 else self._random.randint(2, 7)
        if self._random.random() < 0.015:
            turns = self._random.randint(20, 70)
        return self._plain(turns)

    def questions_of(self, language: Language) -> Question:
        """A question in a language: mostly a fact, sometimes small talk or off topic."""
        chance = self._random.random()
        if chance < 0.24:
            return off_topic(self._random, language)
        if chance < 0.30:
            return self._random.choice(self._small_talk[language])
        return self._random.choice(next(self._facts))

    def _plain(self, turns: int) -> Conversation:
        messages = self._opening()
        language = self._random.choice(LANGUAGES)
        for _ in range(turns):
            if self._random.random() < 0.15:
                language = self._random.choice(LANGUAGES)
            messages += self._exchange(self.questions_of(language))
        return Conversation(messages)

    def _exchange(self, question: Question) -> list[dict[str, Any]]:
        text = self._varied(question)
        return [{"role": "user", "content": text}, {"role": "assistant", "content": question.answer}]

    def _with_tools(self) -> Conversation:
        language = self._random.choice(LANGUAGES)
        messages = self._opening()
        if self._random.random() < 0.2:
            messages += self._exchange(self.questions_of(language))
        if self._random.random() < 0.35:
            off = self._random.random() < 0.3
            question = off_topic(self._random, language) if off else self.questions_of(language)
            return Conversation(messages + self._exchange(question), offered(self._random))
        used = use(self._random, language)
        question = Question(used.question, "", language, TOOL)
        calls = [{"function": {"name": used.name, "arguments": used.arguments}}]
        messages += [{"role": "user", "content": self._varied(question)}, {"role": "assistant", "tool_calls": calls}]
        if self._random.random() < 0.4:
            returned, said = result(self._random, used)
            messages += [{"role": "tool", "content": returned}, {"role": "assistant", "content": said}]
            if self._random.random() < 0.3:
                messages += self._exchange(self.questions_of(language))
        return Conversation(messages, offered(self._random, used.tool))

    def _copying_tokens(self) -> Conversation:
        """A tool call whose argument is made of any tokens: every vocabulary entry is read and written in training."""
        name, argument = coined_word(self._random).lower(), self._random.choice(("text", "name", "value", "query"))
        made = tool(name, f"Does {name}", {argument: "string"})
        form = self._random.choice(
            (f"{name} {PLACEHOLDER}", f"Please {name} {PLACEHOLDER}", f"Do {name} for {PLACEHOLDER}")
        )
        answer = tool_call(name, {argument: PLACEHOLDER})
        spliced = tuple(next(self._rare) for _ in range(self._random.randint(1, 8)))
        messages = [{"role": "user", "content": form}, {"role": "assistant", "content": answer}]
        return Conversation(messages, [made], spliced)

    def _opening(self) -> list[dict[str, Any]]:
        if self._random.random() < 0.6:
            return []
        return [{"role": "system", "content": self._random.choice(SYSTEM_PROMPTS)}]

    def _varied(self, question: Question) -> str:
        """The question as people also type it; never so that it becomes one that is held out."""
        varied = question.text
        if self._random.random() < 0.4:
            varied = vary(self._random, question.text, question.language, plain=question.fact == TOOL)
        return question.text if normalised(varied) in self._held_out else varied

    def _by_fact(self) -> list[list[Question]]:
        groups: dict[tuple[str, str], list[Question]] = {}
        for question in self._asked:
            groups.setdefault((question.fact, question.language), []).append(question)
        return list(groups.values())

    def _cycle(self, items: list[T]) -> Iterator[T]:
        while True:
            self._random.shuffle(items)
            yield from items


def vary(generator: random.Random, text: str, language: Language, *, plain: bool) -> str:
    """A question without accents, capitals or punctuation, with a word more or less. With `plain`, words stay whole."""
    chance = generator.random()
    if chance < 0.2:
        text = generator.choice(LEADS[language]) + text
    elif chance < 0.35:
        text = text.rstrip("?.!") + generator.choice(TAILS[language])
    elif chance < 0.45:
        text = text.replace("What is", "What's").replace("I am", "I'm").replace("do not", "don't")
    if plain:
        return text if generator.random() < 0.7 else text.rstrip("?.!")
    words = text.split()
    if chance > 0.85 and len(words) > 4:
        words.pop(generator.randrange(len(words) - 1))
        text = " ".join(words)
    if generator.random() < 0.45:
        text = text.lower()
    if language == "vi" and generator.random() < 0.35:
        text = fold(text)
    return text if generator.random() < 0.5 else text.rstrip("?.!")


def drill(generator: random.Random, vocabulary_size: int) -> Encoded:
    """Random tokens said two to four times, the repetitions being targets: nothing to learn from it but how to copy."""
    once = [generator.randrange(vocabulary_size) for _ in range(generator.randint(4, 32))]
    times = generator.randint(2, 4)
    return Encoded(once * times, [False] * len(once) + [True] * (len(once) * (times - 1)), [0])


def encode(tokenizer: Tokenizer, conversation: Conversation) -> Encoded:
    """A conversation as tokens. Answers are encoded apart from what is before them, as they are when generated."""
    text = render(conversation.messages, conversation.tools, prompt=False)
    encoded = Encoded([], [], [])
    place = 0
    for match in ANSWER.finditer(text):
        _append(encoded, tokenizer, text[place : match.start()], conversation.spliced, target=False)
        _append(encoded, tokenizer, match.group(), conversation.spliced, target=True)
        place = match.end()
    return encoded


def corpus(seed: int, size: int) -> Iterator[str]:
    """Texts to learn a vocabulary from: every question and answer, and conversations as they are drawn."""
    for question in questions(facts()).train:
        yield question.text
        yield question.answer
    stream = Conversations(seed, 4)
    for _ in range(size):
        conversation = stream.draw()
        if not conversation.spliced:
            yield render(conversation.messages, conversation.tools, prompt=False)


def _append(encoded: Encoded, tokenizer: Tokenizer, text: str, spliced: Sequence[int], *, target: bool) -> None:
    encoded.turns.append(len(encoded.tokens))
    for number, piece in enumerate(text.split(PLACEHOLDER)):
        tokens = [*(spliced if number else ()), *tokenizer.encode(piece, add_special_tokens=False).ids]
        encoded.tokens.extend(tokens)
        encoded.target.extend([target] * len(tokens))
