"""What a model writes, sorted while it is written: thinking, text for the reader, calls of tools."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from actors.model.json_scan import WHITESPACE
from actors.model.text import split_at

THINK_START, THINK_END = "<think>", "</think>"


@dataclass(frozen=True, slots=True)
class CallDelta:
    """More of a tool call. Id and name come with the first delta of an index."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a reply: exactly one of these is set."""

    text: str = ""
    reasoning: str = ""
    call: CallDelta | None = None


class ToolParser(Protocol):
    """Finds calls in the text of one family of chat templates."""

    @property
    def calls(self) -> int:
        """Calls that have begun."""

    def feed(self, text: str) -> list[Piece]:
        """What is certain after this text."""

    def finish(self, *, cut: bool = False) -> list[Piece]:
        """The rest, now that nothing follows. cut: a limit ended it, so that a call may have been about to begin."""


class ReasoningSplitter:
    """Separates what stands between <think> and </think> at the beginning of an answer.

    `open_already`: the prompt ends with <think>, so that the answer begins inside.
    """

    def __init__(self, *, open_already: bool = False) -> None:
        self._held = ""
        self._state = "thinking" if open_already else "start"
        self._thought = False

    @property
    def thinking(self) -> bool:
        """Whether the model is thinking now."""
        return self._state == "thinking"

    def feed(self, text: str) -> tuple[str, str]:
        """Reasoning and answer that are certain after this text."""
        text = self._held + text
        self._held = ""
        if self._state == "start":
            text = self._begin(text)
        if self._state == "thinking":
            return self._think(text)
        if self._state == "gap":
            text = text.lstrip()
            self._state = "answer" if text else "gap"
        return "", text

    def finish(self) -> tuple[str, str]:
        """The rest, now that nothing follows."""
        held, self._held = self._held, ""
        return (held, "") if self.thinking else ("", held)

    def _begin(self, text: str) -> str:
        stripped = text.lstrip()
        if stripped.startswith(THINK_START):
            self._state = "thinking"
            return stripped[len(THINK_START) :]
        if THINK_START.startswith(stripped):
            self._held = text
            return ""
        self._state = "answer"
        return text

    def _think(self, text: str) -> tuple[str, str]:
        if not self._thought:
            text = text.lstrip("\n")
            self._thought = bool(text)
        reasoning, ended, rest = split_at(text, THINK_END)
        if not ended:
            self._held = rest
            return reasoning, ""
        rest = rest.lstrip()
        self._state = "answer" if rest else "gap"
        return reasoning, rest


class ReplyParser:
    """Sorts the text of one choice. How the text is cut into pieces changes nothing but the cuts of what comes out."""

    def __init__(
        self,
        *,
        thinks: bool = False,
        thinking: bool = False,
        tools: ToolParser | None = None,
        calls_only: bool = False,
    ) -> None:
        """`thinks`: the model may open with <think>; `thinking`: it has done so in the prompt already.

        `calls_only`: the answer is held to calls, so that whatever is none of one is their layout and never content.
        """
        self._calls_only = calls_only
        self._splitter = ReasoningSplitter(open_already=thinking) if thinks or thinking else None
        self._tools = tools

    @property
    def thinking(self) -> bool:
        """Whether the model is thinking now."""
        return self._splitter is not None and self._splitter.thinking

    @property
    def called(self) -> bool:
        """Whether a call has begun."""
        return self._tools is not None and self._tools.calls > 0

    def feed(self, text: str) -> list[Piece]:
        """What is certain after this text."""
        reasoning, answer = self._splitter.feed(text) if self._splitter is not None else ("", text)
        return [*_reasoning(reasoning), *self._answer(answer)]

    def finish(self, *, cut: bool = False) -> list[Piece]:
        """The rest, now that nothing follows. `cut`: a limit ended it."""
        reasoning, answer = self._splitter.finish() if self._splitter is not None else ("", "")
        before = self._answer(answer)
        rest = self._tools.finish(cut=cut) if self._tools is not None else []
        return [*_reasoning(reasoning), *before, *self._content(rest)]

    def _answer(self, text: str) -> Iterable[Piece]:
        if not text:
            return []
        return self._content(self._tools.feed(text) if self._tools is not None else [Piece(text=text)])

    def _content(self, pieces: Iterable[Piece]) -> Iterable[Piece]:
        return [piece for piece in pieces if piece.call is not None] if self._calls_only else pieces


def _reasoning(text: str) -> list[Piece]:
    return [Piece(reasoning=text)] if text else []


class TextBuffer:
    """Text between calls: space before a call and between calls is layout, not content."""

    def __init__(self) -> None:
        self._space = ""
        self._after_call = False

    def add(self, text: str) -> list[Piece]:
        """Text that is no call."""
        text = self._space + text
        if self._after_call:
            text = text.lstrip(WHITESPACE)
        shown = text.rstrip(WHITESPACE)
        self._space = text[len(shown) :]
        self._after_call = self._after_call and not shown
        return [Piece(text=shown)] if shown else []

    def call(self) -> None:
        """A call comes now."""
        self._space, self._after_call = "", True

    def finish(self) -> list[Piece]:
        """The text has ended."""
        space, self._space = self._space, ""
        return [Piece(text=space)] if space and not self._after_call else []
