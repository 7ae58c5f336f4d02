"""How errors look over HTTP: the status and the headers of each."""

import math

from bus import Code, RpcError

CLIENT_CLOSED_REQUEST = 499

_STATUS = {
    Code.CANCELLED: CLIENT_CLOSED_REQUEST,
    Code.UNKNOWN: 500,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    # What a model does not offer stays so: clients repeat every status from 500 on.
    Code.UNIMPLEMENTED: 400,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.DATA_LOSS: 500,
    Code.UNAUTHENTICATED: 401,
}
_STATUS_OF_REASON = {
    "MESSAGE_TOO_LARGE": 413,
    "CONTEXT_LENGTH_EXCEEDED": 400,
    # The request is right; the hub lacks what it takes.
    "MODEL_LOAD_FAILED": 503,
    "ROUTE_NOT_FOUND": 404,
    "HTTP_METHOD_NOT_ALLOWED": 405,
    "REQUEST_TIMEOUT": 408,
    "UNSUPPORTED_ENCODING": 415,
    "RANGE_NOT_SATISFIABLE": 416,
    "UPGRADE_REQUIRED": 426,
    "HEAD_TOO_LARGE": 431,
    "STORE_FULL": 507,
    "INSUFFICIENT_MEMORY": 507,
}
_LASTS = frozenset({"INSUFFICIENT_MEMORY", "STORE_FULL", "MODEL_LOAD_FAILED"})
"""Nothing is otherwise when it is asked again, which OpenAI's clients do by themselves after statuses from 500 on."""


def status_of(error: RpcError) -> int:
    """The HTTP status; 400 to 599."""
    return _STATUS_OF_REASON.get(error.reason) or _STATUS.get(error.code, 500)


def headers_of(error: RpcError) -> list[tuple[bytes, bytes]]:
    """What a client needs besides the body: when to come back, how to authenticate."""
    found: list[tuple[bytes, bytes]] = []
    if error.retry_after is not None:
        found.append((b"retry-after", str(max(1, math.ceil(error.retry_after))).encode()))
        found.append((b"retry-after-ms", str(max(1, math.ceil(error.retry_after * 1000))).encode()))
    if error.reason in _LASTS and error.retry_after is None:
        found.append((b"x-should-retry", b"false"))
    if error.reason == "RANGE_NOT_SATISFIABLE":
        found.append((b"content-range", f"bytes */{error.metadata['size']}".encode()))
    if error.code is Code.UNAUTHENTICATED:
        found.append((b"www-authenticate", b"Bearer"))
    return found


def body_too_large(limit: int, key: str = "max_body_bytes") -> RpcError:
    """An HTTP body is over the limit that a key of [limits] sets."""
    return RpcError(
        Code.RESOURCE_EXHAUSTED,
        f"The request's body is over {limit:,} bytes, the limit that [limits] {key} sets.",
        reason="MESSAGE_TOO_LARGE",
        metadata={"limit": str(limit)},
    )
