"""What a text must look like, in no engine's own words: a schema, a pattern, calls of tools.

How it is obeyed is each engine's affair: by a grammar, by masks of tokens, by a peer that takes schemas.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from actors.model.tools import ToolFormat

SCHEMA, PATTERN, TOOLS = "schema", "pattern", "tools"
"""Kinds of constraints, as `EngineInfo.obeys` has them. A grammar's kind is the name of its dialect, as "gbnf"."""


@dataclass(frozen=True, slots=True)
class SchemaFormat:
    """JSON that satisfies a JSON schema."""

    schema: Any
    """The schema as JSON has it: a dict, or True for any value."""
    field: str = "schema"
    """Where the request has it, for errors."""
    kind = SCHEMA


@dataclass(frozen=True, slots=True)
class PatternFormat:
    """Text that a regular expression matches as a whole."""

    pattern: str
    field: str = "pattern"
    """Where the request has it, for errors."""
    kind = PATTERN


@dataclass(frozen=True, slots=True)
class GrammarFormat:
    """Text of a grammar that the caller wrote for one kind of engine."""

    dialect: str
    """For example "gbnf"."""
    grammar: str
    field: str = "grammar"
    """Where the request has it, for errors."""

    @property
    def kind(self) -> str:
        """The dialect."""
        return self.dialect


Format = SchemaFormat | PatternFormat | GrammarFormat


@dataclass(frozen=True, slots=True)
class ToolUse:
    """Calls of tools, written as this model's template has them."""

    form: ToolFormat
    tools: Sequence[Mapping[str, Any]]
    """What may be called: name, parameters (a JSON schema or None) and strict."""
    required: bool
    """Calls are all the answer there is; otherwise the model is free until it begins one."""
    parallel: bool
    """Several calls in one answer are allowed."""


@dataclass(frozen=True, slots=True)
class Constraint:
    """What the text must look like. With both, the answer is either in the format or made of calls."""

    answer: Format | None = None
    tools: ToolUse | None = None
    after: str = ""
    """It holds for what follows the first occurrence of this text, as the end of thoughts; empty: from the start."""

    @property
    def kinds(self) -> frozenset[str]:
        """What an engine must be able to obey for it."""
        answer = {self.answer.kind} if self.answer is not None else set()
        return frozenset(answer | ({TOOLS} if self.tools is not None else set()))
