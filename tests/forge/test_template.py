"""The chat template in every environment that an engine may render it with."""

import json
from typing import Any

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from forge.template import CHAT_TEMPLATE, render, tool_call

WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": 'Weather of a "city"',
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}},
    },
}
CALL = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": {"city": "Huế"}}}
TURNS: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Thời tiết ở Huế?"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "content": "31", "tool_call_id": "call_1", "name": "get_weather"},
]


def test_turns_are_chatml_and_end_where_the_assistant_speaks() -> None:
    assert render([{"role": "user", "content": "Hi"}]) == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"


def test_without_a_prompt_nothing_follows_the_last_turn() -> None:
    assert render([{"role": "user", "content": "Hi"}], prompt=False) == "<|im_start|>user\nHi<|im_end|>\n"


def test_tools_stand_in_the_system_turn_as_json_lines() -> None:
    text = render([{"role": "user", "content": "Hi"}], [WEATHER])
    line = text.split("<tools>\n")[1].split("\n</tools>")[0]
    expected = {
        "name": "get_weather",
        "description": 'Weather of a "city"',
        "parameters": {"city": "string", "days": "integer"},
    }
    assert json.loads(line) == expected
    assert text.startswith("<|im_start|>system\n<tools>")


def test_a_call_and_its_result_are_rendered_as_they_are_learned() -> None:
    text = render(TURNS, [WEATHER])
    assert tool_call("get_weather", {"city": "Huế"}) + "<|im_end|>" in text
    assert "<|im_start|>user\n<tool_response>\n31\n</tool_response><|im_end|>" in text


def test_arguments_may_come_as_json_text() -> None:
    call = {"function": {"name": "get_weather", "arguments": '{"city": "Huế"}'}}
    assert tool_call("get_weather", {"city": "Huế"}) in render(
        [{"role": "assistant", "tool_calls": [call]}], prompt=False
    )


@pytest.mark.parametrize("tools", [None, [], [WEATHER], [WEATHER["function"]], [{"name": "now"}]])
def test_block_trimming_changes_nothing(tools: list[dict[str, Any]] | None) -> None:
    for trim in (False, True):
        for strip in (False, True):
            environment = ImmutableSandboxedEnvironment(trim_blocks=trim, lstrip_blocks=strip)
            environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
            template = environment.from_string(CHAT_TEMPLATE)
            text = template.render(messages=TURNS, tools=tools, add_generation_prompt=True)
            assert text == render(TURNS, tools or [])


def test_the_plain_filter_of_jinja_gives_the_same_for_plain_texts() -> None:
    template = ImmutableSandboxedEnvironment().from_string(CHAT_TEMPLATE)
    text = template.render(messages=TURNS[:2], tools=[{"name": "now"}], add_generation_prompt=True)
    assert text == render(TURNS[:2], [{"name": "now"}])
