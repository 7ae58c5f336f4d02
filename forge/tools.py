"""Made-up tools and their calls: name and arguments are to be taken from the prompt, not from memory."""

import json
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from forge.coined import coined_word
from forge.forms import Language
from forge.phrasings import fold, normalised
from forge.tool_families import FAMILIES, Family
from forge.tool_words import ATTRIBUTES, EXTRAS, NEW_ATTRIBUTES, OBJECTS, PARAMETERS, RESULT_KEYS, VERBS
from forge.values import Value, value_of

Tool = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Use:
    """A question that a tool answers, with the call that is right."""

    question: str
    tool: Tool
    arguments: Mapping[str, Value]
    language: Language
    unseen: bool = False
    """The tool's purpose is one that training never shows."""

    @property
    def name(self) -> str:
        """What the tool is called."""
        return str(self.tool["function"]["name"])


def tool(name: str, description: str, properties: Mapping[str, str], required: Sequence[str] | None = None) -> Tool:
    """A tool as OpenAI's interface has it; properties are JSON types by name, all of them required unless said."""
    schema = {
        "type": "object",
        "properties": {key: {"type": kind} for key, kind in properties.items()},
        "required": list(properties if required is None else required),
    }
    return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}


def use(generator: random.Random, language: Language, *, held_out: bool = False) -> Use:
    """A random tool and a question for it. Held-out ones have values, or a purpose, that training never sees."""
    if held_out:
        make = _attribute_use if generator.random() < 0.35 else _family_use
        return make(generator, language, held_out=True)
    (drawn,) = generator.choices((_family_use, _attribute_use, _action_use, _named_use), (50, 25, 15, 10))
    return drawn(generator, language)


def offered(generator: random.Random, *wanted: Tool, asked: str = "", unmet: Tool | None = None) -> list[Tool]:
    """Some tools with the wanted ones among them; no other does their work, nor what is `asked` and stays `unmet`."""
    names = {tool["function"]["name"] for tool in (*wanted, *([unmet] if unmet else ()))}
    idle = [family for family in FAMILIES if not names & set(family.names)]
    others = [_family_tool(generator, one)[0] for one in generator.sample(idle, generator.choice((0, 0, 1, 2)))]
    if not wanted and not others:
        others = [_family_tool(generator, generator.choice(idle))[0]]
    if generator.random() < 0.25:
        others.append(generator.choice((_attribute_use, _action_use, _named_use))(generator, "en").tool)
    if asked and any(tempting(other, asked) for other in others):
        return offered(generator, *wanted, asked=asked, unmet=unmet)
    tools = [*wanted, *(other for other in others if other["function"]["name"] not in names)]
    generator.shuffle(tools)
    return tools or offered(generator, *wanted, asked=asked, unmet=unmet)


def tempting(made: Tool, asked: str) -> bool:
    """Whether a question that is none for a tool sounds like one for it: nobody could tell what is right."""
    name, text = made["function"]["name"], f"{normalised(asked)} "
    signs = [sign for family in FAMILIES if name in family.names for sign in family.signs]
    parts = [part for part in normalised(re.sub(r"_|(?=[A-Z])", " ", name)).split() if len(part) > 2]
    return any(sign in text for sign in (*signs, *parts))


def apart(uses: Sequence[Use]) -> bool:
    """Whether each question has one tool that is meant."""
    names = [used.name for used in uses]
    families = [family for family in FAMILIES for name in names if name in family.names]
    return len(set(names)) == len(names) and len({id(family) for family in families}) == len(families)


def result(generator: random.Random, used: Use, *, held_out: bool = False) -> tuple[str, str]:
    """What the tool might return, and how the assistant says it."""
    lead = "The result is" if used.language == "en" else "Kết quả là"
    if generator.random() < 0.4:
        text = _result_text(generator, held_out)
        return text, f"{lead}: {text}"
    fields = {_result_key(generator): _result_value(generator, held_out) for _ in range(generator.choice((1, 1, 2, 3)))}
    said = ", ".join(f"{key} {value}" for key, value in fields.items())
    return json.dumps(fields, ensure_ascii=False), f"{lead}: {said}"


