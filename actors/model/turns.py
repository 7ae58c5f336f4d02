"""Conversations for templates that lack something: tools, the system's role, or call ids of any shape."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from actors.model.template_environment import to_json

Message = dict[str, Any]

TOOL_INSTRUCTIONS = """\
You may call functions. Their signatures are within <tools></tools>:
<tools>
{tools}
</tools>
For each call write one JSON object with the function's name and its arguments within <tool_call></tool_call>:
<tool_call>
{{"name": "…", "arguments": {{…}}}}
</tool_call>"""
"""For templates that know no tools: said in the system turn."""


def tools_in_text(messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]) -> list[Message]:
    """The same conversation for a template that knows neither tools nor their results."""
    plain = [_plain_turn(message) for message in messages]
    if not tools:
        return plain
    signatures = "\n".join(to_json(tool["function"]) for tool in tools)
    instructions = TOOL_INSTRUCTIONS.format(tools=signatures)
    if plain and plain[0]["role"] == "system":
        return [{**plain[0], "content": f"{plain[0]['content']}\n\n{instructions}"}, *plain[1:]]
    return [{"role": "system", "content": instructions}, *plain]


def _plain_turn(message: Message) -> Message:
    if message["role"] == "tool":
        return {"role": "user", "content": f"<tool_response>\n{message['content']}\n</tool_response>"}
    calls = [f"<tool_call>\n{to_json(call['function'])}\n</tool_call>" for call in message.get("tool_calls", [])]
    return {"role": message["role"], "content": "\n".join([*filter(None, [message["content"]]), *calls])}


def without_system(messages: Sequence[Message]) -> list[Message]:
    """The same conversation for a template without that role: the next turn of the user begins with what it said."""
    found: list[Message] = []
    said: list[str] = []
    for message in messages:
        if message["role"] == "system":
            said.append(message["content"])
        elif message["role"] == "user" and said:
            found.append({**message, "content": "\n\n".join([*said, message["content"]])})
            said = []
        else:
            found.append(message)
    return [*found, {"role": "user", "content": "\n\n".join(said)}] if said else found


def with_short_ids(messages: Sequence[Message]) -> list[Message]:
    """The same conversation with call ids of nine letters and digits, which Mistral's templates insist on."""
    found = []
    for message in messages:
        turn = dict(message)
        if "tool_call_id" in turn:
            turn["tool_call_id"] = _short(turn["tool_call_id"])
        if "tool_calls" in turn:
            turn["tool_calls"] = [{**call, "id": _short(call["id"])} for call in turn["tool_calls"]]
        found.append(turn)
    return found


def _short(call_id: str) -> str:
    return hashlib.sha256(call_id.encode()).hexdigest()[:9]
