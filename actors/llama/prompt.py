"""From a conversation to tokens: the model file's own chat template, in a sandbox.

What people write is text, even where it spells a control token: such places are fenced before the template runs and
tokenized without control tokens, so that nobody ends a turn or speaks as the system by typing its token.
"""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import jinja2
import jinja2.sandbox
from jinja2.ext import loopcontrols

from actors.llama.interface import Engine, EngineInfo
from actors.llama.reply import THINK_END, THINK_START
from actors.llama.tools import HERMES, ToolFormat, detect_format
from bus import Code, RpcError, invalid

FENCE_START, FENCE_END = "\ue0f0", "\ue0f1"
"""Private-use characters round a spelled control token; taken out of what people write."""

FALLBACK_TEMPLATE = """\
{%- for message in messages -%}
<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endfor -%}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif -%}
"""
"""ChatML, for files without a template."""

RESERVED = frozenset({"messages", "tools", "add_generation_prompt", "bos_token", "eos_token", "raise_exception"})
"""Variables that a caller may not set."""

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

Message = dict[str, Any]


class ChatTemplate:
    """A model's template, compiled once."""

    def __init__(self, info: EngineInfo) -> None:
        """Raises RpcError MODEL_LOAD_FAILED for a template that is no Jinja2."""
        source = info.template or FALLBACK_TEMPLATE
        environment = _environment()
        try:
            self._template = environment.from_string(source)
        except jinja2.TemplateError as problem:
            message = f"The model file's chat template cannot be compiled: {problem}."
            raise RpcError(Code.FAILED_PRECONDITION, message, reason="MODEL_LOAD_FAILED") from problem
        self._info = info
        self._knows_tools = re.search(r"\btools\b", source) is not None
        self._controls = _any_of(info.control_texts)
        self.tool_format: ToolFormat = detect_format(source) if self._knows_tools else HERMES
        self.thinks = THINK_START in source or THINK_END in source

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] = (),
        variables: Mapping[str, Any] | None = None,
    ) -> str:
        """The prompt's text, with spelled control tokens fenced.

        Raises RpcError INVALID_ARGUMENT with what is wrong.
        """
        messages = [self._fenced(message) for message in messages]
        tools = [self._fenced(tool) for tool in tools]
        if not self._knows_tools:
            messages, tools = tools_in_text(messages, tools), []
        taken = RESERVED & (variables or {}).keys()
        if taken:
            raise invalid(f"The template variable {min(taken)} is set by Troupe itself.", "template_variables")
        try:
            return self._template.render(
                **(variables or {}),
                messages=messages,
                tools=tools or None,
                add_generation_prompt=True,
                bos_token=self._info.begin_text,
                eos_token=self._info.end_text,
            )
        except (jinja2.TemplateError, TypeError, ValueError, KeyError, ArithmeticError) as problem:
            message = f"The model's chat template refuses this conversation: {problem}"
            raise invalid(message, "messages") from problem

    def tokenize(self, text: str, engine: Engine) -> list[int]:
        """Tokens of a rendered prompt; what is fenced becomes plain text."""
        begin = self._info.begins and not text.startswith(self._info.begin_text)
        tokens: list[int] = []
        for place, part in enumerate(re.split(f"{FENCE_START}(.*?){FENCE_END}", text, flags=re.DOTALL)):
            if part or place == 0:
                tokens += engine.tokenize(part, control=place % 2 == 0, begin=begin and place == 0)
        return tokens

    def _fenced(self, value: Any) -> Any:
        if isinstance(value, str):
            value = value.replace(FENCE_START, "").replace(FENCE_END, "")
            return self._controls.sub(f"{FENCE_START}\\g<0>{FENCE_END}", value) if self._controls else value
        if isinstance(value, Mapping):
            return {self._fenced(key): self._fenced(each) for key, each in value.items()}
        if isinstance(value, Sequence):
            return [self._fenced(each) for each in value]
        return value


def starts_thinking(prompt: str) -> bool:
    """Whether the prompt ends within <think>, so that the answer begins with thoughts."""
    return prompt.rstrip().endswith(THINK_START)


def tools_in_text(messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]) -> list[Message]:
    """The same conversation for a template that knows neither tools nor their results."""
    plain = [_plain_turn(message) for message in messages]
    if not tools:
        return plain
    signatures = "\n".join(_to_json(tool["function"]) for tool in tools)
    instructions = TOOL_INSTRUCTIONS.format(tools=signatures)
    if plain and plain[0]["role"] == "system":
        return [{**plain[0], "content": f"{plain[0]['content']}\n\n{instructions}"}, *plain[1:]]
    return [{"role": "system", "content": instructions}, *plain]


def _plain_turn(message: Message) -> Message:
    if message["role"] == "tool":
        return {"role": "user", "content": f"<tool_response>\n{message['content']}\n</tool_response>"}
    calls = [f"<tool_call>\n{_to_json(call['function'])}\n</tool_call>" for call in message.get("tool_calls", [])]
    return {"role": message["role"], "content": "\n".join([*filter(None, [message["content"]]), *calls])}


def _environment() -> jinja2.sandbox.ImmutableSandboxedEnvironment:
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    return environment


def _to_json(
    value: Any,
    ensure_ascii: bool = False,  # noqa: FBT002  templates pass it by place
    indent: int | None = None,
    separators: Any = None,
    sort_keys: bool = False,  # noqa: FBT002  as above
) -> str:
    """What chat templates expect of `tojson`: no escapes for HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)


def _strftime_now(form: str) -> str:
    return datetime.now().astimezone().strftime(form)


def _any_of(texts: frozenset[str]) -> re.Pattern[str] | None:
    longest_first = sorted((text for text in texts if len(text) > 1), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first))) if longest_first else None
