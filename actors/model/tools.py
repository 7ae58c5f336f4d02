"""How families of chat templates write calls of tools: where they begin, what they look like, who reads them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from actors.model.gbnf import RuleBook, literal
from actors.model.interface import Constraint
from actors.model.reply import ToolParser
from actors.model.schema import SchemaCompiler
from actors.model.tool_parsers import HermesParser, LlamaParser, MistralParser
from bus import RpcError

CALLS_LIMIT = 16
"""Calls in one answer when they are demanded by grammar."""


@dataclass(frozen=True, slots=True)
class ToolFormat:
    """One family's way."""

    name: str
    markers: frozenset[str]
    """Control tokens that belong to the text of a call."""
    trigger: str
    """What a call begins with when the model calls of its own accord."""
    opening: str
    """What precedes the first call when one is demanded, as an expression."""
    call: str
    """A call after the opening: an expression with {name} and {arguments}."""
    separator: str
    """Between two calls, as an expression."""
    closing: str
    """After the last call, as an expression."""

    def parser(self, tools: Sequence[str]) -> ToolParser:
        """Reads calls of these tools out of an answer."""
        if self.name == "llama":
            return LlamaParser(tools)
        return HermesParser() if self.name == "hermes" else MistralParser()


HERMES = ToolFormat(
    name="hermes",
    markers=frozenset({"<tool_call>", "</tool_call>", "<think>", "</think>"}),
    trigger="<tool_call>",
    opening='"<tool_call>"',
    call='space "{{\\"name\\":" space {name} "," space "\\"arguments\\":" space {arguments} "}}" space "</tool_call>"',
    separator='"\\n"? "<tool_call>"',
    closing="",
)
LLAMA = ToolFormat(
    name="llama",
    markers=frozenset({"<|python_tag|>"}),
    trigger='{"name":',
    opening='"{\\"name\\":"',
    call='space {name} "," space "\\"parameters\\":" space {arguments} "}}"',
    separator='"; {\\"name\\":"',
    closing="",
)
MISTRAL = ToolFormat(
    name="mistral",
    markers=frozenset({"[TOOL_CALLS]", "[ARGS]", "[CALL_ID]", "[THINK]", "[/THINK]"}),
    trigger="[TOOL_CALLS]",
    opening='"[TOOL_CALLS]"',
    call='"{{\\"name\\":" space {name} "," space "\\"arguments\\":" space {arguments} "}}"',
    separator='"," space',
    closing='"]"',
)
MISTRAL_NAMED = ToolFormat(
    name="mistral-named",
    markers=MISTRAL.markers,
    trigger="[TOOL_CALLS]",
    opening='"[TOOL_CALLS]"',
    call='{bare} "[ARGS]" {arguments}',
    separator='"[TOOL_CALLS]"',
    closing="",
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


def tool_constraint(
    form: ToolFormat,
    tools: Sequence[dict[str, Any]],
    *,
    required: bool,
    parallel: bool,
    answer: object = None,
) -> Constraint | None:
    """Hold calls to the tools' schemas. `tools` have name, parameters and strict.

    Demanded calls are all the answer there is. Otherwise the model is free until it begins a call, unless `answer` is
    a schema that the answer must satisfy if it is no call. Raises RpcError INVALID_SCHEMA.
    """
    rules = RuleBook()
    rules.primitive("space")
    calls = rules.add("calls", _calls(form, [_call(form, tool, rules) for tool in tools], parallel))
    if required:
        return Constraint(rules.grammar(f"{form.opening} {calls}"))
    if answer is not None:
        text = SchemaCompiler(rules).add(answer, "answer", "response_format.json_schema.schema")
        return Constraint(rules.grammar(f"{form.opening} {calls} | {rules.add('answer', text)}"))
    return Constraint(rules.grammar(calls), form.trigger)


def _calls(form: ToolFormat, calls: list[str], parallel: bool) -> str:
    one = f"({' | '.join(calls)})"
    more = f"({form.separator} {one}){{0,{CALLS_LIMIT - 1}}}" if parallel else ""
    start = '"[" space' if form is MISTRAL else ""
    return " ".join(part for part in (start, one, more, form.closing) if part)


def _call(form: ToolFormat, tool: dict[str, Any], rules: RuleBook) -> str:
    name = str(tool["name"])
    arguments = rules.add(f"{name}-arguments", _arguments(tool, rules))
    text = form.call.format(name=literal(f'"{name}"'), bare=literal(name), arguments=f"{arguments} space")
    return rules.add(f"{name}-call", text)


def _arguments(tool: dict[str, Any], rules: RuleBook) -> str:
    """The tool's schema; one that cannot be held is any object, unless the tool is strict."""
    schema = tool.get("parameters") or {"type": "object", "properties": {}, "additionalProperties": False}
    field = f"tools.{tool['name']}.parameters"
    try:
        SchemaCompiler(RuleBook()).add({"type": "object", **schema}, "trial", field)
    except RpcError:
        if tool.get("strict"):
            raise
        return rules.primitive("object")
    return SchemaCompiler(rules).add({"type": "object", **schema}, f"{tool['name']}-schema", field)
