"""POST /v1/embeddings."""

import asyncio
import base64
import sys
from array import array
from typing import Any, cast

from bus import invalid
from gateway.http.exchange import Exchange
from gateway.http.stream import unless_gone
from gateway.openai.answer import names_of, no_answer
from gateway.openai.responses import Embedding, EmbeddingList, EmbeddingUsage
from gateway.openai.schema import EmbeddingRequest
from gateway.openai.token_ids import REFUSAL, is_token_ids, text_of
from gateway.settings import EmbeddingSettings
from troupe.embedding.v1 import EmbeddingServiceClient, EmbedRequest


async def embeddings(exchange: Exchange) -> None:
    """One vector for each text, as numbers or as base64 of little-endian 32-bit floats."""
    asked: EmbeddingRequest = exchange.request
    name, headers = names_of(exchange, asked)
    request = EmbedRequest(model=asked.model, dimensions=asked.dimensions or 0)
    await asyncio.to_thread(put_inputs, request, asked.input, exchange.hub.settings.embeddings)
    vectors, tokens = await unless_gone(exchange.receive, _embed(exchange, request))
    exchange.record.tokens = tokens
    as_base64 = asked.encoding_format == "base64"
    await exchange.answer(
        EmbeddingList(
            data=[
                Embedding(index=index, embedding=_base64(vector) if as_base64 else vector.tolist())
                for index, vector in enumerate(vectors)
            ],
            model=name,
            usage=EmbeddingUsage(prompt_tokens=tokens, total_tokens=tokens),
        ),
        headers=headers,
    )


def put_inputs(request: EmbedRequest, value: str | list[Any], settings: EmbeddingSettings) -> None:
    """Put texts into the request, or the model's token ids, where [embeddings] says that they are. See `inputs_of`."""
    lists = [value] if is_token_ids(value) else value
    if settings.token_ids == "model" and not isinstance(lists, str) and any(map(is_token_ids, lists)):  # noqa: S105
        for index, item in enumerate(lists):
            request.token_inputs.add(ids=_ids(item, f"input[{index}]"))
    else:
        request.inputs.extend(inputs_of(value, settings))


def inputs_of(value: str | list[Any], settings: EmbeddingSettings) -> list[str]:
    """The texts, also those of cl100k's token ids where [embeddings] says so.

    Raises INVALID_ARGUMENT, and FAILED_PRECONDITION without the vocabulary.
    """
    if isinstance(value, str) or settings.token_ids != "cl100k":  # noqa: S105  # no password
        return texts_of(value, "input")
    lists = [value] if is_token_ids(value) else value
    return texts_of(
        [text_of(item, settings.vocabulary, "input") if is_token_ids(item) else item for item in lists], "input"
    )


def _ids(item: object, param: str) -> list[int]:
    if not is_token_ids(item):
        raise invalid(f"{param} is no list of token ids; send either texts or lists of token ids.", param)
    ids = cast(list[int], item)
    wrong = next((number for number in ids if not 0 <= number < 1 << 32), None)
    if wrong is not None:
        raise invalid(f"{param}: {wrong} is no token id.", param)
    return ids


def texts_of(value: str | list[object], param: str, advice: str = REFUSAL) -> list[str]:
    """One text or several. Raises INVALID_ARGUMENT for token ids, whose meaning differs from model to model."""
    texts = [value] if isinstance(value, str) else value
    found: list[str] = []
    for index, text in enumerate(texts):
        if text in ("", []):
            raise invalid(f"{param}[{index}] is empty.", param)
        if not isinstance(text, str):
            ids = type(text) is int or is_token_ids(text)
            raise invalid(f"{param}[{index}] is no text{'; ' + advice if ids else '.'}", param)
        found.append(text)
    return found


async def _embed(exchange: Exchange, request: EmbedRequest) -> tuple[list["array[float]"], int]:
    vectors: dict[int, array[float]] = {}
    tokens = 0
    client = EmbeddingServiceClient(exchange.hub.channel)
    async for response in client.embed(request, metadata=exchange.metadata):
        if response.values:
            vectors[response.index] = array("f", response.values)
        elif not response.HasField("progress"):
            tokens = response.tokens
    if len(vectors) != len(request.inputs) + len(request.token_inputs):
        raise no_answer("troupe.embedding.v1.EmbeddingService/Embed")
    return [vectors[index] for index in range(len(vectors))], tokens


def _base64(vector: "array[float]") -> str:
    if sys.byteorder == "big":
        vector.byteswap()
    return base64.b64encode(vector.tobytes()).decode()
