"""Made-up tools and their calls: name and arguments are to be taken from the prompt, not from memory."""

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from forge.forms import Language
from forge.out_of_domain import coined_word
from forge.tool_families import (
    ATTRIBUTES,
    FAMILIES,
    NEW_ATTRIBUTES,
    NEW_PLACES,
    NEW_WORDS,
    PLACES,
    ROOMS,
    SIGNS,
    TONGUES,
    WORDS,
    Family,
)

Tool = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Use:
    """A question that a tool answers, with the call that is right."""

    question: str
    tool: Tool
    name: str
    arguments: Mapping[str, Any]
    language: Language
    unseen: bool = False
    """The tool's purpose is one that training never shows."""


def tool(name: str, description: str, properties: Mapping[str, str]) -> Tool:
    """A tool as OpenAI's interface has it; properties are JSON types by name."""
    schema = {
        "type": "object",
        "properties": {key: {"type": kind} for key, kind in properties.items()},
        "required": list(properties),
    }
    return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}


def use(generator: random.Random, language: Language, *, held_out: bool = False) -> Use:
    """A random tool and a question for it. Held-out ones have values, or a purpose, that training never sees."""
    if generator.random() < 0.35:
        return _attribute_use(generator, language, held_out=held_out)
    return _family_use(generator, language, generator.choice(FAMILIES), held_out=held_out)


def offered(generator: random.Random, wanted: Tool | None = None) -> list[Tool]:
    """Some tools, the wanted one among them if there is one."""
    others = [
        _family_tool(generator, family)[0] for family in generator.sample(FAMILIES, generator.choice((0, 0, 1, 2)))
    ]
    if wanted is None:
        return others or [_family_tool(generator, generator.choice(FAMILIES))[0]]
    taken = wanted["function"]["name"]
    tools = [other for other in others if other["function"]["name"] != taken and not _alike(other, wanted)] + [wanted]
    generator.shuffle(tools)
    return tools


def result(generator: random.Random, used: Use, *, held_out: bool = False) -> tuple[str, str]:
    """What the tool might return, and how the assistant says it."""
    fields = {
        generator.choice(("result", "value", "answer", "status", "temperature", "info")): _result_value(
            generator, held_out
        )
    }
    if generator.random() < 0.3:
        fields["note"] = _result_value(generator, held_out)
    lead = "The result is" if used.language == "en" else "Kết quả là"
    if generator.random() < 0.5:
        text = str(next(iter(fields.values())))
        return text, f"{lead}: {text}"
    said = ", ".join(f"{key} {value}" for key, value in fields.items())
    return json.dumps(fields, ensure_ascii=False), f"{lead}: {said}"


def _family_tool(generator: random.Random, family: Family) -> tuple[Tool, list[str]]:
    names = [generator.choice(argument[0]) for argument in family.arguments]
    properties = {name: argument[2] for name, argument in zip(names, family.arguments, strict=True)}
    return tool(generator.choice(family.names), generator.choice(family.descriptions), properties), names


def _family_use(generator: random.Random, language: Language, family: Family, *, held_out: bool) -> Use:
    made, names = _family_tool(generator, family)
    values = [_value(generator, argument[1], held_out) for argument in family.arguments]
    form = generator.choice(family.english if language == "en" else family.vietnamese)
    question = form.format(*values)
    return Use(question, made, made["function"]["name"], dict(zip(names, values, strict=True)), language)


def _attribute_use(generator: random.Random, language: Language, *, held_out: bool) -> Use:
    attribute = generator.choice(NEW_ATTRIBUTES if held_out else ATTRIBUTES)
    argument = generator.choice(("name", "item", "id", "key", "object", "subject"))
    name = generator.choice(("get_{}", "{}_of", "find_{}", "{}_lookup", "fetch_{}", "read_{}")).format(attribute)
    value = _value(generator, generator.choice(("name", "place", "code")), held_out)
    forms = {
        "en": ("What is the {a} of {v}?", "Tell me the {a} of {v}.", "Give me the {a} of {v}.", "{a} of {v}?"),
        "vi": ("{a} của {v} là gì?", "Cho tôi biết {a} của {v}.", "Cho tôi {a} của {v}."),
    }
    question = generator.choice(forms[language]).format(a=attribute, v=value)
    description = generator.choice(
        (f"Get the {attribute} of something", f"Look up the {attribute}", f"Find the {attribute} by {argument}")
    )
    made = tool(name, description, {argument: "string"})
    return Use(question[0].upper() + question[1:], made, name, {argument: value}, language, held_out)


def _value(generator: random.Random, kind: str, held_out: bool) -> str | int:
    if held_out and kind in NEW_VALUES:
        return generator.choice(NEW_VALUES[kind])
    return MAKERS[kind](generator)


def _place(generator: random.Random) -> str:
    return generator.choice((generator.choice(PLACES), coined_word(generator).capitalize()))


def _words(generator: random.Random) -> str:
    return generator.choice((generator.choice(WORDS), f"{coined_word(generator)} {coined_word(generator)}"))


def _number(generator: random.Random) -> int:
    return generator.randint(0, 10 ** generator.randint(1, 4))


def _sum(generator: random.Random) -> str:
    numbers = [str(_number(generator)) for _ in range(generator.choice((2, 2, 2, 3)))]
    return "".join(number + f" {generator.choice(SIGNS)} " for number in numbers[:-1]) + numbers[-1]


def _clock(generator: random.Random) -> str:
    return f"{generator.randint(0, 23)}:{generator.randint(0, 59):02d}"


def _code(generator: random.Random) -> str:
    return f"{coined_word(generator)[:2].upper()}-{generator.randint(10, 99999)}"


def _path(generator: random.Random) -> str:
    return f"{coined_word(generator).lower()}.{generator.choice(('txt', 'csv', 'md', 'py', 'json'))}"


NEW_VALUES = {"place": NEW_PLACES, "words": NEW_WORDS}
"""Values that are only used for evaluation."""

MAKERS: dict[str, Callable[[random.Random], str | int]] = {
    "place": _place,
    "words": _words,
    "number": _number,
    "sum": _sum,
    "clock": _clock,
    "code": _code,
    "path": _path,
    "name": coined_word,
    "room": lambda generator: generator.choice(ROOMS),
    "language": lambda generator: generator.choice(TONGUES),
}
"""How each kind of value is made up."""


def _result_value(generator: random.Random, held_out: bool) -> str | int:
    kind = generator.choice(("number", "words", "place", "name", "clock", "sky"))
    if kind == "sky":
        return generator.choice(
            ("sunny", "cloudy", "light rain", "31 degrees and sunny", "18 degrees", "trời nắng", "có mưa", "25 độ")
        )
    return _value(generator, kind, held_out)


def _alike(one: Tool, other: Tool) -> bool:
    families = [family for family in FAMILIES for made in (one, other) if made["function"]["name"] in family.names]
    return len(families) == 2 and families[0] is families[1]
