"""Requests of the contract, checked field by field, as the engine's words.

The limits are those of the .proto comments.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from google.protobuf.struct_pb2 import Struct

from actors.model.constraint import Format, GrammarFormat, PatternFormat, SchemaFormat
from actors.model.interface import EngineInfo, SamplingSettings
from bus import Code, RpcError, invalid
from troupe.chat.v1 import Message, ResponseFormat, Role, Sampling, Tool, ToolCall, ToolChoice

ROLES = {
    Role.ROLE_SYSTEM: "system",
    Role.ROLE_USER: "user",
    Role.ROLE_ASSISTANT: "assistant",
    Role.ROLE_TOOL: "tool",
}
TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
RANGES: Mapping[str, tuple[float, float]] = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "top_k": (0, 1 << 30),
    "min_p": (0, 1),
    "frequency_penalty": (-2, 2),
    "presence_penalty": (-2, 2),
    "repeat_penalty": (0, 2),
}
POSITIVE = ("top_p", "repeat_penalty")
"""Zero is excluded."""

PATTERN_LIMIT = 4096
GRAMMAR_LIMIT = 256 * 1024
"""Characters of a pattern and of a grammar."""

MAX_DEPTH = 32
"""Levels of a call's arguments; what is nested deeper is shown to the model as it is, as text."""


def check_count(field: str, count: int, low: int, high: int) -> None:
    """Raises RpcError INVALID_ARGUMENT if a count is out of range."""
    if not low <= count <= high:
        raise invalid(f"{field} must be {low} to {high}; this request has {count}.", field)


