"""The body of a request: bounded, read whole or piece by piece, decoded, its mistakes named with their path."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import Struct
from starlette.types import Message, Receive

from bus import Code, RpcError, invalid, nearest
from gateway.http.errors import body_too_large
from gateway.limits import Holding, Limits

READ_SECONDS = 60.0
"""A client that sends its body for longer, or a piece of an upload, is given up."""

TAIL = 16
"""Bytes that are enough for an escape and what ends the text and the object after it."""

_PATH = re.compile(r" - at `\$?\.?(.*)`$")
_UNKNOWN = re.compile(r"contains unknown field `(.*?)`", re.DOTALL)
_HALF = re.compile(rb"(?<!\\)\\u[dD][89abAB][0-9a-fA-F]{2}[^\\]")
_MISSING = re.compile(r"missing required field `(\w+)`")


class Disconnected(Exception):
    """The client went away before its answer was complete."""


# ---- what a route takes


class JsonBody:
    """A JSON object, read whole and decoded before the route's own work. kind: a Struct."""

    media_type = "application/json"

    def __init__(self, kind: type[Struct]) -> None:
        self.kind = kind
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(kind)

    def decode(self, body: bytes) -> Any:
        """The request. Raises INVALID_ARGUMENT: `field` is the path of what is wrong, as "messages[0].content"."""
        return decode(self._decoder, body)


@dataclass(frozen=True, slots=True)
class RawBody:
    """Bytes, read by the route piece by piece. upload: they may be as large as an upload."""

    media_type: str = "application/octet-stream"
    upload: bool = False


@dataclass(frozen=True, slots=True)
class FormBody:
    """multipart/form-data, read by the route part by part.

    fields: of the form, with what each is, for the OpenAPI document; files are told as in `files`.
    """

    files: Mapping[str, str]
    fields: Mapping[str, str]
    upload: bool = True
    media_type: str = "multipart/form-data"


Body = JsonBody | RawBody | FormBody


# ---- how much


def bounded(headers: Mapping[bytes, bytes], receive: Receive, limit: int, key: str) -> Receive:
    """A `receive` for a body of at most `limit` bytes, which the setting `key` allows.

    Raises RESOURCE_EXHAUSTED (MESSAGE_TOO_LARGE), at once where the request tells its length, else when it gets there.
    """
    length = headers.get(b"content-length")
    if length is None:
        return _counting(receive, limit, key) if b"transfer-encoding" in headers else receive
    if not length.isdigit() or int(length) > limit:
        raise body_too_large(limit, key)
    return receive


def _counting(receive: Receive, limit: int, key: str) -> Receive:
    seen = 0

    async def counting() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > limit:
            raise body_too_large(limit, key)
        return message

    return counting


# ---- reading


async def read(receive: Receive, limits: Limits) -> bytes:
    """The whole body.

    Raises Disconnected, DEADLINE_EXCEEDED (REQUEST_TIMEOUT), RESOURCE_EXHAUSTED, and what `receive` raises.
    """
    try:
        async with asyncio.timeout(READ_SECONDS):
            with limits.body() as holding:
                return await _read(receive, holding)
    except TimeoutError:
        raise _too_slow("The request's body") from None


async def _read(receive: Receive, holding: Holding) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        parts.append(message.get("body", b""))
        holding.take(len(parts[-1]))
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


async def pieces(receive: Receive) -> AsyncIterator[bytes]:
    """The body as it comes, in pieces of the connection's choice; the next is asked for when the last is done with.

    Raises Disconnected, DEADLINE_EXCEEDED (REQUEST_TIMEOUT) for one that does not come, and what `receive` raises.
    """
    more = True
    while more:
        try:
            async with asyncio.timeout(READ_SECONDS):
                message = await receive()
        except TimeoutError:
            raise _too_slow("The next piece of the request's body") from None
        if message["type"] == "http.disconnect":
            raise Disconnected
        more = message.get("more_body", False)
        if message.get("body"):
            yield message["body"]


def _too_slow(what: str) -> RpcError:
    message = f"{what} did not come within {READ_SECONDS:g} seconds."
    return RpcError(Code.DEADLINE_EXCEEDED, message, reason="REQUEST_TIMEOUT")


# ---- what it says


def decode(decoder: "msgspec.json.Decoder[Any]", body: bytes) -> Any:
    """The request. Raises INVALID_ARGUMENT: `field` is the path of what is wrong, for example "messages[0].content"."""
    if not body:
        raise invalid("The request has no body; a JSON object is expected.", reason="INVALID_JSON")
    try:
        try:
            return decoder.decode(body)
        except msgspec.ValidationError as error:
            if not _UNKNOWN.search(str(error)):
                raise
            return decoder.decode(_without_nulls(body))
    except msgspec.ValidationError as error:
        raise _wrong(str(error), decoder.type) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise invalid(f"The request's body is no JSON: {_unread(error, body)}.", reason="INVALID_JSON") from error
    except RecursionError as error:
        raise invalid("The request's body is nested too deeply.", reason="INVALID_JSON") from error


def _without_nulls(body: bytes) -> bytes:
    """The object without its fields that say nothing: some clients send every field that they know as null."""
    given: dict[str, Any] = msgspec.json.decode(body)
    return msgspec.json.encode({name: value for name, value in given.items() if value is not None})


def _unread(error: Exception, body: bytes) -> str:
    """Why it cannot be read. The decoder takes half a character so near the end for an end that came too early."""
    if half := _HALF.search(body[-TAIL:]):
        return f"{half[0][:6].decode()} is half of a surrogate pair, and so no character"
    return str(error)


def _wrong(text: str, kind: type) -> RpcError:
    path = _PATH.search(text)
    missing = _MISSING.search(text)
    unknown = _UNKNOWN.search(text)
    where = path.group(1) if path else ""
    what = text[: path.start()] if path else text
    if missing:
        where = f"{where}.{missing.group(1)}" if where else missing.group(1)
        return invalid(f"{where} is missing.", where)
    if unknown:
        return _not_known(unknown.group(1), where, kind)
    return invalid(f"{where}: {what}." if where else f"{what}.", where)


def _not_known(name: str, where: str, kind: type) -> RpcError:
    close = [] if where or not issubclass(kind, Struct) else nearest(name, kind.__struct_fields__, limit=1)
    hint = f"Did you mean {' or '.join(close)}?" if close else "Leave it out: nothing here knows what it asks for."
    shown = f"{where}.{name[:80]}" if where else name[:80]
    return invalid(f"{shown} is not supported. {hint}", shown, "UNSUPPORTED_PARAMETER")
