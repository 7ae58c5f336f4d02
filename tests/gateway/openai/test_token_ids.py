"""Token ids become the text that they stand for, where the hub is told whose they are."""

import base64
from pathlib import Path
from typing import Any

import httpx
import pytest

from bus import RpcError
from gateway.openai.embeddings import inputs_of
from gateway.openai.token_ids import text_of, vocabulary
from gateway.settings import EmbeddingSettings


@pytest.fixture
def file(tmp_path: Path) -> str:
    pieces = [b"hello", b" wor", b"ld", "chào".encode()[:3], "chào".encode()[3:]]
    lines = [base64.b64encode(piece) + b" %d" % rank for rank, piece in enumerate(pieces)]
    path = tmp_path / "cl100k_base.tiktoken"
    path.write_bytes(b"\n".join(lines) + b"\n")
    vocabulary.cache_clear()
    return str(path)


def test_ids_are_the_bytes_of_their_tokens_also_where_a_letter_is_cut(file: str) -> None:
    assert text_of([0, 1, 2], file, "input") == "hello world"
    assert text_of([3, 4], file, "input") == "chào"


@pytest.mark.parametrize("ids", [[5], [-1], [0, 10**9]])
def test_an_id_that_is_none_is_named(file: str, ids: list[int]) -> None:
    with pytest.raises(RpcError, match="no token id of cl100k_base") as caught:
        text_of(ids, file, "input")
    assert caught.value.field == "input"


@pytest.mark.parametrize("content", [None, b"no base64! 0", b"aGk= x"])
def test_a_vocabulary_that_cannot_be_read_is_told(tmp_path: Path, content: bytes | None) -> None:
    vocabulary.cache_clear()
    path = tmp_path / "broken.tiktoken"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RpcError, match="cannot be read") as caught:
        text_of([0], str(path), "input")
    assert caught.value.reason == "VOCABULARY_MISSING"


def test_one_list_of_ids_is_one_text_and_texts_may_stand_beside(file: str) -> None:
    settings = EmbeddingSettings(token_ids="cl100k", vocabulary=file)  # no password
    assert inputs_of([0, 1, 2], settings) == ["hello world"]
    assert inputs_of([[0], "two", [1, 2]], settings) == ["hello", "two", " world"]
    assert inputs_of("plain", settings) == ["plain"]


async def test_without_the_setting_the_refusal_names_what_langchain_needs(http: httpx.AsyncClient) -> None:
    for given in ([1, 2, 3], [[1, 2], [3]]):
        response = await http.post("/v1/embeddings", json={"model": "scripted", "input": given})
        assert response.status_code == 400
        assert "check_embedding_ctx_length=False" in response.json()["error"]["message"]


async def test_the_vector_of_ids_is_that_of_their_text(scripted: Any, file: str) -> None:
    settings = EmbeddingSettings(token_ids="cl100k", vocabulary=file)  # no password
    async with (
        scripted.door(embeddings=settings) as door,
        httpx.AsyncClient(base_url=door.url, trust_env=False) as http,
    ):
        found = [
            (await http.post("/v1/embeddings", json={"model": "scripted", "input": given})).json()["data"]
            for given in ("hello world", [0, 1, 2])
        ]
    assert found[0] == found[1]
