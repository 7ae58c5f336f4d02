"""Training conversations: one and several turns, with and without instructions, with and without tools.

Everything is drawn from one seeded generator, so that a run can be repeated exactly.
"""

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, TypeVar

from tokenizers import Tokenizer

from forge.coined import coined_word
from forge.forms import LANGUAGES, Language
from forge.free_questions import FREE_QUESTIONS
from forge.knowledge import Kind, facts
from forge.out_of_domain import OFF_TOPIC, REFUSALS, held_out_off_topic, off_topic, small_talk
from forge.phrasings import Question, Questions, fold, normalised, questions
from forge.schemas import filled, forced
from forge.template import TURN_END, render, tool_call
from forge.tools import Tool, Use, apart, offered, result, tempting, tool, use

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
FREE_WEIGHT = 4
"""How much more often a question that follows no form comes up than one that does: there are fewer of them."""
SYNONYMS: dict[Language, tuple[tuple[str, ...], ...]] = {
    "en": (
        ("start", "launch", "bring up", "boot", "fire up"),
        ("stop", "end", "halt", "shut down"),
        ("show", "list", "display", "print"),
        ("see", "view", "look at"),
        ("change", "modify", "set", "adjust", "alter"),
        ("folder", "directory"),
        ("address", "URL", "link"),
        ("maximum", "largest", "biggest", "max", "highest"),
        ("limit", "bound", "maximum"),
        ("default", "standard", "preset"),
        ("send", "pass", "submit"),
        ("get", "receive", "obtain"),
        ("answer", "reply", "response"),
        ("in the terminal", "in the console", "in a shell", "on the command line"),
        ("command", "terminal command", "program"),
        ("connect", "link up", "talk"),
        ("find", "locate", "look for"),
        ("machine", "computer", "PC"),
        ("port", "port number"),
        ("API key", "key", "secret key"),
        ("I want to", "I'd like to", "I would like to", "I wish to"),
        ("How do I", "How can I", "How should I", "How could I", "What do I do to"),
        ("Tell me", "Let me know", "Just tell me"),
    ),
    "vi": (
        ("khởi động", "bật", "mở"),
        ("dừng", "ngừng", "tắt"),
        ("liệt kê", "xem", "hiện", "in ra"),
        ("đổi", "thay đổi", "sửa", "chỉnh"),
        ("thư mục", "folder"),
        ("tối đa", "lớn nhất", "nhiều nhất"),
        ("tạo", "làm", "sinh"),
        ("gửi", "truyền"),
        ("câu trả lời", "lời đáp", "phản hồi"),
        ("lệnh", "câu lệnh", "command"),
        ("cửa sổ dòng lệnh", "terminal", "dòng lệnh"),
        ("cổng", "port", "số cổng"),
        ("máy chủ", "server"),
        ("mô hình", "model"),
        ("khóa", "key"),
        ("công cụ", "tool"),
        ("thiết lập", "cấu hình", "cài đặt"),
        ("cài đặt", "cài", "lắp"),
        ("Làm sao để", "Làm thế nào để", "Làm cách nào để", "Phải làm gì để"),
        ("thế nào", "ra sao", "như thế nào", "kiểu gì"),
        ("là gì", "là cái gì", "là gì vậy"),
        ("Cho tôi biết", "Cho mình biết", "Nói tôi nghe"),
        ("tôi", "mình", "em"),
    ),
}
"""Words that people use for each other."""
LITTLE_WORDS: dict[Language, frozenset[str]] = {
    "en": frozenset(
        re.findall(r"\w+", "the a an do does i is are what how to me of can please tell which it you my for")
    ),
    "vi": frozenset(re.findall(r"\w+", "tôi bạn có không là gì thì của cho biết hãy để được nào thế sao làm")),
}
"""Words that people leave out when they type keywords."""
SCHEMA_SHARE = 0.1
"""Share of conversations whose answer fills a schema."""
UNFIT_SHARE = 0.3
"""Share of conversations with tools in which no tool fits."""
TOKEN_VALUE_SHARE = 0.3
"""Share of single calls whose value, where there is one and a text, is made of random tokens."""
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
    values_only: bool = False
    """Answers are JSON of which only the values are targets: the engine writes the rest by itself."""


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

    def __init__(
        self, seed: int, vocabulary_size: int, tool_share: float = 0.4, schema_share: float = SCHEMA_SHARE
    ) -> None:
        self._tool_share = tool_share
        self._schema_share = schema_share
        self._random = random.Random(seed)
        split = _split()
        self._asked = split.train
        self._held_out = {normalised(question.text) for question in [*split.kept, *split.new]}
        for language in LANGUAGES:
            self._held_out |= {normalised(question.text) for question in held_out_off_topic(language)}
            self._held_out |= {normalised(question.text) for question in small_talk(language, held_out=True)}
            self._held_out |= {normalised(text) for text, _ in FREE_QUESTIONS[language]}
        self._small_talk = {language: small_talk(language) for language in LANGUAGES}
        self._vocabulary_size = vocabulary_size
        self._facts = self._cycle(self._by_fact())
        self._asked_in = {one: [question for question in self._asked if question.language == one] for one in LANGUAGES}
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
        if chance < self._tool_share + 0.04 + self._schema_share:
            return self._filling_a_schema()
        turns = 1 if self._random.random() < 0.6 else self._random.randint(2, 7)
        if self._random.random() < 0.015:
            turns = self._random.randint(20, 70)
        return self._plain(turns)

    def questions_of(self, language: Language) -> Question:
        """A question in a language: mostly a fact, sometimes small talk or off topic."""
        chance = self._random.random()
        if chance < 0.21:
            return off_topic(self._random, language)
        if chance < 0.24:
            return Question(use(self._random, language).question, REFUSALS[language], language, TOOL)
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
        if self._random.random() < UNFIT_SHARE:
            return self._with_unfit_tools(language, messages)
        uses = self._uses(language)
        tools = offered(self._random, *(used.tool for used in uses))
        if self._random.random() < 0.15:
            messages += self._aside(language, tools)
        spliced: tuple[int, ...] = ()
        if len(uses) == 1 and self._random.random() < TOKEN_VALUE_SHARE:
            uses, spliced = self._of_any_tokens(uses[0])
        for number, used in enumerate(uses, 1):
            messages += self._call(used)
            if number < len(uses) or (not spliced and self._random.random() < 0.4):
                returned, said = result(self._random, used)
                messages += [{"role": "tool", "content": returned}, {"role": "assistant", "content": said}]
                if self._random.random() < 0.12:
                    messages += self._aside(language, tools)
        return Conversation(messages, tools, spliced)

    def _with_unfit_tools(self, language: Language, messages: list[dict[str, Any]]) -> Conversation:
        """A question that none of the tools answers: about Troupe, out of domain, or for a tool that is absent."""
        chance, unmet = self._random.random(), None
        if chance < 0.45:
            question = self.questions_of(language)
        elif chance < 0.75:
            question = off_topic(self._random, language)
        else:
            used = use(self._random, language)
            question, unmet = Question(used.question, REFUSALS[language], language, TOOL), used.tool
        aside = question.fact not in {TOOL, OFF_TOPIC}
        tools = offered(self._random, asked="" if aside else question.text, unmet=unmet)
        return Conversation(messages + self._exchange(question), tools)

    def _uses(self, language: Language) -> list[Use]:
        """What is asked of tools in one conversation: mostly one thing, sometimes several, each of another tool."""
        count = 1 if self._random.random() < 0.6 else self._random.randint(2, 4)
        while not apart(uses := [use(self._random, language) for _ in range(count)]):
            pass
        return uses

    def _call(self, used: Use) -> list[dict[str, Any]]:
        question = Question(used.question, "", used.language, TOOL)
        calls = [{"function": {"name": used.name, "arguments": used.arguments}}]
        return [{"role": "user", "content": self._varied(question)}, {"role": "assistant", "tool_calls": calls}]

    def _of_any_tokens(self, used: Use) -> tuple[list[Use], tuple[int, ...]]:
        """The same use with tokens in no order for its one value: only where the value stands tells what to copy."""
        (name, value), *others = used.arguments.items()
        if others or not isinstance(value, str) or used.question.count(value) != 1:
            return [used], ()
        question = used.question.replace(value, PLACEHOLDER)
        spliced = tuple(next(self._rare) for _ in range(self._random.randint(1, 6)))
        return [replace(used, question=question, arguments={name: PLACEHOLDER})], spliced

    def _aside(self, language: Language, tools: Sequence[Tool]) -> list[dict[str, Any]]:
        """An exchange among the calls that is none for a tool."""
        question = self.questions_of(language)
        while question.fact in {TOOL, OFF_TOPIC} and any(tempting(one, question.text) for one in tools):
            question = self.questions_of(language)
        return self._exchange(question)

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

    def _filling_a_schema(self) -> Conversation:
        """A question whose answer is held to a schema."""
        language = self._random.choice(LANGUAGES)
        asked = [self._random.choice(self._asked_in[language]) for _ in range(40)]
        made = filled(self._random, language, asked)
        messages = [*self._opening(), {"role": "user", "content": made.question}]
        return Conversation([*messages, {"role": "assistant", "content": made.answer}], values_only=not made.whole)

    def _opening(self) -> list[dict[str, Any]]:
        if self._random.random() < 0.6:
            return []
        return [{"role": "system", "content": self._random.choice(SYSTEM_PROMPTS)}]

    def _varied(self, question: Question) -> str:
        """The question as people also type it; never so that it becomes one that is held out."""
        varied = question.text if self._random.random() < 0.7 else self._worded(question)
        if self._random.random() < 0.45:
            varied = vary(self._random, varied, question.language, plain=question.fact == TOOL)
        return question.text if normalised(varied) in self._held_out else varied

    def _worded(self, question: Question) -> str:
        """The question in other words of the same meaning; names of things that are asked about stay as they are."""
        if question.fact.partition(":")[0] not in {Kind.HOW_TO, Kind.VALUE, Kind.WHICH}:
            return question.text
        return other_words(self._random, question.text, question.language)

    def _by_fact(self) -> list[list[Question]]:
        groups: dict[tuple[str, str], list[Question]] = {}
        for question in self._asked:
            weight = FREE_WEIGHT if question.free else 1
            groups.setdefault((question.fact, question.language), []).extend([question] * weight)
        return list(groups.values())

    def _cycle(self, items: list[T]) -> Iterator[T]:
        while True:
            self._random.shuffle(items)
            yield from items


