"""Calls of tools in a model's text, for each family of chat templates, while the text arrives.

Calls are numbered from 0 and get an id when they begin. What looks like a call and is none comes out as the text it
was; a call that a limit cut off before it had a name comes out as nothing.
"""

import secrets
from collections.abc import Callable, Collection

from actors.model.json_scan import WHITESPACE, CallPart, CallScanner, ValueScanner
from actors.model.reply import CallDelta, Piece, TextBuffer
from actors.model.text import split_at

IdSource = Callable[[], str]


def call_id() -> str:
    """A name for a call that no other call has."""
    return "call_" + secrets.token_hex(12)


class _Calls:
    """Numbers calls and turns what a scanner reveals into pieces."""

    def __init__(self, ids: IdSource) -> None:
        self.count = 0
        self._ids = ids

    def pieces(self, part: CallPart) -> list[Piece]:
        if part.name:
            self.count += 1
            return [Piece(call=CallDelta(self.count - 1, self._ids(), part.name, part.arguments))]
        return [Piece(call=CallDelta(self.count - 1, arguments=part.arguments))]


class HermesParser:
    """<tool_call>{"name": …, "arguments": {…}}</tool_call>, as Hermes, Qwen and troupe-tiny write."""

    START, END = "<tool_call>", "</tool_call>"

    def __init__(self, ids: IdSource = call_id) -> None:
        self._calls = _Calls(ids)
        self._text = TextBuffer()
        self._held = ""
        self._scanner: CallScanner | None = None
        self._closing = False

    @property
    def calls(self) -> int:
        """Calls that have begun."""
        return self._calls.count

    def feed(self, text: str) -> list[Piece]:
        """What is certain after this text."""
        text, self._held = self._held + text, ""
        found: list[Piece] = []
        while text:
            if self._scanner is not None:
                text = self._scan(text, self._scanner, found)
            elif self._closing:
                text = self._close(text)
            else:
                text = self._search(text, found)
        return joined(found)

    def finish(self, *, cut: bool = False) -> list[Piece]:
        """See `ToolParser`."""
        rest = "" if self._closing else self._held
        if self._scanner is not None and not self._scanner.name:
            rest = self.START + self._scanner.raw
        if cut and _begins(self.START, rest, self.calls):
            rest = ""
        return joined([*self._text.add(rest), *self._text.finish()])

    def _search(self, text: str, found: list[Piece]) -> str:
        before, started, rest = split_at(text, self.START)
        found += self._text.add(before)
        if not started:
            self._held = rest
            return ""
        self._scanner = CallScanner()
        return rest

    def _scan(self, text: str, scanner: CallScanner, found: list[Piece]) -> str:
        for place, character in enumerate(text):
            part = scanner.take(character)
            if part is not None:
                self._text.call()
                found += self._calls.pieces(part)
            if scanner.done or scanner.failed:
                self._scanner, self._closing = None, bool(scanner.name)
                if not scanner.name:
                    found += self._text.add(self.START + scanner.raw)
                return text[place + 1 :]
        return ""

    def _close(self, text: str) -> str:
        _, ended, rest = split_at(text, self.END)
        self._closing = not ended
        self._held = "" if ended else rest
        return rest if ended else ""


class LlamaParser:
    """{"name": …, "parameters": {…}} as the whole answer, perhaps after <|python_tag|>, as Llama 3 writes.

    Several calls are separated by semicolons or space. Only names of offered tools make a call, as an answer may be
    JSON.
    """

    TAG = "<|python_tag|>"

    def __init__(self, tools: Collection[str], ids: IdSource = call_id) -> None:
        self._calls = _Calls(ids)
        self._tools = tools
        self._held = ""
        self._scanner: CallScanner | None = None
        self._between = True

    @property
    def calls(self) -> int:
        """Calls that have begun."""
        return self._calls.count

    def feed(self, text: str) -> list[Piece]:
        """What is certain after this text."""
        found: list[Piece] = []
        for place, character in enumerate(text):
            if not self._between:
                found.append(Piece(text=text[place:]))
                break
            if self._scanner is not None:
                self._scan(character, self._scanner, found)
            else:
                self._begin(character, found)
        return joined(found)

    def finish(self, *, cut: bool = False) -> list[Piece]:
        """See `ToolParser`. JSON without the tag may as well have been the answer."""
        rest = self._held
        if self._scanner is not None:
            rest = "" if self._scanner.name in self._tools else rest + self._scanner.raw
        elif self.calls:
            rest = ""
        if cut and (self.calls or _begins(self.TAG, rest.lstrip(WHITESPACE), 0)):
            rest = ""
        return [Piece(text=rest)] if rest else []

    def _begin(self, character: str, found: list[Piece]) -> None:
        self._held += character
        stripped = self._held.lstrip(WHITESPACE + ";")
        if stripped.startswith(self.TAG):
            stripped = stripped[len(self.TAG) :].lstrip(WHITESPACE)
        if stripped == "{":
            self._scanner = CallScanner()
            self._held = self._held[:-1]
            self._scan(character, self._scanner, found)
        elif stripped and not self.TAG.startswith(stripped):
            self._plain(self._held, found)

    def _scan(self, character: str, scanner: CallScanner, found: list[Piece]) -> None:
        part = scanner.take(character)
        if scanner.failed or (scanner.name and scanner.name not in self._tools):
            self._scanner = None
            if scanner.name in self._tools:
                self._held = ""
            else:
                self._plain(self._held + scanner.raw, found)
            return
        if part is not None:
            self._held = ""
            found += self._calls.pieces(part)
        if scanner.done:
            self._scanner = None

    def _plain(self, text: str, found: list[Piece]) -> None:
        """This is no call, and none will follow."""
        self._between, self._held = False, ""
        found.append(Piece(text=text.lstrip(WHITESPACE + ";") if self.calls else text))