def conversation(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Turns as chat templates know them."""
    check_count("messages", len(messages), 1, 4096)
    return [_turn(message, f"messages[{place}]") for place, message in enumerate(messages)]


def _turn(message: Message, field: str) -> dict[str, Any]:
    if message.role not in ROLES:
        raise invalid(f"{field}.role must say who speaks: system, user, assistant or tool.", f"{field}.role")
    check_count(f"{field}.name", len(message.name), 0, 64)
    turn: dict[str, Any] = {"role": ROLES[message.role], "content": _text(message, field)}
    if message.tool_calls and message.role != Role.ROLE_ASSISTANT:
        raise invalid(f"{field}.tool_calls belongs to turns of the assistant.", f"{field}.tool_calls")
    if message.tool_calls:
        turn["tool_calls"] = [_call(call) for call in message.tool_calls]
    optional = {"name": message.name, "tool_call_id": message.tool_call_id, "reasoning_content": message.reasoning}
    return turn | {key: value for key, value in optional.items() if value}


def _text(message: Message, field: str) -> str:
    found = []
    for place, part in enumerate(message.parts):
        kind = part.WhichOneof("content")
        if kind not in (None, "text"):
            text = (
                f"{field}.parts[{place}] is {kind}; this model reads text only. Ask a model that reads {kind} content."
            )
            raise RpcError(Code.INVALID_ARGUMENT, text, reason="UNSUPPORTED_CONTENT", field=f"{field}.parts[{place}]")
        found.append(part.text)
    return "".join(found)


def _call(call: ToolCall) -> dict[str, Any]:
    """A call as templates know it; arguments that are no object, such as those that a limit cut off, as text."""
    try:
        arguments = json.loads(call.arguments or "{}")
    except (ValueError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict) or _deeper_than(arguments, MAX_DEPTH):
        arguments = call.arguments
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _deeper_than(value: Any, levels: int) -> bool:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels < 0 or any(_deeper_than(child, levels - 1) for child in children)


def offered_tools(tools: Sequence[Tool], choice: ToolChoice) -> list[dict[str, Any]]:
    """Tools that may be called, with name, description, parameters and strict."""
    check_count("tools", len(tools), 0, 128)
    found: dict[str, dict[str, Any]] = {}
    for place, tool in enumerate(tools):
        if not TOOL_NAME.fullmatch(tool.name):
            raise invalid("A tool's name has 1 to 64 of the characters A-Z a-z 0-9 _ -.", f"tools[{place}].name")
        if tool.name in found:
            raise invalid(f"Two tools have the name {tool.name}.", f"tools[{place}].name")
        parameters = plain(tool.parameters) if tool.HasField("parameters") else None
        found[tool.name] = {"name": tool.name, "description": tool.description, "parameters": parameters}
        found[tool.name]["strict"] = tool.strict
    return _chosen(found, choice)


def _chosen(tools: Mapping[str, dict[str, Any]], choice: ToolChoice) -> list[dict[str, Any]]:
    for name in choice.names:
        if name not in tools:
            raise invalid(f"tool_choice names {name}, which is not among the tools.", "tool_choice.names")
    if choice.mode == ToolChoice.Mode.MODE_REQUIRED and not tools:
        raise invalid("tool_choice demands a call, but there are no tools.", "tool_choice.mode")
    if choice.mode == ToolChoice.Mode.MODE_NONE:
        return []
    return [tool for name, tool in tools.items() if not choice.names or name in choice.names]


def template_tools(tools: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Tools as chat templates know them."""
    functions = [{key: tool[key] for key in ("name", "description", "parameters")} for tool in tools]
    empty = {"type": "object", "properties": {}}
    return [
        {"type": "function", "function": {**function, "parameters": function["parameters"] or empty}}
        for function in functions
    ]


def answer_format(form: ResponseFormat) -> Format | None:
    """What the answer must look like; None: any text."""
    kind = form.WhichOneof("format")
    if kind == "json":
        return SchemaFormat({"type": "object"}, "response_format.json")
    if kind == "pattern":
        check_count("response_format.pattern.pattern", len(form.pattern.pattern), 1, PATTERN_LIMIT)
        return PatternFormat(form.pattern.pattern, "response_format.pattern.pattern")
    if kind == "grammar":
        check_count("response_format.grammar.dialect", len(form.grammar.dialect), 1, 32)
        check_count("response_format.grammar.grammar", len(form.grammar.grammar), 1, GRAMMAR_LIMIT)
        return GrammarFormat(form.grammar.dialect, form.grammar.grammar, "response_format.grammar.grammar")
    if kind != "json_schema":
        return None
    check_count("response_format.json_schema.name", len(form.json_schema.name), 0, 64)
    if not form.json_schema.HasField("schema"):
        raise invalid(
            "response_format.json_schema needs a schema.", "response_format.json_schema.schema", "INVALID_SCHEMA"
        )
    return SchemaFormat(plain(form.json_schema.schema), "response_format.json_schema.schema")


def sampling_settings(sampling: Sampling, info: EngineInfo) -> SamplingSettings:
    """How tokens are chosen; absent fields keep the model's defaults."""
    given: dict[str, Any] = {}
    for name, (low, high) in RANGES.items():
        if sampling.HasField(name):
            value = getattr(sampling, name)
            if not low <= value <= high or math.isnan(value) or (value == 0 and name in POSITIVE):
                bound = "over 0" if name in POSITIVE else f"{low:g}"
                raise invalid(f"sampling.{name} is {value:g}; it must be {bound} to {high:g}.", f"sampling.{name}")
            given[name] = value
    if sampling.HasField("seed"):
        given["seed"] = sampling.seed
    return replace(info.sampling, **given, logit_bias=_bias(sampling.logit_bias, info.vocabulary))


def _bias(bias: Mapping[int, float], vocabulary: int) -> dict[int, float]:
    check_count("sampling.logit_bias", len(bias), 0, 1024)
    for token, value in bias.items():
        if not 0 <= token < vocabulary:
            message = f"sampling.logit_bias names token {token}; this model's tokens are 0 to {vocabulary - 1}."
            raise invalid(message, "sampling.logit_bias")
        if not -100 <= value <= 100:
            raise invalid(f"sampling.logit_bias for token {token} must be -100 to 100.", "sampling.logit_bias")
    return dict(bias)


def stop_strings(stops: Sequence[str]) -> tuple[str, ...]:
    """Texts before which the answer ends."""
    check_count("stop", len(stops), 0, 16)
    for place, stop in enumerate(stops):
        if not 1 <= len(stop.encode()) <= 128:
            raise invalid(f"stop[{place}] must have 1 to 128 bytes.", f"stop[{place}]")
    return tuple(stops)


def alternatives(logprobs: bool, top: int) -> int | None:
    """How many alternatives come with each token; None: no log probabilities."""
    check_count("top_logprobs", top, 0, 20)
    if top and not logprobs:
        raise invalid("top_logprobs needs logprobs.", "top_logprobs")
    return top if logprobs else None


def plain(value: Struct) -> dict[str, Any]:
    """A Struct as dicts and lists; whole numbers as int, and keys in a fixed order, which the wire does not keep.

    The order is that of schemas as people write them, so that the same request makes the same prompt.
    """
    return {key: _plain(value.fields[key]) for key in sorted(value.fields, key=_key_order)}


KEY_ORDER = ("name", "title", "description", "type", "enum", "const", "properties", "required", "items")


def _key_order(key: str) -> tuple[int, str]:
    return (KEY_ORDER.index(key) if key in KEY_ORDER else len(KEY_ORDER), key)


def _plain(value: Any) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return plain(value.struct_value)
    if kind == "list_value":
        return [_plain(each) for each in value.list_value.values]
    if kind == "number_value":
        number = value.number_value
        return int(number) if math.isfinite(number) and number == int(number) else number
    return None if kind in (None, "null_value") else getattr(value, kind)
