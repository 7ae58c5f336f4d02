"""What OpenAI's answers have in common: ids, times, fingerprints."""

import hashlib
import secrets
import time

from bus import Code, RpcError

DONE = b"data: [DONE]\n\n"
"""The last event of a stream that ended well."""


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
