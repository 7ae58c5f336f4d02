"""Reads GBNF, llama.cpp's language of grammars, as grammars/README.md of its repository has it."""

import re

from actors.model.grammar.tree import Expression, Grammar, Letters, Named, OneOf, Row, Text, Times

NESTED = 100
"""Groups within groups."""
REPEATED = 2000
"""How often something may be demanded to come again, as llama.cpp has it."""
LAST = 0x10FFFF
"""The last code point."""
SPACE = re.compile(r"(?:[ \t]|#[^\r\n]*)*")
SPACE_AND_LINES = re.compile(r"(?:[ \t\r\n]|#[^\r\n]*)*")
NAME = re.compile(r"[A-Za-z0-9_-]+")
COUNTED = re.compile(r"\{\s*(\d{1,6})\s*(,?)\s*(\d{0,6})\s*\}")
HEX = {"x": 2, "u": 4, "U": 8}
PLAIN = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", '"': '"', "[": "[", "]": "]", "-": "-", "^": "^"}


def read_gbnf(text: str) -> Grammar:
    """The rules of a grammar. Raises ValueError with the line at fault."""
    return _Reader(text).grammar()


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._place = 0
        self._depth = 0

    def grammar(self) -> Grammar:
        rules: dict[str, Expression] = {}
        wanted: dict[str, int] = {"root": 0}
        self._skip(SPACE_AND_LINES)
        while self._place < len(self._text):
            name = self._name()
            self._skip(SPACE)
            self._expect("::=")
            self._skip(SPACE_AND_LINES)
            rules[name] = self._options(wanted, nested=False)
            if self._next not in ("", "\r", "\n"):
                raise self._fault(f"{self._next!r} is not expected here")
            self._skip(SPACE_AND_LINES)
        for name, place in wanted.items():
            if name not in rules:
                self._place = place
                raise self._fault(f"there is no rule {name!r}")
        return rules

    def _options(self, wanted: dict[str, int], *, nested: bool) -> Expression:
        self._depth += 1
        if self._depth > NESTED:
            raise self._fault(f"groups are nested more than {NESTED} deep")
        options = [self._row(wanted, nested=nested)]
        while self._next == "|":
            self._place += 1
            self._skip(SPACE_AND_LINES)
            options.append(self._row(wanted, nested=nested))
        self._depth -= 1
        return options[0] if len(options) == 1 else OneOf(tuple(options))

    def _row(self, wanted: dict[str, int], *, nested: bool) -> Expression:
        parts: list[Expression] = []
        while (part := self._part(wanted)) is not None:
            # A line may end between a part and its repetition only within a group.
            self._skip(SPACE_AND_LINES if nested else SPACE)
            parts.append(self._repeated(part))
            self._skip(SPACE_AND_LINES if nested else SPACE)
        if not parts:
            return Text("")
        return parts[0] if len(parts) == 1 else Row(tuple(parts))

    def _part(self, wanted: dict[str, int]) -> Expression | None:
        character = self._next
        if character == '"':
            return self._literal()
        if character == "[":
            return self._class()
        if character == ".":
            self._place += 1
            return Letters((), other=True)
        if character == "(":
            self._place += 1
            self._skip(SPACE_AND_LINES)
            found = self._options(wanted, nested=True)
            self._expect(")")
            return found
        if NAME.match(self._text, self._place):
            place = self._place
            name = self._name()
            wanted.setdefault(name, place)
            return Named(name)
        if character == "<":
            raise self._fault("tokens by their number or spelling cannot be held")
        return None

    def _repeated(self, part: Expression) -> Expression:
        bounds: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
        if self._next in bounds:
            low, high = bounds[self._next]
            self._place += 1
            return Times(part, low, high)
        if self._next != "{":
            return part
        counted = COUNTED.match(self._text, self._place)
        if counted is None:
            raise self._fault("a repetition is not of the form {2}, {2,} or {2,5}")
        low = int(counted[1])
        high = int(counted[3]) if counted[3] else None if counted[2] else low
        if max(low, high or 0) > REPEATED or (high is not None and high < low):
            raise self._fault(f"a repetition is 0 to {REPEATED}, the smaller number first")
        self._place = counted.end()
        return Times(part, low, high)

    def _literal(self) -> Text:
        self._place += 1
        characters = []
        while self._next != '"':
            characters.append(self._character())
        self._place += 1
        return Text("".join(characters))

    def _class(self) -> Letters:
        self._place += 1
        other = self._next == "^"
        if other:
            self._place += 1
        ranges = []
        while self._next != "]":
            low = high = ord(self._character())
            if self._next == "-" and self._text[self._place + 1 : self._place + 2] not in ("]", ""):
                self._place += 1
                high = ord(self._character())
            if high < low:
                raise self._fault("a class has a range that ends before it begins")
            ranges.append((low, high))
        self._place += 1
        if not ranges and not other:
            raise self._fault("a class lets nothing through")
        return Letters(tuple(ranges), other)

    def _character(self) -> str:
        character = self._next
        if not character or character in "\r\n":
            raise self._fault("a literal or a class is not closed")
        self._place += 1
        if character != "\\":
            return character
        escaped = self._next
        self._place += 1
        if escaped in PLAIN:
            return PLAIN[escaped]
        digits = self._text[self._place : self._place + HEX.get(escaped, 0)]
        if not digits or len(digits) < HEX[escaped] or not re.fullmatch(r"[0-9A-Fa-f]+", digits):
            raise self._fault(f"'\\{escaped}' cannot be held")
        self._place += len(digits)
        if int(digits, 16) > LAST:
            raise self._fault(f"there is no character {digits}")
        return chr(int(digits, 16))

    def _name(self) -> str:
        found = NAME.match(self._text, self._place)
        if found is None:
            raise self._fault("the name of a rule is expected here")
        self._place = found.end()
        return found[0]

    @property
    def _next(self) -> str:
        return self._text[self._place : self._place + 1]

    def _skip(self, what: re.Pattern[str]) -> None:
        found = what.match(self._text, self._place)
        self._place = found.end() if found is not None else self._place

    def _expect(self, wanted: str) -> None:
        if not self._text.startswith(wanted, self._place):
            raise self._fault(f"{wanted!r} is expected here")
        self._place += len(wanted)

    def _fault(self, message: str) -> ValueError:
        line = self._text.count("\n", 0, self._place) + 1
        return ValueError(f"{message} (line {line})")
