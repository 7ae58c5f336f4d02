"""Each failure by the type of exception that the official client makes of it."""

from typing import Any

import httpx
import openai
import pytest

from bus import Code, RpcError
from gateway.access import new_key
from gateway.http.errors import status_of
from gateway.identity import hash_key
from gateway.openai.errors import error_body
from gateway.settings import AuthSettings, KeySettings, LimitSettings

MODEL = "scripted"


def said(text: str) -> Any:
    return [{"role": "user", "content": text}]


async def ask(client: openai.AsyncOpenAI, text: str, stream: bool = False, model: str = MODEL) -> Any:
    return await client.chat.completions.create(model=model, messages=said(text), stream=stream)


@pytest.mark.parametrize("stream", [False, True])
async def test_an_unknown_model_is_not_found_with_the_nearest_name(client: openai.AsyncOpenAI, stream: bool) -> None:
    with pytest.raises(openai.NotFoundError, match="Did you mean scripted") as caught:
        await ask(client, "Hi", stream, model="scripte")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    assert caught.value.request_id is not None
    assert caught.value.request_id.startswith("req_")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_model_that_does_not_chat_is_refused_with_those_that_do(
    client: openai.AsyncOpenAI, stream: bool
) -> None:
    with pytest.raises(openai.BadRequestError, match="can make embeddings, but not chat") as caught:
        await ask(client, "Hi", stream, model="vectors")
    assert (caught.value.code, caught.value.param) == ("model_unsuitable", "model")
    assert "retry-after" not in caught.value.response.headers


@pytest.mark.parametrize("stream", [False, True])
async def test_too_long_a_prompt_is_a_bad_request_with_counts(client: openai.AsyncOpenAI, stream: bool) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await ask(client, "fail overflow", stream)
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "messages")
    assert caught.value.type == "invalid_request_error"
    body: Any = caught.value.body
    assert body["details"] == {"prompt_tokens": "3000", "context_tokens": "2048"}
    assert body["reason"] == "CONTEXT_LENGTH_EXCEEDED"
    assert body["reference"]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_full_queue_is_a_rate_limit_with_the_time_to_come_back(
    client: openai.AsyncOpenAI, stream: bool
) -> None:
    with pytest.raises(openai.RateLimitError) as caught:
        await ask(client, "fail busy", stream)
    assert caught.value.code == "rate_limit_exceeded"
    assert caught.value.response.headers["retry-after"] == "2"
    assert caught.value.response.headers["retry-after-ms"] == "1500"


async def test_the_client_comes_back_by_itself_after_the_time_it_was_told(
    client: openai.AsyncOpenAI, door: Any
) -> None:
    with pytest.raises(openai.InternalServerError):
        await client.with_options(max_retries=1).chat.completions.create(model=MODEL, messages=said("fail crash"))
    assert len(door.chat.requests) == 2


@pytest.mark.parametrize(
    ("why", "told"), [("memory", (507, "insufficient_memory")), ("broken", (503, "model_load_failed"))]
)
async def test_a_model_that_cannot_be_had_is_not_asked_again(
    why: str, told: tuple[int, str], client: openai.AsyncOpenAI, door: Any
) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        await client.with_options(max_retries=3).chat.completions.create(model=MODEL, messages=said(f"fail {why}"))
    assert (caught.value.status_code, caught.value.code) == told
    assert len(door.chat.requests) == 1


async def test_an_engine_that_cannot_answer_now_is_a_server_error(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.InternalServerError, match="The engine rests") as caught:
        await ask(client, "fail crash")
    assert caught.value.status_code == 503
    assert caught.value.code == "resting"