def _family_tool(generator: random.Random, family: Family) -> tuple[Tool, list[str]]:
    names = [generator.choice(argument[0]) for argument in family.arguments]
    properties = {name: argument[2] for name, argument in zip(names, family.arguments, strict=True)}
    description = generator.choice(family.descriptions)
    return _described(generator, generator.choice(family.names), description, properties), names


def _described(generator: random.Random, name: str, description: str, properties: Mapping[str, str]) -> Tool:
    """A tool with a description as people write it, and sometimes with parameters that a question need not fill."""
    tail = generator.choice(("", "", "", ".", " for the user", ", use it when asked", " (demo)"))
    shown = dict(properties)
    if generator.random() < 0.25:
        free = [extra for extra in EXTRAS if extra[0] not in shown]
        shown |= dict(generator.sample(free, generator.choice((1, 1, 2))))
    description = "" if generator.random() < 0.05 else description + tail
    return tool(name, description, shown, list(properties))


def _family_use(generator: random.Random, language: Language, *, held_out: bool = False) -> Use:
    family = generator.choice(FAMILIES)
    if not held_out and generator.random() < 0.08:
        family = FAMILIES[0]  # everybody tries a tool for the weather first
    made, names = _family_tool(generator, family)
    values = [value_of(generator, argument[1], held_out=held_out) for argument in family.arguments]
    form = generator.choice(family.english if language == "en" else family.vietnamese)
    return _asked(generator, form, values, made, names, language, plain=held_out)


def _asked(
    generator: random.Random,
    form: str,
    values: Sequence[Value],
    made: Tool,
    names: Sequence[str],
    language: Language,
    *,
    plain: bool,
) -> Use:
    """A use of a tool, typed as people type unless `plain`: a value is to be copied as it stands in the question."""
    typed = TYPED[language](generator) if not plain else str
    shown = [typed(value) if isinstance(value, str) else value for value in values]
    marked = [_marked(generator, value) for value in shown] if not plain else shown
    question = typed(form).format(*marked)
    if typed is str:
        question = question[0].upper() + question[1:] if not form.startswith("{") else question
    return Use(question, made, dict(zip(names, shown, strict=True)), language)


def _marked(generator: random.Random, value: Value) -> Value:
    mark = generator.choice(('"', "'", '"'))
    return f"{mark}{value}{mark}" if isinstance(value, str) and generator.random() < 0.06 else value


def _typing_english(generator: random.Random) -> Callable[[str], str]:
    return generator.choices((str, str.lower), (80, 20))[0]


def _typing_vietnamese(generator: random.Random) -> Callable[[str], str]:
    return generator.choices((str, str.lower, fold, _bare), (76, 12, 5, 7))[0]


def _bare(text: str) -> str:
    return fold(text).lower()


TYPED: dict[Language, Callable[[random.Random], Callable[[str], str]]] = {
    "en": _typing_english,
    "vi": _typing_vietnamese,
}

