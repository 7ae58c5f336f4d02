"""JSON that arrives in pieces: where a value ends, and the calls of tools within."""

import json
from dataclasses import dataclass

WHITESPACE = " \t\r\n"


class ValueScanner:
    """Follows one JSON value to its end, without judging what is inside."""

    def __init__(self) -> None:
        self._depth = 0
        self._quoted = False
        self._escaped = False
        self._kind = ""
        self.done = False

    @property
    def kind(self) -> str:
        """The value's first character; empty before it came."""
        return self._kind

    def take(self, character: str) -> bool:
        """Take one character; False if it comes after the value and was not taken, as after a number."""
        if not self._kind:
            return self._begin(character)
        if self._quoted:
            self._within_string(character)
        elif self._kind not in '{["':
            self.done = character in ",}]" + WHITESPACE
            return not self.done
        elif character == '"':
            self._quoted = True
        else:
            self._nest(character)
        return True

    def _begin(self, character: str) -> bool:
        self._kind = character
        self._quoted = character == '"'
        self._nest(character)
        return True

    def _nest(self, character: str) -> None:
        if character in "{[":
            self._depth += 1
        elif character in "}]":
            self._depth -= 1
            self.done = self._depth <= 0

    def _within_string(self, character: str) -> None:
        if self._escaped:
            self._escaped = False
        elif character == "\\":
            self._escaped = True
        elif character == '"':
            self._quoted = False
            self.done = self._depth == 0


@dataclass(slots=True)
class CallPart:
    """What a call's object has revealed: its name, or more of its arguments' JSON text."""

    name: str = ""
    arguments: str = ""


class CallScanner:
    """Reads an object such as {"name": "clock", "arguments": {…}}; the arguments flow as soon as the name is known.

    Keys may come in any order and others are skipped. `failed` is set by what is no such object; `raw` is all that
    was read.
    """

    ARGUMENTS = ("arguments", "parameters")

    def __init__(self) -> None:
        self.raw = ""
        self.name = ""
        self.done = False
        self.failed = False
        self._state = "open"
        self._key = ""
        self._value = ValueScanner()
        self._text = ""
        self._waiting = ""

    def take(self, character: str) -> CallPart | None:
        """Take one character and say what it reveals. Not to be called after `done` or `failed`."""
        self.raw += character
        if self._state == "value":
            return self._take_value(character)
        if self._state == "key":
            self._take_key(character)
        elif character not in WHITESPACE:
            self._step(character)
        return None

    def _step(self, character: str) -> None:
        following = {
            ("open", "{"): "first",
            ("first", '"'): "key",
            ("first", "}"): "end",
            ("colon", ":"): "value",
            ("next", ","): "another",
            ("next", "}"): "end",
            ("another", '"'): "key",
        }
        self._state = following.get((self._state, character), "wrong")
        if self._state == "key":
            self._value, self._text = ValueScanner(), character
            self._value.take(character)
        elif self._state == "value":
            self._value, self._text = ValueScanner(), ""
        self._settle()

    def _settle(self) -> None:
        self.failed = self._state == "wrong" or (self._state == "end" and not self.name)
        self.done = self._state == "end" and bool(self.name)

    def _take_key(self, character: str) -> None:
        self._value.take(character)
        self._text += character
        if self._value.done:
            self._key, self._state = str(_loads(self._text)), "colon"

    def _take_value(self, character: str) -> CallPart | None:
        if not self._value.kind and character in WHITESPACE:
            return None
        taken = self._value.take(character)
        if taken:
            self._text += character
        part = self._flow(character) if taken else None
        if self._value.done:
            part = self._complete() or part
            self._state = "next"
            if not taken:
                self._step(character)
        return part

    def _flow(self, character: str) -> CallPart | None:
        """Arguments that need no rewriting are passed on at once."""
        if self._key in self.ARGUMENTS and self.name and self._value.kind == "{":
            return CallPart(arguments=character)
        return None

    def _complete(self) -> CallPart | None:
        value = _loads(self._text)
        if self._key == "name" and isinstance(value, str) and value:
            self.name = value
            return CallPart(name=value, arguments=self._waiting)
        if self._key not in self.ARGUMENTS or (self._value.kind == "{" and self.name):
            return None
        text = value if isinstance(value, str) else self._text
        if self.name:
            return CallPart(arguments=text)
        self._waiting = text
        return None


def _loads(text: str) -> object:
    try:
        return json.loads(text, strict=False)
    except ValueError:
        return None
