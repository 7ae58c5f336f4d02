"""From a conversation to tokens: the model file's own chat template, in a sandbox.

What people write is text, even where it spells a control token: such places are fenced before the template runs and
tokenized without control tokens, so that nobody ends a turn or speaks as the system by typing its token.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2

from actors.model.interface import Engine, EngineInfo
from actors.model.reply import THINK_END, THINK_START
from actors.model.template_environment import environment
from actors.model.tools import HERMES, MISTRAL, MISTRAL_NAMED, ToolFormat, detect_format
from actors.model.turns import Message, tools_in_text, with_short_ids, without_system
from bus import Code, RpcError, invalid

FENCE_START, FENCE_END = "\ue0f0", "\ue0f1"
"""Private-use characters round a spelled control token; taken out of what people write."""

MARK = re.compile(r"<\|[A-Za-z0-9_]{2,32}\|>|<(?:start|end)_of_turn>")
"""How templates write the bounds of turns."""
MARKS_LIMIT = 8

RESERVED = frozenset({"messages", "tools", "add_generation_prompt", "bos_token", "eos_token", "raise_exception"})
"""Variables that a caller may not set."""


TEMPLATE_ERRORS = (jinja2.TemplateError, TypeError, ValueError, KeyError, ArithmeticError)
"""What running a template may raise."""


class ChatTemplate:
    """A model's template, compiled once."""

    def __init__(self, info: EngineInfo) -> None:
        """Raises RpcError MODEL_LOAD_FAILED for a template that is no Jinja2. `info` has one."""
        source = info.template
        try:
            self._template = environment().from_string(source)
        except jinja2.TemplateError as problem:
            message = f"The model file's chat template cannot be compiled: {problem}."
            raise RpcError(Code.FAILED_PRECONDITION, message, reason="MODEL_LOAD_FAILED") from problem
        self._info = info
        self._knows_tools = re.search(r"\btools\b", source) is not None
        self._controls = _any_of(info.control_texts)
        self.tool_format: ToolFormat = detect_format(source) if self._knows_tools else HERMES
        self._knows_system = self._shows_system()
        self.thinks = THINK_START in source or THINK_END in source
        self.marks = self._marks()
        """Bounds of turns that the template writes; see `turn_marks`."""

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] = (),
        variables: Mapping[str, Any] | None = None,
    ) -> str:
        """The prompt's text, with spelled control tokens fenced.

        Raises RpcError INVALID_ARGUMENT with what is wrong.
        """
        taken = RESERVED & (variables or {}).keys()
        if taken:
            raise invalid(f"The template variable {min(taken)} is set by Troupe itself.", "template_variables")
        turns: list[Message] = [self._fenced(message) for message in messages]
        offered = [self._fenced(tool) for tool in tools]
        if not self._knows_tools:
            turns, offered = tools_in_text(turns, offered), []
        if not self._knows_system:
            turns = without_system(turns)
        if self.tool_format in (MISTRAL, MISTRAL_NAMED):
            turns = with_short_ids(turns)
        try:
            return self._run(turns, offered, variables or {})
        except TEMPLATE_ERRORS as problem:
            message = f"The model's chat template refuses this conversation: {problem}"
            raise invalid(message, "messages") from problem

    def _run(self, messages: list[Message], tools: list[Any], variables: Mapping[str, Any]) -> str:
        given = {"bos_token": self._info.begin_text, "eos_token": self._info.end_text, **variables}
        given |= {"messages": messages, "add_generation_prompt": True}
        if tools:
            return self._template.render(tools=tools, **given)
        try:
            return self._template.render(tools=None, **given)
        except TypeError:
            # Some templates are written for conversations with tools only, and count them.
            return self._template.render(tools=[], **given)

    def _shows_system(self) -> bool:
        """Whether the template has a place for what the system says."""
        probe = [{"role": "system", "content": "troupe-probe"}, {"role": "user", "content": "Hi"}]
        try:
            return "troupe-probe" in self._run(probe, [], {})
        except TEMPLATE_ERRORS:
            return False

    def _marks(self) -> tuple[str, ...]:
        probe = [{"role": role, "content": "Hi"} for role in ("user", "assistant", "user")]
        try:
            return turn_marks(self._run(probe, [], {}))
        except TEMPLATE_ERRORS:
            return ()

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


def turn_marks(text: str) -> tuple[str, ...]:
    """Bounds of turns that a text has, at most 8.

    A model that writes one as text has begun somebody else's turn: the answer ends before it.
    """
    return tuple(dict.fromkeys(MARK.findall(text)))[:MARKS_LIMIT]


def starts_thinking(prompt: str) -> bool:
    """Whether the prompt ends within <think>, so that the answer begins with thoughts."""
    return prompt.rstrip().endswith(THINK_START)


def _any_of(texts: frozenset[str]) -> re.Pattern[str] | None:
    longest_first = sorted((text for text in texts if len(text) > 1), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first))) if longest_first else None