def other_words(generator: random.Random, text: str, language: Language) -> str:
    """A text with some of its words replaced by others that say the same."""
    for group in SYNONYMS[language]:
        for word in group:
            found = re.search(rf"(?<![\w/-]){word}(?![\w/-])", text)
            if found and generator.random() < 0.6:
                text = text[: found.start()] + generator.choice(group) + text[found.end() :]
                break
    return text


def keywords(text: str, language: Language) -> str:
    """What is left of a question when only the words that matter are typed; the text itself if that is too little."""
    kept = [word for word in text.rstrip("?.!").split() if word.lower() not in LITTLE_WORDS[language]]
    return " ".join(kept) if len(kept) > 1 else text


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
    if 0.75 < chance < 0.85:
        text = keywords(text, language)
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
    """Random tokens said two to four times, the repetitions being targets: nothing to learn from it but how to copy.

    Some are made of few tokens, as numbers are: there it takes more than the token before to know what comes next.
    """
    choices = range(vocabulary_size)
    once = [generator.choice(choices) for _ in range(generator.randint(4, 32))]
    if generator.random() < 0.4:
        few = generator.sample(choices, generator.randint(3, 10))
        once = [generator.choice(few) for _ in once]
    times = generator.randint(2, 4)
    return Encoded(once * times, [False] * len(once) + [True] * (len(once) * (times - 1)), [0])


