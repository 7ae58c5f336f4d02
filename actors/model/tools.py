"""How families of chat templates write calls of tools: where they begin, what they look like, who reads them."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from actors.model.reply import ToolParser
from actors.model.tool_parsers import HermesParser, LlamaParser, MistralParser

CALLS_LIMIT = 16
"""Calls in one answer when they are demanded."""


class Hole(enum.Enum):
    """A place in the text of a call."""

    SPACE = enum.auto()
    """Spaces and line ends, or none."""
    LINE = enum.auto()
    """A line end, or none."""
    NAME = enum.auto()
    """The tool's name as a JSON string."""
    BARE_NAME = enum.auto()
    """The tool's name as it is."""
    ARGUMENTS = enum.auto()
    """The arguments, a JSON object."""


Layout = tuple[str | Hole, ...]
"""A text with holes."""

SPACE, LINE, NAME, BARE_NAME, ARGUMENTS = Hole


@dataclass(frozen=True, slots=True)
class ToolFormat:
    """One family's way: the trigger, then start, calls with separators between them, and closing."""

    name: str
    markers: frozenset[str]
    """Control tokens that belong to the text of a call."""
    trigger: str
    """What an answer with calls begins with; a model that writes it has decided to call."""
    call: Layout
    """One call."""
    separator: Layout
    """Between two calls."""
    start: Layout = ()
    """Before the first call."""
    closing: Layout = ()
    """After the last call."""

    def parser(self, tools: Sequence[str]) -> ToolParser:
        """Reads calls of these tools out of an answer."""
        if self.name == "llama":
            return LlamaParser(tools)
        return HermesParser() if self.name == "hermes" else MistralParser()


HERMES = ToolFormat(
    name="hermes",
    markers=frozenset({"<tool_call>", "</tool_call>", "<think>", "</think>"}),
    trigger="<tool_call>",
    call=(SPACE, '{"name":', SPACE, NAME, ",", SPACE, '"arguments":', SPACE, ARGUMENTS, "}", SPACE, "</tool_call>"),
    separator=(LINE, "<tool_call>"),
)
LLAMA = ToolFormat(
    name="llama",
    markers=frozenset({"<|python_tag|>"}),
    trigger='{"name":',
    call=(SPACE, NAME, ",", SPACE, '"parameters":', SPACE, ARGUMENTS, "}"),
    separator=('; {"name":',),
)
MISTRAL = ToolFormat(
    name="mistral",
    markers=frozenset({"[TOOL_CALLS]", "[ARGS]", "[CALL_ID]", "[THINK]", "[/THINK]"}),
    trigger="[TOOL_CALLS]",
    start=("[", SPACE),
    call=('{"name":', SPACE, NAME, ",", SPACE, '"arguments":', SPACE, ARGUMENTS, "}"),
    separator=(",", SPACE),
    closing=("]",),
)
MISTRAL_NAMED = ToolFormat(
    name="mistral-named",
    markers=MISTRAL.markers,
    trigger="[TOOL_CALLS]",
    call=(BARE_NAME, "[ARGS]", ARGUMENTS),
    separator=("[TOOL_CALLS]",),
)


def detect_format(template: str) -> ToolFormat:
    """The family that a chat template belongs to; Hermes' way where it says nothing about tools."""
    if "[TOOL_CALLS]" in template:
        return MISTRAL_NAMED if "[ARGS]" in template else MISTRAL
    if "<tool_call>" in template:
        return HERMES
    if "<|python_tag|>" in template or '"parameters"' in template:
        return LLAMA
    return HERMES
