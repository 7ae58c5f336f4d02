"""How errors look: neutral, as RFC 9457 has them, or as the dialect of a path wants them."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Protocol

import msgspec
from msgspec import Struct
from starlette.types import Scope, Send

from bus import RpcError
from gateway.http.errors import headers_of, status_of
from gateway.http.record import record_of

PROBLEM_TYPE = "application/problem+json"

_PHRASES = {status.value: status.phrase for status in HTTPStatus}


class Problem(Struct, kw_only=True, frozen=True):
    """An error, as RFC 9457 has it, with what every error of the hub carries.

    title: of the status. detail: what is wrong and what to do. reason: stable, for programs. field: the path of what is
    at fault in the request. reference: the log's lines about it carry the same.
    """

    title: str
    status: int
    detail: str
    code: str
    reason: str
    reference: str
    type: str = "about:blank"
    field: str | None = None
    details: dict[str, str] | None = None


class Dialect(Protocol):
    """Whose words errors are told in."""

    name: str
    """For the OpenAPI document's groups, for example "OpenAI"."""

    media_type: str
    """Of an error's body."""

    error_type: type[Struct]
    """What the body is, for the OpenAPI document."""

    def error(self, error: RpcError) -> Struct:
        """The body; an `error_type`."""


class Neutral:
    """Of no dialect."""

    name = "Hub"
    media_type = PROBLEM_TYPE
    error_type: type[Struct] = Problem

    def error(self, error: RpcError) -> Problem:
        """The problem."""
        status = status_of(error)
        return Problem(
            title=_PHRASES.get(status, "Client Closed Request"),
            status=status,
            detail=error.message,
            code=error.code.name,
            reason=error.reason,
            reference=error.reference,
            field=error.field or None,
            details=error.metadata or None,
        )


NEUTRAL: Dialect = Neutral()


class Dialects:
    """Which paths speak which dialect: errors that come before a route is found are told in that of the path."""

    def __init__(self, prefixes: Iterable[tuple[str, Dialect]] = ()) -> None:
        self._prefixes = tuple(prefixes)

    def of(self, path: str) -> Dialect:
        """The dialect of a path; the neutral one where no other has it."""
        for prefix, dialect in self._prefixes:
            if path == prefix or path.startswith(f"{prefix}/"):
                return dialect
        return NEUTRAL


def encoded(error: RpcError, dialect: Dialect = NEUTRAL) -> bytes:
    """The body of an error's response."""
    return msgspec.json.encode(dialect.error(error))


async def send_error(scope: Scope, send: Send, error: RpcError, dialect: Dialect = NEUTRAL) -> None:
    """Answer a request with the error, over a `send` that has sent nothing yet."""
    record_of(scope).failed(error)
    body = encoded(error, dialect)
    headers = [
        (b"content-type", dialect.media_type.encode()),
        (b"content-length", str(len(body)).encode()),
        *headers_of(error),
    ]
    await send({"type": "http.response.start", "status": status_of(error), "headers": headers})
    await send({"type": "http.response.body", "body": body})
