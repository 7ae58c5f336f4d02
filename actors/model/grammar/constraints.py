"""Constraints as GBNF: schemas, patterns, calls of tools, thoughts that come first.

It is llama.cpp's language, and the one in between for engines that take another (`reader`, `lark`): a constraint means
the same to all of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from actors.model.constraint import PATTERN, SCHEMA, TOOLS, Constraint, Format, GrammarFormat, SchemaFormat, ToolUse
from actors.model.grammar.pattern import text_expression
from actors.model.grammar.rules import GRAMMAR_LIMIT, RuleBook, literal
from actors.model.grammar.schema import SchemaCompiler
from actors.model.tools import CALLS_LIMIT, Hole, Layout, ToolFormat
from bus import RpcError, invalid

DIALECT = "gbnf"
OBEYS = frozenset({SCHEMA, PATTERN, TOOLS, DIALECT})
"""Kinds of constraints that an engine obeys which takes these grammars."""


@dataclass(frozen=True, slots=True)
class Gbnf:
    """A grammar; its start is `root`."""

    text: str
    trigger: str = ""
    """The grammar holds for what follows the first occurrence of this text; empty: from the first token on."""


def compile_constraint(constraint: Constraint) -> Gbnf | None:
    """The grammar of a constraint; None if it holds nothing. Raises RpcError INVALID_SCHEMA with the place at fault."""
    found = _tools(constraint.tools, constraint.answer) if constraint.tools is not None else _answer(constraint.answer)
    if found is not None and constraint.after and not found.trigger:
        # Thoughts come first and are free; the grammar holds for the answer after them.
        if isinstance(constraint.answer, GrammarFormat):
            return Gbnf(found.text, constraint.after)
        text = found.text.replace("root ::=", "constrained ::=", 1)
        return Gbnf(f"root ::= [ \\n]{{0,4}} constrained\n{text}", constraint.after)
    return found


def _answer(answer: Format | None) -> Gbnf | None:
    if answer is None:
        return None
    if isinstance(answer, GrammarFormat):
        if len(answer.grammar) > GRAMMAR_LIMIT:
            message = f"The grammar has {len(answer.grammar):,} characters; {GRAMMAR_LIMIT:,} are allowed."
            raise invalid(message, answer.field, "INVALID_SCHEMA")
        return Gbnf(answer.grammar)
    rules = RuleBook()
    return Gbnf(rules.grammar(_expression(answer, rules)))


def _expression(answer: Format, rules: RuleBook) -> str:
    if isinstance(answer, SchemaFormat):
        return SchemaCompiler(rules).add(answer.schema, "answer", answer.field)
    if isinstance(answer, GrammarFormat):
        message = "A grammar together with tools cannot be held; leave one of them out."
        raise invalid(message, answer.field, "INVALID_SCHEMA")
    try:
        return rules.add("answer", text_expression(answer.pattern))
    except ValueError as problem:
        raise invalid(f"{answer.field}: {problem}", answer.field, "INVALID_SCHEMA") from None


def _tools(use: ToolUse, answer: Format | None) -> Gbnf:
    form, rules = use.form, RuleBook()
    rules.primitive("space")
    calls = rules.add("calls", _calls(form, [_call(form, tool, rules) for tool in use.tools], use.parallel))
    if use.required:
        return Gbnf(rules.grammar(f"{literal(form.trigger)} {calls}"))
    if answer is not None:
        return Gbnf(rules.grammar(f"{literal(form.trigger)} {calls} | {_expression(answer, rules)}"))
    return Gbnf(rules.grammar(calls), form.trigger)


def _calls(form: ToolFormat, calls: Sequence[str], parallel: bool) -> str:
    one = f"({' | '.join(calls)})"
    more = f"({_laid_out(form.separator)} {one}){{0,{CALLS_LIMIT - 1}}}" if parallel else ""
    return " ".join(part for part in (_laid_out(form.start), one, more, _laid_out(form.closing)) if part)


def _call(form: ToolFormat, tool: Mapping[str, Any], rules: RuleBook) -> str:
    name = str(tool["name"])
    arguments = rules.add(f"{name}-arguments", _arguments(tool, rules))
    return rules.add(f"{name}-call", _laid_out(form.call, name, f"{arguments} space"))


def _laid_out(layout: Layout, name: str = "", arguments: str = "") -> str:
    """The expression of a text with holes."""
    holes = {
        Hole.SPACE: "space",
        Hole.LINE: '"\\n"?',
        Hole.NAME: literal(f'"{name}"'),
        Hole.BARE_NAME: literal(name),
        Hole.ARGUMENTS: arguments,
    }
    return " ".join(literal(part) if isinstance(part, str) else holes[part] for part in layout)


def _arguments(tool: Mapping[str, Any], rules: RuleBook) -> str:
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
