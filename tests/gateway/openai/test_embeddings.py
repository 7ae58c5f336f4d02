from typing import Any

import httpx
import openai
import pytest

MODEL = "scripted"


async def test_the_clients_default_base64_decodes_to_the_vectors(client: openai.AsyncOpenAI) -> None:
    answer = await client.embeddings.create(model=MODEL, input=["Huế", "Đà Nẵng"])
    assert [entry.index for entry in answer.data] == [0, 1]
    assert answer.data[0].embedding == [0.375, 1.375, 2.375, 3.375]
    assert answer.data[1].embedding == [0.875, 1.875, 2.875, 3.875]
    assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (4, 4)


async def test_numbers_come_as_numbers_and_no_more_than_asked_for(client: openai.AsyncOpenAI) -> None:
    answer = await client.embeddings.create(model=MODEL, input="Huế", encoding_format="float", dimensions=2)
    assert answer.data[0].embedding == [0.375, 1.375]
    assert answer.model == MODEL


async def test_base64_is_text_on_the_wire(http: httpx.AsyncClient) -> None:
    request = {"model": MODEL, "input": "Huế", "dimensions": 1, "encoding_format": "base64"}
    response = await http.post("/v1/embeddings", json=request)
    assert response.json()["data"] == [{"index": 0, "embedding": "AADAPg==", "object": "embedding"}]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": [1, 2]}, "input"),
        ({"input": ["x", ""]}, "input"),
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": 7}, "input"),
        ({"encoding_format": "hex"}, "encoding_format"),
        ({"dimensions": 0}, "dimensions"),
    ],
)
async def test_what_is_wrong_is_named(client: openai.AsyncOpenAI, fields: dict[str, Any], param: str) -> None:
    request = {"model": MODEL, "input": "x", "encoding_format": "float", **fields}
    with pytest.raises(openai.BadRequestError) as caught:
        await client.embeddings.create(**request)
    assert caught.value.param == param


async def test_an_empty_list_of_token_ids_is_an_empty_input(http: httpx.AsyncClient) -> None:
    answer = await http.post("/v1/embeddings", json={"model": MODEL, "input": [[]]})
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, "input[0] is empty.")
