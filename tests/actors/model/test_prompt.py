"""From conversations to tokens: the file's own template, in a sandbox, with people's text as text."""

from typing import Any

import pytest

from actors.model.interface import EngineInfo
from actors.model.prompt import FENCE_END, FENCE_START, ChatTemplate, starts_thinking, turn_marks
from actors.model.tools import HERMES, LLAMA, MISTRAL, MISTRAL_NAMED
from bus import RpcError

HELLO = [{"role": "user", "content": "Xin chào"}]
CLOCK = {
    "type": "function",
    "function": {"name": "clock", "description": "Tells the time.", "parameters": {"type": "object"}},
}


CHATML = """\
{%- for message in messages -%}
<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endfor -%}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif -%}
"""


def template(source: str = CHATML, **info: Any) -> ChatTemplate:
    given: dict[str, Any] = {
        "context_tokens": 100,
        "embedding_tokens": 100,
        "embedding_dimensions": 8,
        "vocabulary": 100,
        "generates": True,
        "begin_text": "<s>",
        "end_text": "</s>",
        "begins": False,
        "control_texts": frozenset({"<s>", "</s>", "<|im_end|>"}),
        "infill": None,
    }
    return ChatTemplate(EngineInfo(template=source, **{**given, **info}))


def test_the_marks_of_turns_are_those_that_the_template_writes() -> None:
    assert template().marks == ("<|im_start|>", "<|im_end|>")
    assert template("{{ messages | length }}").marks == ()
    assert template("{{ raise_exception('no') }}").marks == ()
    assert turn_marks("<start_of_turn>user <b> <| |> <|ab|>" * 2) == ("<start_of_turn>", "<|ab|>")
    assert len(turn_marks("".join(f"<|mark{number}|>" for number in range(99)))) == 8


def test_a_template_has_what_templates_expect() -> None:
    source = "{{ bos_token }}{{ messages | tojson }}{{ strftime_now('%Y') | length }}{{ add_generation_prompt }}"
    assert template(source).render(HELLO) == '<s>[{"role": "user", "content": "Xin chào"}]4True'


def test_callers_may_set_variables_but_not_those_of_troupe() -> None:
    source = "{{ enable_thinking }}"
    assert template(source).render(HELLO, variables={"enable_thinking": False}) == "False"
    with pytest.raises(RpcError) as refusal:
        template(source).render(HELLO, variables={"bos_token": "x"})
    assert refusal.value.field == "template_variables"


def test_what_the_template_refuses_is_told_in_its_words() -> None:
    source = "{{ raise_exception('Only user and assistant roles are supported!') }}"
    with pytest.raises(RpcError, match="Only user and assistant roles") as refusal:
        template(source).render(HELLO)
    assert (refusal.value.reason, refusal.value.field) == ("INVALID_ARGUMENT", "messages")


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ messages.append(1) }}",
        "{{ cycler.__init__.__globals__ }}",
        "{% for x in range(100000000) %}{% endfor %}",
        "{{ 1 / 0 }}",
        "{{ messages.nothing.more }}",
    ],
)
def test_a_template_cannot_leave_its_sandbox(source: str) -> None:
    with pytest.raises(RpcError) as refusal:
        template(source).render(HELLO)
    assert refusal.value.reason == "INVALID_ARGUMENT"


def test_a_template_that_is_none_fails_the_model() -> None:
    with pytest.raises(RpcError, match="cannot be compiled") as refusal:
        template("{% if %}")
    assert refusal.value.reason == "MODEL_LOAD_FAILED"


def test_spelled_control_tokens_are_fenced_wherever_people_write() -> None:
    messages = [{"role": "user", "content": f"a<|im_end|>{FENCE_START}b"}]
    text = template().render(messages)
    assert f"a{FENCE_START}<|im_end|>{FENCE_END}b" in text
    assert text.count(FENCE_START) == 1


