"""LangChain's embeddings with their defaults, which send token ids instead of text."""

import base64
from pathlib import Path
from typing import Any

import httpx
import pytest
import tiktoken
from langchain_openai import OpenAIEmbeddings

from gateway.openai.token_ids import vocabulary
from gateway.settings import EmbeddingSettings

TEXT = "Khởi động Troupe thế nào? Like this."


@pytest.fixture
def bytewise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A vocabulary of single bytes in the place of OpenAI's, for client and hub alike: that one is not shipped."""
    ranks = {bytes([byte]): byte for byte in range(256)}
    encoding = tiktoken.Encoding("cl100k_base", pat_str=r"[\s\S]", mergeable_ranks=ranks, special_tokens={})
    monkeypatch.setattr(tiktoken.registry, "ENCODINGS", {"cl100k_base": encoding})
    path = tmp_path / "cl100k_base.tiktoken"
    path.write_bytes(b"".join(base64.b64encode(piece) + b" %d\n" % rank for piece, rank in ranks.items()))
    vocabulary.cache_clear()
    return str(path)


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


async def test_without_the_setting_langchain_is_told_which_switch_it_needs(scripted: Any, bytewise: str) -> None:
    async with scripted.door() as door:
        with pytest.raises(Exception, match="check_embedding_ctx_length=False"):
            await embedded(door.url)
