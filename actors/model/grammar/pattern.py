"""Regular expressions as GBNF, for whole texts and for the content of a JSON string."""

from collections.abc import Mapping
from dataclasses import dataclass

REPEAT_LIMIT = 1000
DIGITS, WORDS = "0-9", "A-Za-z0-9_"


@dataclass(frozen=True, slots=True)
class _Alphabet:
    """What characters are, as the content of a class."""

    barred: str
    """Never let through by a negated class."""
    dot: str
    """Not let through by a dot, besides."""
    spaces: str
    escapes: Mapping[str, str]
    """What "\\n" and the like stand for, as an expression."""
    escaped: str
    """Characters that are written with a backslash before them."""
    in_class: Mapping[str, str]
    """What "\\n" and the like stand for within a class."""


JSON = _Alphabet(r'"\\\x7F\x00-\x1F', "", " ", {"n": r'"\\n"', "t": r'"\\t"', "r": r'"\\r"'}, '"\\', {})
"""The content of a JSON string: what needs an escape there is one, or cannot be held."""
TEXT = _Alphabet(
    r"\x00-\x08\x0B\x0C\x0E-\x1F\x7F",
    r"\n",
    r" \t\n\r",
    {"n": r'"\n"', "t": r'"\t"', "r": r'"\r"'},
    "",
    {"n": r"\n", "t": r"\t", "r": r"\r"},
)
"""Plain text. Control characters are let through by nothing but their own name."""


def pattern_expression(pattern: str) -> str:
    """The expression of a JSON string's content; where it is not anchored, any text may precede or follow.

    Known: literals, dots, classes, groups, alternatives, repetition, digits, words, spaces and their negations. Raises
    ValueError for the rest, as look-around and back-references.
    """
    begin, body, end = _anchors(pattern)
    expression = _Parser(body, JSON).parse()
    return " ".join(["" if begin else "char*", f"({expression})", "" if end else "char*"]).strip()


def text_expression(pattern: str) -> str:
    """The expression of a whole text that the pattern matches from end to end; anchors at its ends change nothing.

    Known and refused is what `pattern_expression` knows and refuses.
    """
    return f"({_Parser(_anchors(pattern)[1], TEXT).parse()})"


def _anchors(pattern: str) -> tuple[bool, str, bool]:
    begin = pattern.startswith("^")
    end = pattern.endswith("$") and not pattern.endswith("\\$")
    return begin, pattern[1 if begin else 0 : -1 if end else None], end


class _Parser:
    def __init__(self, text: str, alphabet: _Alphabet) -> None:
        self._text = text
        self._alphabet = alphabet
        self._classes = {"d": DIGITS, "w": WORDS, "s": alphabet.spaces}
        self._place = 0

    def parse(self) -> str:
        expression = self._alternatives()
        if self._place < len(self._text):
            raise ValueError(f"unbalanced ')' at character {self._place + 1}.")
        return expression

    @property
    def _next(self) -> str:
        return self._text[self._place : self._place + 1]

    def _take(self) -> str:
        character = self._next
        if not character:
            raise ValueError("the pattern ends too early.")
        self._place += 1
        return character

    def _alternatives(self) -> str:
        options = [self._sequence()]
        while self._next == "|":
            self._take()
            options.append(self._sequence())
        return " | ".join(options)

    def _sequence(self) -> str:
        parts = []
        while self._next and self._next not in "|)":
            parts.append(self._atom() + self._repetition())
        return " ".join(parts) or '""'

    def _atom(self) -> str:
        character = self._take()
        if character == "(":
            return self._group()
        if character == "[":
            return self._class()
        if character == ".":
            return self._other_than(self._alphabet.dot)
        if character == "\\":
            return self._escape()
        if character in "^$*+?{":
            raise ValueError(f"{character!r} at character {self._place} cannot be held.")
        return self._literal(character)

    def _group(self) -> str:
        if self._next == "?":
            self._take()
            if self._take() != ":":
                raise ValueError("groups that begin with '(?' cannot be held, except '(?:'.")
        expression = self._alternatives()
        if self._take() != ")":
            raise ValueError("a group is not closed.")
        return f"({expression})"

    def _escape(self) -> str:
        character = self._take()
        if character in self._classes:
            return f"[{self._classes[character]}]"
        if character.lower() in self._classes:
            return self._other_than(self._classes[character.lower()])
        if character in self._alphabet.escapes:
            return self._alphabet.escapes[character]
        if character.isalnum():
            raise ValueError(f"'\\{character}' cannot be held.")
        return self._literal(character)

    def _class(self) -> str:
        negated = self._next == "^"
        if negated:
            self._take()
        content = []
        while self._next != "]":
            content.append(self._member())
        self._take()
        return self._other_than("".join(content)) if negated else f"[{''.join(content)}]"

    def _member(self) -> str:
        """A character of a class, a range, or a class within."""
        within = {**self._classes, **self._alphabet.in_class}
        if self._next == "\\" and self._ahead(1) in within:
            self._place += 2
            return within[self._ahead(-1)]
        low = self._class_character()
        if self._next != "-" or self._ahead(1) == "]":
            return _code(low)
        self._take()
        high = self._class_character()
        if high < low:
            raise ValueError("a class has a range that ends before it begins.")
        return self._range(low, high)

    def _range(self, low: str, high: str) -> str:
        """A range of characters, without those that are written with a backslash before them."""
        parts, start = [], ord(low)
        for gap in [*sorted(each for each in self._alphabet.escaped if low <= each <= high), chr(ord(high) + 1)]:
            if start < ord(gap):
                parts.append(f"{_code(chr(start))}-{_code(chr(ord(gap) - 1))}")
            start = ord(gap) + 1
        return "".join(parts)

    def _ahead(self, count: int) -> str:
        """The character so many places on, or empty."""
        return self._text[self._place + count : self._place + count + 1]

    def _class_character(self) -> str:
        character = self._take()
        escaped = character == "\\"
        if escaped:
            character = self._take()
        if escaped and character.isalnum():
            raise ValueError(f"'\\{character}' in a class cannot be held.")
        if character in self._alphabet.escaped or character < " ":
            raise ValueError("quotes, backslashes and control characters in a class cannot be held.")
        return character

    def _repetition(self) -> str:
        operator = ""
        if self._next and self._next in "*+?":
            operator = self._take()
        elif self._next == "{":
            operator = self._counted()
        if self._next == "?" and operator:
            self._take()
        return operator

    def _counted(self) -> str:
        end = self._text.find("}", self._place)
        counts = self._text[self._place + 1 : end].split(",")
        if end < 0 or len(counts) > 2 or not counts[0].isdigit() or not (counts[-1].isdigit() or not counts[-1]):
            raise ValueError("a repetition is not of the form {2}, {2,} or {2,5}.")
        if max(int(count or 0) for count in counts) > REPEAT_LIMIT:
            raise ValueError(f"repetitions of more than {REPEAT_LIMIT} cannot be held.")
        text = self._text[self._place : end + 1]
        self._place = end + 1
        return text

    def _other_than(self, content: str) -> str:
        return f"[^{self._alphabet.barred}{content}]"

    def _literal(self, character: str) -> str:
        if character in self._alphabet.escaped:
            return rf'"\\\{character}"'
        if character < " ":
            raise ValueError("control characters cannot be held.")
        plain = character.isprintable() and character not in '"\\'
        return f'"{character}"' if plain else f'"{_code(character)}"'


def _code(character: str) -> str:
    return character if character.isalnum() and character.isascii() else f"\\U{ord(character):08X}"
