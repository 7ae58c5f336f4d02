"""Through the official client: what it sends arrives in the contract, what comes back is what it expects."""

import asyncio
import json
from typing import Any

import httpx
import openai
import pytest
from google.protobuf.json_format import MessageToDict
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, SecretStr

MODEL = "scripted"
TEXT = 'Xin chào, a "quoted"\nline 🙂.'
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Thời tiết",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        "strict": True,
    },
}


class Trip(BaseModel):
    city: str
    days: int


def said(text: str) -> Any:
    return [{"role": "user", "content": text}]


# ---- whole answers


async def test_an_answer_comes_whole(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model=MODEL, messages=said("Hi"))
    assert answer.id.startswith("chatcmpl-")
    assert answer.object == "chat.completion"
    assert answer.model == MODEL
    assert answer.choices[0].message.content == TEXT
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.choices[0].logprobs is None
    assert answer.system_fingerprint
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (11, 7, 18)
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens == 4
    assert answer.usage.completion_tokens_details is not None
    assert answer.usage.completion_tokens_details.reasoning_tokens == 2


async def test_the_synchronous_client_gets_the_same(door: Any) -> None:
    def ask() -> tuple[str | None, str]:
        with door.sync_client() as client:
            whole = client.chat.completions.create(model=MODEL, messages=said("Hi"))
            stream = client.chat.completions.create(model=MODEL, messages=said("Hi"), stream=True)
            return whole.choices[0].message.content, "".join(chunk.choices[0].delta.content or "" for chunk in stream)

    assert await asyncio.to_thread(ask) == (TEXT, TEXT)


async def test_several_answers_keep_their_places(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model=MODEL, messages=said("Hi"), n=2)
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert [choice.message.content for choice in answer.choices] == [TEXT, TEXT]


async def test_log_probabilities_come_with_each_token(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model=MODEL, messages=said("Hi"), logprobs=True, top_logprobs=1)
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    assert "".join(entry.token for entry in logprobs.content) == TEXT
    assert logprobs.content[1].bytes == list(" chào".encode())
    assert logprobs.content[0].logprob == -0.5
    assert logprobs.content[0].top_logprobs[0].token == "?"


async def test_tool_calls_come_whole(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model=MODEL, messages=said("tools"), tools=[WEATHER])
    choice = answer.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    assert choice.message.tool_calls is not None
    assert [call.id for call in choice.message.tool_calls] == ["call_a", "call_b"]
    arguments = [json.loads(call.function.arguments) for call in choice.message.tool_calls if call.type == "function"]
    assert arguments == [{"city": "Đà Nẵng"}, {"city": "Huế"}]


async def test_structured_output_is_parsed_into_the_model_that_was_given(client: openai.AsyncOpenAI, door: Any) -> None:
    answer = await client.chat.completions.parse(model=MODEL, messages=said("schema"), response_format=Trip)
    assert answer.choices[0].message.parsed == Trip(city="Huế", days=3)
    asked = door.chat.requests[-1].response_format.json_schema
    assert asked.strict
    assert asked.name == "Trip"
    assert MessageToDict(asked.schema)["required"] == ["city", "days"]


async def test_reasoning_is_apart_from_the_answer(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model=MODEL, messages=said("think"))
    message = answer.choices[0].message
    assert message.content == "Done."
    assert message.model_dump()["reasoning_content"] == "Let me see."


async def test_an_answer_that_was_cut_says_length(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model=MODEL, messages=said("long"))
    assert answer.choices[0].finish_reason == "length"


# ---- streams


