"""Token ids that clients send instead of text, turned back into the text that they stand for."""

import base64
import binascii
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from bus import Code, RpcError, invalid

MAX_VOCABULARY_BYTES = 16 * 1024 * 1024

PROMPT_REFUSAL = "token ids are not supported; send the text itself."

REFUSAL = (
    "token ids are not supported; send the text itself. With LangChain's OpenAIEmbeddings set"
    ' check_embedding_ctx_length=False or, on the hub, [embeddings] token_ids = "cl100k" or "model".'
)

MISSING = (
    "Token ids are those of cl100k, whose vocabulary this hub does not have. Send the text itself, with LangChain's"
    " OpenAIEmbeddings by check_embedding_ctx_length=False; or let `troupe models pull cl100k` bring the vocabulary."
)


def is_token_ids(value: object) -> bool:
    """A list of whole numbers, of which one input may consist."""
    return isinstance(value, list) and bool(value) and all(type(item) is int for item in value)


@lru_cache(maxsize=1)
def vocabulary(path: str) -> list[bytes | None]:
    """The bytes of each token of a `.tiktoken` file, by id.

    Raises FAILED_PRECONDITION (VOCABULARY_MISSING) without the file, UNAVAILABLE (VOCABULARY_BROKEN) for one that
    cannot be read; the next call tries again.
    """
    try:
        if not path:
            raise FileNotFoundError
        file = Path(path).expanduser()
        if file.stat().st_size > MAX_VOCABULARY_BYTES:
            raise ValueError("it is too large")
        pairs = [line.split() for line in file.read_bytes().splitlines() if line]
        known = {int(rank): base64.b64decode(token, validate=True) for token, rank in pairs}
    except FileNotFoundError as error:
        raise RpcError(Code.FAILED_PRECONDITION, MISSING, reason="VOCABULARY_MISSING", field="input") from error
    except (OSError, ValueError, binascii.Error) as error:
        raise RpcError(
            Code.UNAVAILABLE,
            f"The vocabulary of cl100k ([embeddings] vocabulary) cannot be read: {error}.",
            reason="VOCABULARY_BROKEN",
        ) from error
    return [known.get(rank) for rank in range(max(known, default=-1) + 1)]


def text_of(ids: Sequence[int], path: str, param: str) -> str:
    """The text of these ids. Raises INVALID_ARGUMENT for one that is none, and as `vocabulary` does."""
    known = vocabulary(path)
    found = bytearray()
    for place, number in enumerate(ids):
        piece = known[number] if 0 <= number < len(known) else None
        if piece is None:
            raise invalid(f"{param}: {number} at place {place} is no token id of cl100k_base.", param)
        found += piece
    return found.decode("utf-8", errors="replace")
