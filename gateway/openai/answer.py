"""What OpenAI's answers have in common: ids, times, fingerprints."""

import hashlib
import secrets
import time
from urllib.parse import quote

from bus import Code, RpcError
from gateway.http.exchange import Exchange
from gateway.http.stream import Headers
from gateway.names import CHAT, EMBEDDING
from gateway.openai.schema import EmbeddingRequest, SamplingFields

DONE = b"data: [DONE]\n\n"
"""The last event of a stream that ended well."""


def names_of(exchange: Exchange, asked: SamplingFields | EmbeddingRequest) -> tuple[str, Headers]:
    """Put the model that is meant into the request; the name to answer with, and a header with its own."""
    service = EMBEDDING if isinstance(asked, EmbeddingRequest) else CHAT
    model = exchange.hub.names.model(asked.model, service)
    shown, asked.model = asked.model or model, model
    return shown, [(b"x-troupe-model", quote(model, safe="/:@ ").encode())]


def fresh_id(prefix: str) -> str:
    """An id as OpenAI's: the prefix and 24 hexadecimal digits."""
    return prefix + secrets.token_hex(12)


def now() -> int:
    """Seconds since 1970."""
    return int(time.time())


def fingerprint(model: str) -> str:
    """Stands for what answers: the same for the same model."""
    return "fp_" + hashlib.sha256(model.encode("utf-8", "surrogatepass")).hexdigest()[:10]


def no_answer(method: str) -> RpcError:
    """A call ended well and without what it was made for."""
    return RpcError(Code.INTERNAL, f"{method} ended without an answer.")
