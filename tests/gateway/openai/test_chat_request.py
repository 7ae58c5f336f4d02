import json
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from bus import RpcError
from gateway.http.body import JsonBody
from gateway.openai.chat_request import generate_request
from gateway.openai.schema import ChatRequest
from troupe.chat.v1 import GenerateRequest, Role, ToolChoice

MODEL = "scripted"
CHAT = JsonBody(ChatRequest)
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Thời tiết",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        "strict": True,
    },
}


def said(text: str) -> Any:
    return [{"role": "user", "content": text}]


def translated(**fields: Any) -> GenerateRequest:
    request = {"model": MODEL, "messages": said("Hi"), **fields}
    return generate_request(CHAT.decode(json.dumps(request).encode()))


def refused(**fields: Any) -> RpcError:
    with pytest.raises(RpcError) as caught:
        translated(**fields)
    assert caught.value.code.name == "INVALID_ARGUMENT"
    return caught.value


# ---- what arrives in the contract


def test_every_setting_arrives_in_the_contract() -> None:
    request = translated(
        temperature=0.5,
        top_p=0,
        top_k=7,
        min_p=0.1,
        frequency_penalty=-1,
        presence_penalty=1.5,
        repetition_penalty=1.25,
        seed=-1,
        logit_bias={"5": -100, "17": 2.5},
        stop=["a", "b"],
        n=3,
        logprobs=True,
        top_logprobs=4,
        max_tokens=9,
        max_completion_tokens=8,
        parallel_tool_calls=False,
        adapter="poems",
        reasoning_effort="none",
        chat_template_kwargs={"mood": "calm"},
        user="somebody",
        metadata={"a": "b"},
        store=True,
        service_tier="auto",
        safety_identifier="somebody",
        prompt_cache_key="k",
        prompt_cache_retention="24h",
        prediction={"type": "content", "content": "x"},
        invented=None,
    )
    sampling = request.sampling
    assert (sampling.temperature, sampling.top_k, sampling.seed) == (0.5, 7, 2**32 - 1)
    assert 0 < sampling.top_p < 1e-5
    assert (sampling.frequency_penalty, sampling.presence_penalty, sampling.repeat_penalty) == (-1, 1.5, 1.25)
    assert dict(sampling.logit_bias) == {5: -100, 17: 2.5}
    assert (list(request.stop), request.choices, request.logprobs, request.top_logprobs) == (["a", "b"], 3, True, 4)
    assert (request.max_tokens, request.adapter, request.parallel_tool_calls) == (8, "poems", False)
    variables = MessageToDict(request.template_variables)
    assert variables == {"mood": "calm", "enable_thinking": False, "reasoning_effort": "none"}


def test_what_was_not_said_is_left_to_the_model() -> None:
    request = translated()
    assert not request.HasField("max_tokens")
    assert not request.HasField("parallel_tool_calls")
    assert not request.HasField("response_format")
    assert not request.HasField("tool_choice")
    assert not request.sampling.HasField("temperature")
    assert request.choices == 1


def test_every_kind_of_turn_and_content_arrives() -> None:
    request = translated(
        messages=[
            {"role": "developer", "content": "Be brief."},
            {
                "role": "user",
                "name": "lan",
                "content": [
                    {"type": "text", "text": "Xem này"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
                    {"type": "image_url", "image_url": {"url": "blob:photo"}},
                    {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}},
                    {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"}},
                    {"type": "file", "file": {"file_id": "report"}},
                ],
            },
            {
                "role": "assistant",
                "content": None,
                "reasoning_content": "Hm.",
                "tool_calls": [
                    {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
                ],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "sunny"}]},
            {"role": "assistant", "refusal": "No."},
        ]
    )
    roles = [message.role for message in request.messages]
    assert roles == [Role.ROLE_SYSTEM, Role.ROLE_USER, Role.ROLE_ASSISTANT, Role.ROLE_TOOL, Role.ROLE_ASSISTANT]
    parts = request.messages[1].parts
    assert request.messages[1].name == "lan"
    assert [part.WhichOneof("content") for part in parts] == ["text", "image", "image", "audio", "file", "file"]
    assert (parts[1].image.media_type, parts[1].image.detail) == ("image/png", "low")
    assert (parts[2].image.uri, parts[3].audio.uri) == ("blob:photo", "data:audio/mpeg;base64,AAAA")
    assert (parts[4].file.filename, parts[4].file.media_type, parts[5].file.uri) == (
        "a.pdf",
        "application/pdf",
        "blob:report",
    )
    assert request.messages[2].tool_calls[0].id == "call_1"
    assert request.messages[2].reasoning == "Hm."
    assert request.messages[3].tool_call_id == "call_1"
    assert request.messages[4].parts[0].text == "No."


