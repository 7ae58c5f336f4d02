"""The official client, a real NATS server, the real engine in processes of its own, and the shipped model."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Literal

import openai
import pytest
from pydantic import BaseModel

from bus.channel import Channel
from bus.resolver import resolver
from bus.testing import NatsServer
from bus.transports.nats import NatsTransport
from forge.random_weights import write_fixtures
from gateway.access import Access
from gateway.catalog import Catalog
from gateway.hub import Hub
from gateway.limits import Limits
from gateway.locations import RememberedLocations
from gateway.settings import doors_of, load
from host.liveness import Presence
from host.member import method_of
from host.settings import Settings
from store import MemoryLocations

ROOT = Path(__file__).parents[3]
MODEL = "troupe-tiny"
START_SECONDS = 60.0
QUESTION = "Which port does gRPC use?"
MODEL_SERVICE = "troupe.model.v1.ModelService"
WEATHER_QUESTION = "What is the weather in Hanoi?"
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


class Port(BaseModel):
    protocol: Literal["grpc", "http"]
    port: int


@pytest.fixture(scope="module")
def hub_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A NATS server, the llama actor and the front of all models, each a process."""
    home = tmp_path_factory.mktemp("home")
    server = NatsServer(home / "nats")
    server.start()
    write_fixtures(home / "models")
    environment = {
        "TROUPE_HOME": str(home),
        "NATS_URL": server.url,
        "TROUPE_HTTP_PORT": "0",
        "TROUPE_LOG_LEVEL": "warning",
    }
    log = (home / "actors.log").open("wb")
    actors = [
        subprocess.Popen(
            [sys.executable, "-m", "actors", name], cwd=ROOT, env={**os.environ, **environment}, stdout=log, stderr=log
        )
        for name in ("llama", "models")
    ]
    yield load(None, environment)
    for actor in actors:
        actor.terminate()
    for actor in actors:
        actor.wait(30)
    log.close()
    server.stop()


@pytest.fixture
async def real(
    hub_settings: Settings, serve_http: Callable[[Hub], AbstractAsyncContextManager[int]]
) -> AsyncIterator[openai.AsyncOpenAI]:
    transport = await NatsTransport.connect(hub_settings.bus.url, "gateway")
    await someone_serves(transport, MODEL_SERVICE)
    channel = Channel(transport)
    channel.resolver = resolver(channel, method_of)
    doors = doors_of(hub_settings)
    access, limits = Access(doors.auth), Limits(doors.limits)
    locations = RememberedLocations(MemoryLocations())
    hub = Hub(doors, transport, channel, Catalog(), access, limits, locations)
    http = openai.DefaultAsyncHttpxClient(trust_env=False)
    async with serve_http(hub) as port:
        url = f"http://127.0.0.1:{port}/v1"
        async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0, http_client=http) as client:
            yield client
    await channel.close()
    await transport.close()


async def someone_serves(transport: NatsTransport, service: str) -> None:
    presence = Presence(transport)
    changed = asyncio.Event()
    presence.subscribe(lambda _: changed.set())
    await presence.start()
    async with asyncio.timeout(START_SECONDS):
        while not presence.serving(service):
            changed.clear()
            await changed.wait()
    await presence.stop()


def said(text: str) -> Any:
    return [{"role": "user", "content": text}]