async def test_a_schema_that_cannot_be_compiled_is_a_bad_request(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await ask(client, "fail schema")
    assert (caught.value.code, caught.value.param) == ("invalid_schema", "response_format")


async def test_a_field_of_the_contract_is_named_as_openai_names_it(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await ask(client, "fail penalty")
    assert caught.value.param == "frequency_penalty"


async def test_a_failure_after_the_first_token_is_raised_out_of_the_stream(client: openai.AsyncOpenAI) -> None:
    stream = await ask(client, "break", stream=True)
    text = ""
    with pytest.raises(openai.APIError, match="The engine rests") as caught:
        async for chunk in stream:
            text += chunk.choices[0].delta.content or ""
    assert text == "half"
    assert caught.value.code == "resting"


async def test_a_stream_that_failed_does_not_claim_to_be_done(http: httpx.AsyncClient) -> None:
    request = {"model": MODEL, "messages": said("break"), "stream": True}
    response = await http.post("/v1/chat/completions", json=request)
    assert '"content":"half"' in response.text
    assert "[DONE]" not in response.text
    assert response.text.rstrip().endswith("}}")


# ---- keys


async def test_a_wrong_key_is_an_authentication_error_and_the_right_one_names_its_principal(scripted: Any) -> None:
    key, narrow = new_key(), new_key()
    keys = [
        KeySettings(name="laptop", hash=hash_key(key)),
        KeySettings(name="indexer", hash=hash_key(narrow), scopes=["embedding"]),
    ]
    async with scripted.door(auth=AuthSettings(keys=keys)) as door:
        async with door.client(key) as client:
            await ask(client, "Hi")
            assert door.chat.principals == ["laptop"]
            with pytest.raises(openai.AuthenticationError) as caught:
                await ask(client.with_options(api_key=new_key()), "Hi")
            assert caught.value.code == "invalid_api_key"
            assert caught.value.response.headers["www-authenticate"] == "Bearer"
            indexer = client.with_options(api_key=narrow)
            await indexer.embeddings.create(model=MODEL, input="x")
            await indexer.models.list()
            with pytest.raises(openai.PermissionDeniedError, match="indexer"):
                await ask(indexer, "Hi")
        assert len(door.chat.requests) == 1


# ---- limits


async def test_one_call_more_than_allowed_is_a_rate_limit_and_its_place_comes_back(scripted: Any) -> None:
    async with scripted.door(limits=LimitSettings(max_calls=1)) as door:
        async with door.client() as client:
            stream = await ask(client, "hang late", stream=True)
            with pytest.raises(openai.RateLimitError) as caught:
                await ask(client, "Hi")
            assert caught.value.response.headers["retry-after"] == "1"
            await stream.close()
            await door.chat.cancelled.wait()
            await ask(client.with_options(max_retries=5), "Hi")


async def test_too_large_a_body_is_told_in_openais_shape(scripted: Any) -> None:
    async with scripted.door(limits=LimitSettings(max_body_bytes=1000)) as door:
        async with httpx.AsyncClient(base_url=door.url, trust_env=False) as http:
            response = await http.post("/v1/chat/completions", json={"model": MODEL, "messages": said("x" * 2000)})
    assert response.status_code == 413
    assert response.json()["error"]["code"] == "message_too_large"


async def test_a_message_too_large_for_the_bus_is_told_before_anything_is_sent(
    http: httpx.AsyncClient, door: Any
) -> None:
    request = {"model": MODEL, "messages": said("x" * 5_000_000)}
    response = await http.post("/v1/chat/completions", json=request)
    assert response.status_code == 413
    assert "4,194,304" in response.json()["error"]["message"]
    assert door.chat.requests == []


# ---- bodies that are none


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"not json", b"\xff\xfe", b"null", b"[]", b'"x"', b'{"model": "m", "model"', b"[" * 100_000, b"{}"],
)
async def test_what_is_no_request_is_a_400_that_says_why(http: httpx.AsyncClient, content: bytes) -> None:
    for path in ("/v1/chat/completions", "/v1/completions", "/v1/embeddings"):
        response = await http.post(path, content=content)
        assert response.status_code == 400
        error = response.json()["error"]
        assert error["type"] == "invalid_request_error"
        assert error["message"]


async def test_a_missing_field_is_named(http: httpx.AsyncClient) -> None:
    response = await http.post("/v1/chat/completions", json={"model": MODEL})
    assert response.json()["error"]["param"] == "messages"
    assert "missing" in response.json()["error"]["message"]


# ---- the table


@pytest.mark.parametrize(
    ("field", "param"),
    [
        ("sampling.top_k", "top_k"),
        ("messages[1].parts[0]", "messages[1].content[0]"),
        ("tools[1].name", "tools[1].function.name"),
        ("model", "model"),
    ],
)
def test_the_message_names_the_field_as_the_client_knows_it(field: str, param: str) -> None:
    error = error_body(RpcError(Code.INVALID_ARGUMENT, f"{field} is wrong.", field=field)).error
    assert (error.param, error.message) == (param, f"{param} is wrong.")


def test_every_code_has_a_status_and_a_type() -> None:
    for code in Code:
        if code is not Code.OK:
            error = RpcError(code, "x")
            assert 400 <= status_of(error) <= 599
            assert error_body(error).error.code == {
                "UNAUTHENTICATED": "invalid_api_key",
                "INTERNAL": "internal_error",
            }.get(code.name, code.name.lower())


def test_a_text_that_is_too_long_to_embed_has_openais_name() -> None:
    for field in ("inputs[3]", "token_inputs[3]"):
        detail = error_body(RpcError(Code.INVALID_ARGUMENT, f"{field} has 600 tokens.", field=field)).error
        assert (detail.param, detail.message) == ("input[3]", "input[3] has 600 tokens.")