@pytest.mark.parametrize(
    ("choice", "mode", "names"),
    [
        ("none", ToolChoice.MODE_NONE, []),
        ("auto", ToolChoice.MODE_AUTO, []),
        ("required", ToolChoice.MODE_REQUIRED, []),
        ({"type": "function", "function": {"name": "weather"}}, ToolChoice.MODE_REQUIRED, ["weather"]),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "weather"}}]},
            },
            ToolChoice.MODE_AUTO,
            ["weather"],
        ),
    ],
)
def test_tools_and_their_choice_arrive(choice: Any, mode: int, names: list[str]) -> None:
    request = translated(tools=[WEATHER], tool_choice=choice)
    assert request.tools[0].name == "weather"
    assert request.tools[0].strict
    assert MessageToDict(request.tools[0].parameters)["required"] == ["city"]
    assert (request.tool_choice.mode, list(request.tool_choice.names)) == (mode, names)


@pytest.mark.parametrize(("asked", "kind"), [({"type": "text"}, "text"), ({"type": "json_object"}, "json")])
def test_a_response_format_arrives(asked: Any, kind: str) -> None:
    assert translated(response_format=asked).response_format.WhichOneof("format") == kind


# ---- what is refused, by name


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"functions": [{"name": "x"}]}, "functions"),
        ({"function_call": {"name": "f"}}, "function_call"),
        ({"audio": {"voice": "x"}}, "audio"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"verbosity": "low"}, "verbosity"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "x"}}}, "tool_choice"),
        ({"logit_bias": {"a": 1}}, "logit_bias"),
        ({"stop": [""]}, "stop"),
        ({"stop": "é" * 65}, "stop"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "function", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"messages": [{"role": "user", "content": [{"type": "video"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": 3}, "temperature"),
        ({"n": 17}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"model": "m" * 257}, "model"),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools[0].type"),
        ({"tools": [{"type": "function", "function": {"name": "no spaces"}}]}, "tools[0].function.name"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}},
            "response_format.json_schema.schema",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_path(fields: dict[str, Any], param: str) -> None:
    error = refused(**fields)
    assert error.field == param
    assert param.split("[", maxsplit=1)[0] in error.message


@pytest.mark.parametrize(
    "url", ["https://example.org/cat.png", "http://169.254.169.254/", "file:///etc/passwd", "cat.png"]
)
def test_the_hub_fetches_nothing(url: str) -> None:
    error = refused(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}])
    assert error.reason == "UNSUPPORTED_CONTENT"
    assert error.field == "messages[0].content[0].image_url.url"


def nested(levels: int) -> Any:
    value: Any = {}
    for _ in range(levels):
        value = {"properties": value}
    return value


def test_a_schema_that_no_parser_would_take_is_refused_here() -> None:
    def asked(levels: int) -> Any:
        return {"type": "json_schema", "json_schema": {"name": "deep", "schema": nested(levels)}}

    deepest = translated(response_format=asked(24))
    assert GenerateRequest.FromString(deepest.SerializeToString()) == deepest
    assert refused(response_format=asked(25)).field == "response_format.json_schema.schema"


# ---- what vLLM and llama.cpp call it


OBJECT: Any = {"jsonSchema": {"name": "guided_json", "schema": {"type": "object"}, "strict": True}}


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        (
            "guided_json",
            {"type": "object"},
            OBJECT,
        ),
        (
            "guided_json",
            '{"type": "object"}',
            OBJECT,
        ),
        ("guided_regex", "[0-9]+", {"pattern": {"pattern": "[0-9]+"}}),
        ("regex", "[0-9]+", {"pattern": {"pattern": "[0-9]+"}}),
        ("guided_choice", ["yes", "no (1.5)"], {"pattern": {"pattern": r"^(yes|no \(1\.5\))$"}}),
        ("guided_grammar", 'root ::= "a"', {"grammar": {"dialect": "gbnf", "grammar": 'root ::= "a"'}}),
        ("grammar", 'root ::= "a"', {"grammar": {"dialect": "gbnf", "grammar": 'root ::= "a"'}}),
        (
            "json_schema",
            {"type": "object"},
            {"jsonSchema": {"name": "json_schema", "schema": {"type": "object"}, "strict": True}},
        ),
        (
            "structured_outputs",
            {"json": '{"type": "object"}', "regex": None, "json_object": False, "disable_fallback": False},
            {"jsonSchema": {"name": "structured_outputs_json", "schema": {"type": "object"}, "strict": True}},
        ),
        ("structured_outputs", {"regex": "[ab]+c"}, {"pattern": {"pattern": "[ab]+c"}}),
        ("structured_outputs", {"choice": ["a", "b"]}, {"pattern": {"pattern": "^(a|b)$"}}),
        (
            "structured_outputs",
            {"grammar": 'root ::= "a"'},
            {"grammar": {"dialect": "gbnf", "grammar": 'root ::= "a"'}},
        ),
        ("structured_outputs", {"json_object": True}, {"json": {}}),
    ],
)
def test_a_constraint_under_another_servers_name_is_served(field: str, value: Any, expected: Any) -> None:
    assert MessageToDict(translated(**{field: value}).response_format) == expected


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"guided_json": {}, "regex": "a"}, "regex"),
        ({"guided_json": {}, "response_format": {"type": "json_object"}}, "guided_json"),
        ({"guided_json": "{"}, "guided_json"),
        ({"min_tokens": 5}, "min_tokens"),
        ({"use_beam_search": True}, "use_beam_search"),
        ({"mirostat": 2}, "mirostat"),
        ({"nvext": {"guided_regex": "a"}}, "nvext"),
        ({"ebnf": "root ::= [ab]"}, "ebnf"),
        ({"guided_whitespace_pattern": " "}, "guided_whitespace_pattern"),
        ({"best_of": 3}, "best_of"),
        ({"moderation": {}}, "moderation"),
        ({"structured_outputs": {}}, "structured_outputs"),
        ({"structured_outputs": {"regex": "a", "choice": ["a"]}}, "structured_outputs.choice"),
        ({"structured_outputs": {"regex": "a"}, "grammar": "x"}, "structured_outputs.regex"),
        ({"structured_outputs": {"structural_tag": "{}"}}, "structured_outputs.structural_tag"),
        ({"structured_outputs": {"json": {}, "whitespace_pattern": " "}}, "structured_outputs.whitespace_pattern"),
        ({"structured_outputs": {"lark": "x"}}, "structured_outputs.lark"),
    ],
)
def test_what_cannot_be_served_is_refused_by_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(RpcError) as caught:
        translated(**fields)
    assert caught.value.field == param


def test_what_clients_send_without_meaning_anything_is_taken() -> None:
    found = translated(
        verbosity="medium", functions=[], function_call="auto", response_format={"type": "text"}, regex="a"
    )
    assert found.response_format.pattern.pattern == "a"
    assert translated(repeat_penalty=1.5).sampling.repeat_penalty == 1.5


def test_a_slip_is_answered_with_the_field_that_was_meant() -> None:
    error = refused(temprature=0.5)
    assert (error.reason, error.field) == ("UNSUPPORTED_PARAMETER", "temprature")
    assert error.message == "temprature is not supported. Did you mean temperature?"