ATTRIBUTE_FORMS: dict[Language, tuple[str, ...]] = {
    "en": (
        "What is the {a} of {{0}}?",
        "Tell me the {a} of {{0}}.",
        "Give me the {a} of {{0}}.",
        "{a} of {{0}}?",
        "What's the {a} for {{0}}?",
        "I need the {a} of {{0}}.",
        "Show the {a} for {{0}}.",
        "{{0}} {a}",
        "Can you find the {a} of {{0}}?",
        "Look up the {a} of {{0}}, please.",
        "Do you know the {a} of {{0}}?",
        "What {a} does {{0}} have?",
    ),
    "vi": (
        "{a} của {{0}} là gì?",
        "Cho tôi biết {a} của {{0}}.",
        "Cho tôi {a} của {{0}}.",
        "{a} của {{0}}?",
        "{a} {{0}} là bao nhiêu?",
        "Tra {a} của {{0}}.",
        "Tôi cần {a} của {{0}}.",
        "Xem {a} của {{0}}.",
        "{{0}} có {a} thế nào?",
        "Bạn tìm {a} của {{0}} được không?",
    ),
}
NAME_FORMS = (
    "get_{}",
    "{}_of",
    "find_{}",
    "{}_lookup",
    "fetch_{}",
    "read_{}",
    "{}",
    "lookup_{}",
    "show_{}",
    "query_{}",
    "{}_info",
    "{}_service",
    "get_current_{}",
)


def _attribute_use(generator: random.Random, language: Language, *, held_out: bool = False) -> Use:
    """A tool that looks something up about something; the question names what as the tool does."""
    named, asked = _attribute(generator, language, held_out)
    argument = generator.choice(("name", "item", "id", "key", "object", "subject") if held_out else PARAMETERS)
    if not held_out and generator.random() < 0.15:
        argument = coined_word(generator).lower()
    name = generator.choice(NAME_FORMS[:6] if held_out else NAME_FORMS).format(named)
    value = value_of(generator, generator.choice(("name", "place", "code", "person")), held_out=held_out)
    forms = ATTRIBUTE_FORMS[language]
    form = generator.choice(forms[: 4 if language == "en" else 3] if held_out else forms).format(a=asked)
    described = named.replace("_", " ")
    description = generator.choice(
        (f"Get the {described} of something", f"Look up the {described}", f"Find the {described} by {argument}")
    )
    if held_out:
        made = tool(name, description, {argument: "string"})
        return replace(_asked(generator, form, [value], made, [argument], language, plain=True), unseen=True)
    camel = generator.random() < 0.1
    made = _described(generator, _camel(name) if camel else name, description, {argument: "string"})
    return _asked(generator, form, [value], made, [argument], language, plain=False)


def _attribute(generator: random.Random, language: Language, held_out: bool) -> tuple[str, str]:
    """As the tool names it, and as the question does."""
    if held_out:
        word = generator.choice(NEW_ATTRIBUTES)
        return word, word
    if generator.random() < 0.45:
        word = coined_word(generator).lower()
        return word, word
    english, vietnamese = generator.choice(ATTRIBUTES)
    in_english = language == "en" or generator.random() < 0.4
    return english, english.replace("_", " ") if in_english else vietnamese


def _action_use(generator: random.Random, language: Language) -> Use:
    """A tool that does something to something, with a second argument now and then."""
    (verb, verb_vi), (thing, thing_vi) = generator.choice(VERBS), generator.choice(OBJECTS)
    if generator.random() < 0.3:
        thing = thing_vi = coined_word(generator).lower()
    if generator.random() < 0.15:
        verb = verb_vi = coined_word(generator).lower()
    first, second = generator.sample(PARAMETERS, 2)
    kinds = [generator.choice(("name", "code", "person", "words", "path", "date", "place"))]
    shown = (verb, thing) if language == "en" else (verb_vi, thing_vi)
    form = generator.choice(ACTION_FORMS[language]).format(v=shown[0], o=shown[1])
    names, types = [first], ["string"]
    if generator.random() < 0.35:
        kinds.append(generator.choice(("number", "name", "date", "clock", "person", "place", "decimal")))
        names.append(second)
        types.append("number" if kinds[1] in {"number", "decimal"} else "string")
        label = second.replace("_", " ")
        form = form.rstrip(".?") + (f" with {label} {{1}}." if language == "en" else f" với {label} {{1}}.")
    name = generator.choice(("{}_{}", "{}_{}", "{1}_{0}", "{}_the_{}")).format(verb, thing)
    name = _camel(name) if generator.random() < 0.15 else name
    description = generator.choice((f"{verb.capitalize()} a {thing}", f"{verb} one {thing}", f"To {verb} the {thing}"))
    made = _described(generator, name, description, dict(zip(names, types, strict=True)))
    values = [value_of(generator, kind) for kind in kinds]
    return _asked(generator, form, values, made, names, language, plain=False)