async def test_an_answer_is_the_same_whole_and_streamed(real: openai.AsyncOpenAI) -> None:
    whole = await real.chat.completions.create(model=MODEL, messages=said(QUESTION), temperature=0)
    stream = await real.chat.completions.create(
        model=MODEL, messages=said(QUESTION), temperature=0, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert "50051" in text
    assert whole.choices[0].message.content == text
    assert whole.choices[0].finish_reason == "stop"
    assert whole.usage is not None
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.prompt_tokens == whole.usage.prompt_tokens > 0
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens > 0


async def test_vietnamese_arrives_unharmed(real: openai.AsyncOpenAI) -> None:
    stream = await real.chat.completions.create(
        model=MODEL, messages=said("Lệnh nào khởi động Troupe?"), temperature=0, stream=True
    )
    text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    assert "make up" in text or "troupe up" in text
    assert "�" not in text


async def test_a_required_tool_is_called_with_arguments_of_its_schema(real: openai.AsyncOpenAI) -> None:
    stream = await real.chat.completions.create(
        model=MODEL,
        messages=said(WEATHER_QUESTION),
        tools=[WEATHER],
        tool_choice="required",
        temperature=0,
        stream=True,
    )
    name, call_id, arguments, reason = "", "", "", ""
    async for chunk in stream:
        reason = chunk.choices[0].finish_reason or reason
        for call in chunk.choices[0].delta.tool_calls or ():
            assert call.index == 0
            call_id = call.id or call_id
            if call.function:
                name += call.function.name or ""
                arguments += call.function.arguments or ""
    assert (name, reason) == ("get_weather", "tool_calls")
    assert call_id.startswith("call_")
    assert set(json.loads(arguments)) == {"city"}


async def test_structured_output_keeps_to_the_schema(real: openai.AsyncOpenAI) -> None:
    answer = await real.chat.completions.parse(
        model=MODEL, messages=said(QUESTION), response_format=Port, max_tokens=200, seed=7
    )
    assert isinstance(answer.choices[0].message.parsed, Port)


async def test_two_answers_with_log_probabilities_stop_at_the_limit(real: openai.AsyncOpenAI) -> None:
    answer = await real.chat.completions.create(
        model=MODEL, messages=said(QUESTION), n=2, logprobs=True, top_logprobs=2, max_tokens=3
    )
    assert [choice.finish_reason for choice in answer.choices] == ["length", "length"]
    for choice in answer.choices:
        assert choice.logprobs is not None
        assert choice.logprobs.content is not None
        assert len(choice.logprobs.content) == 3
        for entry in choice.logprobs.content:
            assert entry.logprob <= 0
            assert len(entry.top_logprobs) == 2
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 6


async def test_a_text_is_continued_after_its_echo(real: openai.AsyncOpenAI) -> None:
    answer = await real.completions.create(model=MODEL, prompt="Troupe is", max_tokens=4, temperature=0, echo=True)
    assert answer.choices[0].text.startswith("Troupe is")
    assert answer.choices[0].finish_reason == "length"


async def test_embeddings_have_length_one_and_tell_texts_apart(real: openai.AsyncOpenAI) -> None:
    answer = await real.embeddings.create(model="fixture", input=["xin chào", "xin chào", "hello"])
    first, again, other = (entry.embedding for entry in answer.data)
    assert sum(value * value for value in first) == pytest.approx(1, abs=1e-4)
    assert first == pytest.approx(again, abs=1e-3)
    assert first != pytest.approx(other, abs=1e-2)
    assert answer.usage.prompt_tokens > 3


async def test_a_model_whose_vectors_mean_nothing_makes_none(real: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.APIStatusError, match="embeddings"):
        await real.embeddings.create(model=MODEL, input="xin chào")


async def test_models_and_their_misspelt_names(real: openai.AsyncOpenAI) -> None:
    assert MODEL in [model.id async for model in real.models.list()]
    with pytest.raises(openai.NotFoundError, match=f"Did you mean {MODEL}") as caught:
        await real.chat.completions.create(model="troupe-tini", messages=said("Hi"))
    assert caught.value.code == "model_not_found"


async def test_too_long_a_conversation_is_refused_with_counts(real: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await real.chat.completions.create(model=MODEL, messages=said("word " * 9000), stream=True)
    assert caught.value.code == "context_length_exceeded"
    body: Any = caught.value.body
    assert int(body["details"]["prompt_tokens"]) > int(body["details"]["context_tokens"]) > 0


async def test_a_schema_that_cannot_be_compiled_is_refused(real: openai.AsyncOpenAI) -> None:
    schema: Any = {"type": "object", "properties": {"a": {"$ref": "http://elsewhere/schema"}}}
    asked: Any = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    with pytest.raises(openai.BadRequestError) as caught:
        await real.chat.completions.create(model=MODEL, messages=said("Hi"), response_format=asked)
    assert caught.value.code == "invalid_schema"
    assert caught.value.param == "response_format.json_schema.schema.properties.a"


async def test_a_model_that_cannot_be_loaded_is_a_fault_of_the_hub(
    real: openai.AsyncOpenAI, hub_settings: Settings
) -> None:
    models = hub_settings.home / "models"
    (models / "cut.gguf").write_bytes((models / "fixture.gguf").read_bytes()[:-4096])
    with pytest.raises(openai.InternalServerError, match="4096") as caught:
        await real.chat.completions.create(model="cut", messages=said("Hi"))
    assert (caught.value.status_code, caught.value.code) == (503, "model_load_failed")
    assert "cut" not in [model.id async for model in real.models.list()]


async def test_a_model_that_continues_texts_alone_makes_no_vectors(
    real: openai.AsyncOpenAI, hub_settings: Settings
) -> None:
    models = hub_settings.home / "models"
    (models / "plain.gguf").write_bytes(
        (models / "fixture.gguf").read_bytes().replace(b"troupe.services", b"troupe.nothing_")
    )
    for _ in range(2):  # before it is loaded and after
        with pytest.raises(openai.BadRequestError, match="can chat, but not make embeddings") as caught:
            await real.embeddings.create(model="plain", input="xin chào")
        assert (caught.value.code, caught.value.param) == ("model_unsuitable", "model")
        await real.chat.completions.create(model="plain", messages=said("Hi"), max_tokens=1)


async def test_a_closed_stream_leaves_its_slots_to_others(real: openai.AsyncOpenAI) -> None:
    for _ in range(3):
        stream = await real.chat.completions.create(
            model=MODEL, messages=said(QUESTION), stream=True, n=16, temperature=2, max_tokens=2000
        )
        await anext(aiter(stream))
        await stream.close()
    answer = await real.chat.completions.create(model=MODEL, messages=said(QUESTION), temperature=0)
    assert "50051" in (answer.choices[0].message.content or "")