class Spelling:
    """An engine that spells out how it is asked to tokenize."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, bool, bool]] = []

    def tokenize(self, text: str, *, control: bool, begin: bool = False) -> list[int]:
        self.asked.append((text, control, begin))
        return [len(text)]


def test_what_is_fenced_is_tokenized_as_text() -> None:
    engine = Spelling()
    chat = template(begins=True)
    chat.tokenize(f"x{FENCE_START}<|im_end|>{FENCE_END}y", engine)  # type: ignore[arg-type]
    assert engine.asked == [("x", True, True), ("<|im_end|>", False, False), ("y", True, False)]


def test_the_begin_token_comes_once() -> None:
    engine = Spelling()
    template(begins=True).tokenize("<s>x", engine)  # type: ignore[arg-type]
    assert engine.asked == [("<s>x", True, False)]


def test_tools_go_to_a_template_that_knows_them() -> None:
    assert "clock" in template("{{ tools[0].function.name }}").render(HELLO, [CLOCK])
    assert template("{{ tools is none }}").render(HELLO) == "True"


def test_tools_are_explained_in_words_to_a_template_that_does_not() -> None:
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "Be kind."},
        *HELLO,
        {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "clock", "arguments": {"a": 1}}}]},
        {"role": "tool", "content": "12:00"},
    ]
    text = template().render(messages, [CLOCK])
    assert text.startswith("<|im_start|>system\nBe kind.\n\nYou may call functions.")
    assert '{"name": "clock", "description": "Tells the time."' in text
    assert (
        '<|im_start|>assistant\n<tool_call>\n{"name": "clock", "arguments": {"a": 1}}\n</tool_call><|im_end|>' in text
    )
    assert "<|im_start|>user\n<tool_response>\n12:00\n</tool_response><|im_end|>" in text


@pytest.mark.parametrize(
    ("source", "form"),
    [
        ("{{ tools }}<tool_call>", HERMES),
        ("{{ tools }}[TOOL_CALLS]", MISTRAL),
        ("{{ tools }}[TOOL_CALLS][ARGS]", MISTRAL_NAMED),
        ('{{ tools }}<|python_tag|>{"name": x, "parameters": y}', LLAMA),
        ("no word of them", HERMES),
    ],
)
def test_the_family_is_told_by_the_template(source: str, form: object) -> None:
    assert template(source).tool_format is form


def test_a_prompt_that_ends_in_thoughts_is_noticed() -> None:
    assert starts_thinking("<|im_start|>assistant\n<think>\n")
    assert not starts_thinking("<think>\n\n</think>\n\n")
    assert template("<think>").thinks and not template("x").thinks


def test_a_template_without_the_systems_role_hears_it_from_the_user() -> None:
    refusal = "{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    source = f"{{% for m in messages %}}{refusal}[{{{{ m.role }}}}]{{{{ m.content }}}}{{% endfor %}}"
    messages = [{"role": "system", "content": "Be kind."}, *HELLO]
    assert template(source).render(messages) == "[user]Be kind.\n\nXin chào"
    assert template(source).render(messages[:1]) == "[user]Be kind."


def test_marks_for_trainers_are_passed_over() -> None:
    assert template("a{% generation %}b{% endgeneration %}c").render(HELLO) == "abc"


def test_a_template_that_counts_tools_may_have_none() -> None:
    assert template("{{ messages[0].content }}{% for tool in tools %}x{% endfor %}").render(HELLO) == "Xin chào"


def test_ids_of_calls_suit_templates_that_are_particular() -> None:
    source = "{{ tools }}[TOOL_CALLS]{{ messages[0].tool_calls[0].id }} {{ messages[1].tool_call_id }}"
    messages: list[dict[str, Any]] = [
        {"role": "assistant", "content": "", "tool_calls": [{"id": "call_0123456789", "function": {}}]},
        {"role": "tool", "content": "12:00", "tool_call_id": "call_0123456789"},
    ]
    called, answered = template(source).render(messages).removeprefix("None[TOOL_CALLS]").split()
    assert called == answered
    assert len(called) == 9 and called.isalnum()
