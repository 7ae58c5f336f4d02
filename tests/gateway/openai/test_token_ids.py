"""Token ids become the text that they stand for, where the hub is told whose they are."""

import base64
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from actors.weights.known import KNOWN
from bus import RpcError
from gateway.openai.embeddings import inputs_of, put_inputs
from gateway.openai.token_ids import text_of, vocabulary
from gateway.settings import EmbeddingSettings, doors_of
from host.settings import Settings
from troupe.embedding.v1 import EmbedRequest


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


@pytest.mark.parametrize("content", [b"no base64! 0", b"aGk= x"])
def test_a_vocabulary_that_cannot_be_read_is_told(tmp_path: Path, content: bytes) -> None:
    vocabulary.cache_clear()
    path = tmp_path / "broken.tiktoken"
    path.write_bytes(content)
    with pytest.raises(RpcError, match="cannot be read") as caught:
        text_of([0], str(path), "input")
    assert caught.value.reason == "VOCABULARY_BROKEN"


def test_a_vocabulary_is_there_as_soon_as_it_has_been_fetched(tmp_path: Path, file: str) -> None:
    path = tmp_path / "later.tiktoken"
    with pytest.raises(RpcError, match="troupe models pull cl100k") as caught:
        text_of([0], str(path), "input")
    assert caught.value.reason == "VOCABULARY_MISSING"
    path.write_bytes(Path(file).read_bytes())
    assert text_of([0], str(path), "input") == "hello"


def test_one_list_of_ids_is_one_text_and_texts_may_stand_beside(file: str) -> None:
    settings = EmbeddingSettings(token_ids="cl100k", vocabulary=file)  # no password
    assert inputs_of([0, 1, 2], settings) == ["hello world"]
    assert inputs_of([[0], "two", [1, 2]], settings) == ["hello", "two", " world"]
    assert inputs_of("plain", settings) == ["plain"]


@pytest.mark.parametrize("settings", [EmbeddingSettings(), EmbeddingSettings(token_ids="refuse")])  # no password
async def test_without_a_vocabulary_the_refusal_names_what_langchain_needs(
    scripted: Any, settings: EmbeddingSettings
) -> None:
    async with (
        scripted.door(embeddings=replace(settings, vocabulary="/not/there")) as door,
        httpx.AsyncClient(base_url=door.url, trust_env=False) as http,
    ):
        for given in ([1, 2, 3], [[1, 2], [3]]):
            response = await http.post("/v1/embeddings", json={"model": "scripted", "input": given})
            assert response.status_code == 400
            assert "check_embedding_ctx_length=False" in response.json()["error"]["message"]


def test_the_models_own_ids_are_handed_on_as_they_are() -> None:
    settings, request = EmbeddingSettings(token_ids="model"), EmbedRequest()  # no password
    put_inputs(request, [[1, 2], [3]], settings)
    assert [list(one.ids) for one in request.token_inputs] == [[1, 2], [3]]
    assert not request.inputs


@pytest.mark.parametrize("wrong", [[[1], "two"], [[1], []], [[-1]], [[1 << 32]]])
def test_ids_beside_texts_and_numbers_that_are_none_are_refused(wrong: list[Any]) -> None:
    with pytest.raises(RpcError, match="token id") as caught:
        put_inputs(EmbedRequest(), wrong, EmbeddingSettings(token_ids="model"))  # no password
    assert caught.value.field.startswith("input[")


def test_the_vocabulary_is_looked_for_where_it_is_fetched_to(tmp_path: Path) -> None:
    fetched = KNOWN["cl100k"]
    found = doors_of(Settings(home=tmp_path)).embeddings.vocabulary
    assert Path(found) == tmp_path / fetched.folder / fetched.file


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
