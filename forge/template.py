"""The chat template: ChatML turns with tools in the manner of Hermes and Qwen.

The model file carries `CHAT_TEMPLATE`; training renders its conversations with the same text, so that what the model
saw and what an engine sends it cannot drift apart.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

TURN_START = "<|im_start|>"
TURN_END = "<|im_end|>"
END_OF_TEXT = "<|endoftext|>"

CONTROL_TOKENS = (END_OF_TEXT, TURN_START, TURN_END)
"""Never part of an answer's text. Their ids are their places here."""

MARKUP_TOKENS = ("<tools>", "</tools>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")
"""One token each, and yet text: whoever parses an answer must see them."""

Message = Mapping[str, Any]

CHAT_TEMPLATE = """\
{%- set system = messages[0].content if messages and messages[0].role == 'system' else '' -%}
{%- if system or tools -%}
<|im_start|>system
{% if system %}{{ system }}{% endif %}
{%- if system and tools %}{{ '\\n' }}{% endif %}
{%- if tools -%}
<tools>
{% for tool in tools %}
{%- set function = tool.function if tool.function is defined else tool %}
{%- set parameters = function.parameters if function.parameters else {} %}
{%- set properties = parameters.properties if parameters.properties else {} -%}
{"name": {{ function.name | tojson }}, "description": {{ (function.description or '') | tojson }}, "parameters": {
{%- for name in properties -%}
{{ name | tojson }}: "{{ properties[name].type or 'string' }}"{% if not loop.last %}, {% endif %}
{%- endfor %}}}
{% endfor %}</tools>
{%- endif %}<|im_end|>
{% endif %}
{%- for message in messages %}
{%- if message.role == 'tool' -%}
<|im_start|>user
<tool_response>
{{ message.content }}
</tool_response><|im_end|>
{% elif message.role != 'system' or not loop.first -%}
<|im_start|>{{ message.role }}
{% if message.content %}{{ message.content }}{% endif %}
{%- for call in message.tool_calls or [] %}
{%- set function = call.function if call.function is defined else call %}
{%- if message.content or not loop.first %}{{ '\\n' }}{% endif -%}
<tool_call>{{ '\\n' }}
{%- set arguments = function.arguments if function.arguments is string else function.arguments | tojson -%}
{"name": {{ function.name | tojson }}, "arguments": {{ arguments }}}
</tool_call>
{%- endfor %}<|im_end|>
{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif -%}
"""


@cache
def _compiled() -> Any:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    return environment.from_string(CHAT_TEMPLATE)


def render(messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] = (), *, prompt: bool = True) -> str:
    """The text of a conversation; with `prompt`, it ends where the assistant is to speak."""
    return str(_compiled().render(messages=messages, tools=list(tools), add_generation_prompt=prompt))


def tool_call(name: str, arguments: Mapping[str, Any]) -> str:
    """An assistant's turn that calls a tool, as the template writes it."""
    call = json.dumps({"name": name, "arguments": dict(arguments)}, ensure_ascii=False)
    return f"<tool_call>\n{call}\n</tool_call>"