async def test_a_stream_brings_role_text_and_finish_in_order(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(model=MODEL, messages=said("Hi"), stream=True)
    chunks = [chunk async for chunk in stream]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert all(chunk.choices[0].delta.role is None for chunk in chunks[1:])
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == TEXT
    assert [chunk.choices[0].finish_reason for chunk in chunks[-2:]] == [None, "stop"]
    assert len({chunk.id for chunk in chunks}) == 1
    assert all(chunk.usage is None for chunk in chunks)


async def test_usage_comes_last_in_an_event_without_choices(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model=MODEL, messages=said("Hi"), stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert [chunk.usage for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 18
    assert sum(1 for chunk in chunks if not chunk.choices) == 1


async def test_streamed_tool_calls_name_themselves_once(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(model=MODEL, messages=said("tools"), tools=[WEATHER], stream=True)
    deltas = [call async for chunk in stream for call in chunk.choices[0].delta.tool_calls or ()]
    assert [(call.index, call.id, call.function and call.function.name) for call in deltas] == [
        (0, "call_a", "weather"),
        (0, None, None),
        (0, None, None),
        (1, "call_b", "weather"),
    ]
    first = "".join((call.function and call.function.arguments) or "" for call in deltas if call.index == 0)
    assert json.loads(first) == {"city": "Đà Nẵng"}


async def test_the_clients_own_accumulator_understands_the_stream(client: openai.AsyncOpenAI) -> None:
    async with client.chat.completions.stream(model=MODEL, messages=said("schema"), response_format=Trip) as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_completion()
    assert "content.delta" in kinds
    assert final.choices[0].message.parsed == Trip(city="Huế", days=3)


async def test_a_stream_carries_log_probabilities_reasoning_and_choices(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(model=MODEL, messages=said("Hi"), stream=True, logprobs=True, n=2)
    texts, tokens = ["", ""], ["", ""]
    async for chunk in stream:
        choice = chunk.choices[0]
        texts[choice.index] += choice.delta.content or ""
        entries = choice.logprobs.content if choice.logprobs else None
        tokens[choice.index] += "".join(entry.token for entry in entries or ())
    assert texts == tokens == [TEXT, TEXT]
    thinking = await client.chat.completions.create(model=MODEL, messages=said("think"), stream=True)
    found = [chunk.choices[0].delta.model_dump() async for chunk in thinking]
    assert [delta["reasoning_content"] for delta in found if delta.get("reasoning_content")] == ["Let me see."]
    assert [delta["content"] for delta in found if delta.get("content")] == ["Done."]


async def test_a_long_backlog_arrives_whole(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(model=MODEL, messages=said("many"), stream=True)
    text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    assert text == "".join(f" {number}" for number in range(5000))


async def test_progress_is_for_readers_and_not_for_clients(http: httpx.AsyncClient, door: Any) -> None:
    request = {"model": MODEL, "messages": said("queued"), "stream": True}
    seen = ""
    async with http.stream("POST", "/v1/chat/completions", json=request) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        async for piece in response.aiter_text():
            seen += piece
            if ": loading" in seen:
                door.chat.go_on.set()
    assert ": queued position 3\n\n: loading 50% reading weights\n\n" in seen
    assert seen.index(": loading") < seen.index("data: {")
    assert seen.endswith("data: [DONE]\n\n")


# ---- mistakes


async def test_stream_options_without_a_stream_are_refused(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await client.chat.completions.create(
            model=MODEL, messages=said("Hi"), extra_body={"stream_options": {"include_usage": True}}
        )
    assert caught.value.param == "stream_options"


async def test_half_a_character_in_the_body_is_refused(http: httpx.AsyncClient) -> None:
    broken = b'{"model":"scripted","messages":[{"role":"user","content":"\\ud800"}]}'
    response = await http.post("/v1/chat/completions", content=broken)
    assert response.status_code == 400


# ---- what clients add of their own


async def test_a_constraint_under_vllms_name_reaches_the_model(client: openai.AsyncOpenAI, door: Any) -> None:
    extra = {"structured_outputs": {"regex": "[ab]+c"}}
    await client.chat.completions.create(model=MODEL, messages=said("Hi"), extra_body=extra)
    await client.completions.create(model=MODEL, prompt="Hi", extra_body=extra)
    for request in (door.chat.requests[0], door.chat.completions[0]):
        assert request.response_format.pattern.pattern == "[ab]+c"


@pytest.mark.parametrize("field", ["nvext", "ebnf", "guided_whitespace_pattern", "invented"])
@pytest.mark.parametrize("route", ["chat/completions", "completions", "embeddings"])
async def test_a_field_that_nobody_knows_is_refused_by_name(http: httpx.AsyncClient, route: str, field: str) -> None:
    request = {"model": MODEL, "messages": said("Hi")} if route.startswith("chat") else {"model": MODEL}
    request |= {"completions": {"prompt": "Hi"}, "embeddings": {"input": "Hi"}}.get(route, {})
    assert (await http.post(f"/v1/{route}", json={**request, field: None, "user": "somebody"})).status_code == 200
    answer = await http.post(f"/v1/{route}", json={**request, field: "x"})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, "unsupported_parameter", field)
    assert field in error["message"]


async def test_what_langchain_sends_by_itself_is_taken(door: Any) -> None:
    async with httpx.AsyncClient(trust_env=False) as http:
        with httpx.Client(trust_env=False) as sync_http:
            chat = ChatOpenAI(
                model=MODEL,
                base_url=f"{door.url}/v1",
                api_key=SecretStr("none"),
                http_async_client=http,
                http_client=sync_http,
            )
            assert (await chat.ainvoke("Hi")).content == TEXT
            assert "".join([str(piece.content) async for piece in chat.astream("Hi")]) == TEXT
            assert (await chat.bind_tools([WEATHER]).ainvoke("tools")).tool_calls[0]["name"] == "weather"
            assert await chat.with_structured_output(Trip).ainvoke("schema") == Trip(city="Huế", days=3)