def encode(tokenizer: Tokenizer, conversation: Conversation) -> Encoded:
    """A conversation as tokens. Answers are encoded apart from what is before them, as they are when generated."""
    text = render(conversation.messages, conversation.tools, prompt=False)
    encoded = Encoded([], [], [])
    place = 0
    for match in ANSWER.finditer(text):
        _append(encoded, tokenizer, text[place : match.start()], conversation.spliced, target=False)
        if conversation.values_only:
            _append_values(encoded, tokenizer, match.group())
        else:
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


def _append_values(encoded: Encoded, tokenizer: Tokenizer, text: str) -> None:
    """Pieces end where the vocabulary's words do, so that they are tokenized as the whole would be."""
    encoded.turns.append(len(encoded.tokens))
    for piece, chosen in forced(text):
        tokens = tokenizer.encode(piece, add_special_tokens=False).ids
        encoded.tokens.extend(tokens)
        encoded.target.extend([chosen] * len(tokens))


def _append(encoded: Encoded, tokenizer: Tokenizer, text: str, spliced: Sequence[int], *, target: bool) -> None:
    encoded.turns.append(len(encoded.tokens))
    for number, piece in enumerate(text.split(PLACEHOLDER)):
        tokens = [*(spliced if number else ()), *tokenizer.encode(piece, add_special_tokens=False).ids]
        encoded.tokens.extend(tokens)
        encoded.target.extend([target] * len(tokens))