ACTION_FORMS: dict[Language, tuple[str, ...]] = {
    "en": (
        "{v} the {o} {{0}}.",
        "Please {v} the {o} {{0}}.",
        "{v} {o} {{0}}",
        "Can you {v} the {o} {{0}}?",
        "I want to {v} the {o} {{0}}.",
        "I would like you to {v} {{0}}, the {o}.",
    ),
    "vi": (
        "{v} {o} {{0}}.",
        "Hãy {v} {o} {{0}}.",
        "{v} giúp tôi {o} {{0}}.",
        "Bạn {v} {o} {{0}} được không?",
        "Tôi muốn {v} {o} {{0}}.",
    ),
}


def _named_use(generator: random.Random, language: Language) -> Use:
    """A tool that means nothing, called by its name: nothing about it can be known before."""
    name = "_".join(coined_word(generator).lower() for _ in range(generator.choice((1, 1, 2))))
    count = generator.choice((1, 1, 2, 3))
    names = [
        coined_word(generator).lower() if generator.random() < 0.4 else argument
        for argument in generator.sample(PARAMETERS, count)
    ]
    if len(set(names)) < count:
        return _named_use(generator, language)
    kinds = generator.choices(("name", "words", "number", "place", "code", "decimal", "person", "date"), k=count)
    types = ["number" if kind in {"number", "decimal"} else "string" for kind in kinds]
    listed = ", ".join(f"{argument} {{{place}}}" for place, argument in enumerate(names))
    forms = {
        "en": ("Call {n} with {a}.", "Use {n}: {a}", "{n} {a}", "Run {n} with {a}.", "Do {n} for {a}."),
        "vi": ("Gọi {n} với {a}.", "Dùng {n}: {a}", "{n} {a}", "Chạy {n} với {a}.", "Làm {n} cho {a}."),
    }
    if count == 1 and generator.random() < 0.7:
        listed = "{0}"
    form = generator.choice(forms[language]).format(n=name, a=listed)
    description = generator.choice((f"Does {name}", coined_word(generator), f"The {name} of the house", f"Chạy {name}"))
    made = _described(generator, name, description, dict(zip(names, types, strict=True)))
    return _asked(generator, form, [value_of(generator, kind) for kind in kinds], made, names, language, plain=False)


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


def _result_key(generator: random.Random) -> str:
    return generator.choice(RESULT_KEYS) if generator.random() < 0.85 else coined_word(generator).lower()


def _result_text(generator: random.Random, held_out: bool) -> str:
    if held_out or generator.random() < 0.5:
        return str(_result_value(generator, held_out))
    values = (_result_value(generator, held_out) for _ in range(generator.choice((1, 2, 2, 3))))
    return generator.choice((" ", " ", ", ")).join(str(value) for value in values)


def _result_value(generator: random.Random, held_out: bool) -> Value:
    kind = generator.choice(("number", "words", "place", "name", "clock", "sky", "decimal", "date", "person"))
    if kind == "sky":
        degrees = generator.randint(-20, 45)
        sky = generator.choice(SKIES)
        return generator.choice(
            (sky, f"{degrees} degrees", f"{degrees} độ", f"{degrees} degrees and {sky}", f"{sky}, {degrees}°C")
        )
    return value_of(generator, kind, held_out=held_out)


SKIES = (
    "sunny",
    "cloudy",
    "light rain",
    "heavy rain",
    "snow",
    "windy",
    "clear sky",
    "fog",
    "trời nắng",
    "có mưa",
    "nhiều mây",
    "mưa rào",
    "se lạnh",
)
