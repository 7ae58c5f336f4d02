"""The body of a request: read within limits, decoded, its mistakes named with their path."""

import asyncio
import re
from typing import TypeVar

import msgspec
from msgspec import Struct
from starlette.types import Receive

from bus import Code, RpcError, invalid
from gateway.limits import Holding, Limits
from gateway.openai.sse import Disconnected

READ_SECONDS = 60.0
"""A client that sends its body for longer is given up."""

_PATH = re.compile(r" - at `\$?\.?(.*)`$")
_MISSING = re.compile(r"missing required field `(\w+)`")

Kind = TypeVar("Kind", bound=Struct)


async def read(receive: Receive, limits: Limits) -> bytes:
    """The whole body.

    Raises Disconnected, DEADLINE_EXCEEDED (REQUEST_TIMEOUT), RESOURCE_EXHAUSTED, and what `receive` raises.
    """
    try:
        async with asyncio.timeout(READ_SECONDS):
            with limits.body() as holding:
                return await _read(receive, holding)
    except TimeoutError:
        message = f"The request's body did not come within {READ_SECONDS:g} seconds."
        raise RpcError(Code.DEADLINE_EXCEEDED, message, reason="REQUEST_TIMEOUT") from None


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


def decode(decoder: "msgspec.json.Decoder[Kind]", body: bytes) -> Kind:
    """The request. Raises INVALID_ARGUMENT: `field` is the path of what is wrong, for example "messages[0].content"."""
    if not body:
        raise invalid("The request has no body; a JSON object is expected.", reason="INVALID_JSON")
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _wrong(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise invalid(f"The request's body is no JSON: {error}.", reason="INVALID_JSON") from error
    except RecursionError as error:
        raise invalid("The request's body is nested too deeply.", reason="INVALID_JSON") from error


def _wrong(text: str) -> RpcError:
    path = _PATH.search(text)
    missing = _MISSING.search(text)
    where = path.group(1) if path else ""
    what = text[: path.start()] if path else text
    if missing:
        where = f"{where}.{missing.group(1)}" if where else missing.group(1)
        return invalid(f"{where} is missing.", where)
    return invalid(f"{where}: {what}." if where else f"{what}.", where)
