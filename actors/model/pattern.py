"""Regular expressions of JSON schemas as GBNF, for the content of a JSON string."""

PLAIN = r'[^"\\\x7F\x00-\x1F]'
"""Any character that needs no escape in a JSON string; what a dot or a negated class stands for."""
CLASSES = {"d": "0-9", "w": "A-Za-z0-9_", "s": r" "}
NEGATED = {"D": "0-9", "W": "A-Za-z0-9_", "S": r" "}
ESCAPES = {"n": r'"\\n"', "t": r'"\\t"', "r": r'"\\r"'}
REPEAT_LIMIT = 1000


def pattern_expression(pattern: str) -> str:
    """The expression of a pattern; where it is not anchored, any text may precede or follow.

    Known: literals, dots, classes, groups, alternatives, repetition, digits, words, spaces and their negations. Raises
    ValueError for the rest, as look-around and back-references.
    """
    begin = pattern.startswith("^")
    end = pattern.endswith("$") and not pattern.endswith("\\$")
    body = pattern[1 if begin else 0 : -1 if end else None]
    expression = _Parser(body).parse()
    return " ".join(["" if begin else "char*", f"({expression})", "" if end else "char*"]).strip()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
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
            return PLAIN
        if character == "\\":
            return self._escape()
        if character in "^$*+?{":
            raise ValueError(f"{character!r} at character {self._place} cannot be held.")
        return _literal(character)

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
        if character in CLASSES:
            return f"[{CLASSES[character]}]"
        if character in NEGATED:
            return rf'[^"\\\x7F\x00-\x1F{NEGATED[character]}]'
        if character in ESCAPES:
            return ESCAPES[character]
        if character.isalnum():
            raise ValueError(f"'\\{character}' cannot be held.")
        return _literal(character)

    def _class(self) -> str:
        negated = self._next == "^"
        if negated:
            self._take()
        content = []
        while self._next != "]":
            content.append(self._member())
        self._take()
        return rf'[^"\\\x7F\x00-\x1F{"".join(content)}]' if negated else f"[{''.join(content)}]"

    def _member(self) -> str:
        """A character of a class, a range, or a class within."""
        if self._next == "\\" and self._ahead(1) in CLASSES:
            self._place += 2
            return CLASSES[self._ahead(-1)]
        low = self._class_character()
        if self._next != "-" or self._ahead(1) == "]":
            return _code(low)
        self._take()
        high = self._class_character()
        if high < low:
            raise ValueError("a class has a range that ends before it begins.")
        return f"{_code(low)}-{_code(high)}"

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
        if character in '"\\' or character < " ":
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


def _literal(character: str) -> str:
    if character in '"\\':
        return rf'"\\\{character}"'
    if character < " ":
        raise ValueError("control characters cannot be held.")
    return f'"{character}"' if character.isprintable() else f'"{_code(character)}"'


def _code(character: str) -> str:
    return character if character.isalnum() and character.isascii() else f"\\U{ord(character):08X}"
