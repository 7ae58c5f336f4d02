"""Made-up values for tool calls: of every look, so that calling a tool means copying and not remembering."""

import random
import string
from collections.abc import Callable

from forge.coined import coined_name, coined_word, vietnamese_name
from forge.tool_words import (
    COMMON_WORDS,
    FIRST_NAMES,
    LAST_NAMES,
    NEW_PEOPLE,
    NEW_PLACES,
    NEW_WORDS,
    PLACES,
    ROOMS,
    SIGNS,
    TONGUES,
    VIETNAMESE_FIRST_NAMES,
    VIETNAMESE_LAST_NAMES,
    WORDS,
)

Value = str | int | float


def value_of(generator: random.Random, kind: str, *, held_out: bool = False) -> Value:
    """A random value of a kind; held out ones are those that training never shows, where the kind has any."""
    if held_out and kind in NEW_VALUES:
        return generator.choice(NEW_VALUES[kind])
    made = MAKERS[kind](generator)
    return value_of(generator, kind) if made in HELD_OUT else made


def _place(generator: random.Random) -> str:
    chance = generator.random()
    if chance < 0.45:
        return generator.choice(PLACES)
    if chance < 0.7:
        return coined_name(generator)
    if chance < 0.9:
        return vietnamese_name(generator)
    form = generator.choice(("New {}", "San {}", "Port {}", "{} City", "Saint {}", "{} Beach", "Los {}", "El {}"))
    return form.format(coined_name(generator))


def _person(generator: random.Random) -> str:
    chance = generator.random()
    if chance < 0.3:
        return generator.choice(FIRST_NAMES)
    if chance < 0.55:
        return f"{generator.choice(FIRST_NAMES)} {generator.choice(LAST_NAMES)}"
    if chance < 0.75:
        return f"{generator.choice(VIETNAMESE_LAST_NAMES)} {generator.choice(VIETNAMESE_FIRST_NAMES)}"
    return generator.choice((coined_name(generator), vietnamese_name(generator)))


def _words(generator: random.Random) -> str:
    chance = generator.random()
    if chance < 0.3:
        return generator.choice(WORDS)
    if chance < 0.8:
        return " ".join(generator.choice(COMMON_WORDS) for _ in range(generator.randint(1, 4)))
    return f"{coined_word(generator)} {coined_word(generator)}"


def _name(generator: random.Random) -> str:
    return generator.choice((coined_word, coined_name, _letters))(generator)


def _letters(generator: random.Random) -> str:
    """Letters in no order of any language."""
    word = "".join(generator.choice(string.ascii_lowercase) for _ in range(generator.randint(2, 8)))
    return generator.choice((word, word.capitalize(), word.upper()))


def _number(generator: random.Random) -> int:
    return generator.randint(0, 10 ** generator.randint(1, 5))


def _decimal(generator: random.Random) -> Value:
    if generator.random() < 0.5:
        return _number(generator)
    return round(generator.uniform(0, 10 ** generator.randint(1, 3)), generator.randint(1, 2))


def _sum(generator: random.Random) -> str:
    numbers = [str(_number(generator)) for _ in range(generator.choice((2, 2, 2, 3)))]
    space = generator.choice((" ", " ", ""))
    return "".join(f"{number}{space}{generator.choice(SIGNS)}{space}" for number in numbers[:-1]) + numbers[-1]


def _clock(generator: random.Random) -> str:
    return f"{generator.randint(0, 23)}:{generator.randint(0, 59):02d}"


def _date(generator: random.Random) -> str:
    year, month, day = generator.randint(1990, 2040), generator.randint(1, 12), generator.randint(1, 28)
    return generator.choice((f"{year}-{month:02d}-{day:02d}", f"{day}/{month}/{year}", f"{day}/{month}"))


def _code(generator: random.Random) -> str:
    letters = coined_word(generator)[: generator.randint(2, 3)].upper()
    if generator.random() < 0.8:
        return f"{letters}-{generator.randint(10, 99999)}"
    return "".join(generator.choice(string.ascii_uppercase + string.digits) for _ in range(generator.randint(4, 9)))


def _path(generator: random.Random) -> str:
    folder = f"{coined_word(generator).lower()}/" if generator.random() < 0.3 else ""
    ending = generator.choice(("txt", "csv", "md", "py", "json", "log", "pdf", "toml"))
    return f"{folder}{coined_word(generator).lower()}.{ending}"


def _email(generator: random.Random) -> str:
    name = generator.choice((coined_word(generator), generator.choice(FIRST_NAMES))).lower()
    return f"{name}@{coined_word(generator).lower()}.{generator.choice(('com', 'org', 'vn', 'net'))}"


def _url(generator: random.Random) -> str:
    return f"{generator.choice(('https://', 'http://', 'www.'))}{coined_word(generator).lower()}.com"


def _phone(generator: random.Random) -> str:
    return "0" + "".join(generator.choice(string.digits) for _ in range(9))


def _of(values: tuple[str, ...]) -> Callable[[random.Random], Value]:
    return lambda generator: generator.choice(values)


NEW_VALUES = {"place": NEW_PLACES, "words": NEW_WORDS, "person": NEW_PEOPLE}
"""Values that are only used for evaluation."""
HELD_OUT = {value for values in NEW_VALUES.values() for value in values}

MAKERS: dict[str, Callable[[random.Random], Value]] = {
    "place": _place,
    "person": _person,
    "words": _words,
    "name": _name,
    "number": _number,
    "decimal": _decimal,
    "sum": _sum,
    "clock": _clock,
    "date": _date,
    "code": _code,
    "path": _path,
    "email": _email,
    "url": _url,
    "phone": _phone,
    "room": _of(ROOMS),
    "language": _of(TONGUES),
    "currency": _of(("USD", "EUR", "VND", "JPY", "GBP", "dollars", "euros", "yen", "đồng", "CHF", "CNY", "SGD")),
    "unit": _of(("km", "miles", "kg", "pounds", "meters", "feet", "celsius", "fahrenheit", "litres", "cm", "grams")),
}
"""How each kind of value is made up."""