class MistralParser:
    """[TOOL_CALLS][{"name": …, "arguments": {…}}, …], or [TOOL_CALLS]name[ARGS]{…} in newer templates."""

    START, ARGUMENTS = "[TOOL_CALLS]", "[ARGS]"

    def __init__(self, ids: IdSource = call_id) -> None:
        self._calls = _Calls(ids)
        self._text = TextBuffer()
        self._held = ""
        self._state = "text"
        self._scanner: CallScanner | None = None
        self._value = ValueScanner()
        self._name = ""

    @property
    def calls(self) -> int:
        """Calls that have begun."""
        return self._calls.count

    def feed(self, text: str) -> list[Piece]:
        """What is certain after this text."""
        text, self._held = self._held + text, ""
        found: list[Piece] = []
        while text:
            text = self._search(text, found) if self._state == "text" else self._take(text, found)
        return joined(found)

    def finish(self, *, cut: bool = False) -> list[Piece]:
        """See `ToolParser`."""
        rest, begun = self._held, _begins(self.START, self._held, self.calls)
        if self._scanner is not None and not self._scanner.name:
            rest, begun = self._scanner.raw, True
        elif self._state == "name":
            rest, begun = self.START + self._name, True
        if cut and begun:
            rest = ""
        return joined([*self._text.add(rest), *self._text.finish()])

    def _search(self, text: str, found: list[Piece]) -> str:
        before, started, rest = split_at(text, self.START)
        found += self._text.add(before)
        self._state = "start" if started else "text"
        if not started:
            self._held = rest
            return ""
        self._text.call()
        return rest

    def _take(self, text: str, found: list[Piece]) -> str:
        character, rest = text[0], text[1:]
        if self._state == "start":
            return self._start(character, rest)
        if self._state == "object" and self._scanner is not None:
            self._object(character, self._scanner, found)
        elif self._state == "list":
            return self._list(character, rest, text)
        elif self._state == "name":
            self._named(character, found)
        else:
            self._arguments(character, found)
        return rest

    def _start(self, character: str, rest: str) -> str:
        if character in WHITESPACE:
            return rest
        self._state = "list" if character in "[{" else "name"
        self._name = ""
        return rest if character == "[" else character + rest

    def _list(self, character: str, rest: str, text: str) -> str:
        if character == "{":
            self._scanner, self._state = CallScanner(), "object"
            return text
        if character not in "," + WHITESPACE:
            self._state = "text"
            return rest if character == "]" else text
        return rest

    def _object(self, character: str, scanner: CallScanner, found: list[Piece]) -> None:
        part = scanner.take(character)
        if part is not None:
            found += self._calls.pieces(part)
        if scanner.done or scanner.failed:
            self._scanner, self._state = None, "list" if scanner.done else "text"
            if not scanner.name:
                found += self._text.add(scanner.raw)

    def _named(self, character: str, found: list[Piece]) -> None:
        self._name += character
        if character == "{":
            name = self._name[:-1].partition("[")[0].strip()
            self._state, self._value = "arguments", ValueScanner()
            self._value.take(character)
            found += self._calls.pieces(CallPart(name=name or "?", arguments=character))

    def _arguments(self, character: str, found: list[Piece]) -> None:
        self._value.take(character)
        found += self._calls.pieces(CallPart(arguments=character))
        if self._value.done:
            self._state = "text"


def _begins(mark: str, text: str, calls: int) -> bool:
    """Whether a text that was cut off begins a call: after another one, or by more than half of the mark."""
    return text.startswith(mark) or (mark.startswith(text) and (calls > 0 or 2 * len(text) > len(mark)))


def joined(pieces: list[Piece]) -> list[Piece]:
    """Neighbouring pieces of the same kind as one."""
    found: list[Piece] = []
    for piece in pieces:
        last = found[-1] if found else None
        merged = _merge(last, piece) if last is not None else None
        if merged is not None:
            found[-1] = merged
        else:
            found.append(piece)
    return found


def _merge(left: Piece, right: Piece) -> Piece | None:
    if left.text and right.text:
        return Piece(text=left.text + right.text)
    if left.call is not None and right.call is not None and not right.call.id and left.call.index == right.call.index:
        call = CallDelta(left.call.index, left.call.id, left.call.name, left.call.arguments + right.call.arguments)
        return Piece(call=call)
    return None
