"""Content of known size: whole, a range of it, or the word that the client's copy is still good."""

import re
from collections.abc import AsyncGenerator, Callable
from urllib.parse import quote

from bus import Code, RpcError
from gateway.http.exchange import Exchange

_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")

Read = Callable[[int, int], AsyncGenerator[bytes]]
"""(first byte, number of bytes) -> the bytes, in pieces."""


def range_of(header: str, size: int) -> tuple[int, int] | None:
    """The first byte and the number of bytes that a Range header asks for.

    None: all of it, also where the header is no single range of bytes, which RFC 9110 allows to answer whole. Raises
    OUT_OF_RANGE (RANGE_NOT_SATISFIABLE) where nothing of the range is there.
    """
    asked = _RANGE.fullmatch(header.strip())
    if asked is None or asked.group(0) == "bytes=-":
        return None
    first, last = asked.groups()
    if not first:
        wanted = min(int(last), size)
        begin, end = size - wanted, size
    else:
        begin, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < begin:
            return None
    if begin >= end:
        raise RpcError(
            Code.OUT_OF_RANGE,
            f"The range {header[:60]!r} is outside of the {size:,} bytes that there are.",
            reason="RANGE_NOT_SATISFIABLE",
            metadata={"size": str(size)},
        )
    return begin, end - begin


async def send_content(
    exchange: Exchange, read: Read, *, size: int, media_type: str, etag: str, filename: str = ""
) -> None:
    """Answer GET or HEAD with content, or with the part of it that the request wants.

    etag: of exactly these bytes, without quotes. filename: browsers save it under this name. Raises what `read` raises
    before its first piece, OUT_OF_RANGE, and CutShort where it fails later.
    """
    headers = _headers(media_type, etag, filename)
    if _matches(exchange.header("if-none-match"), etag):
        await exchange.respond(304, headers)
        return
    asked = exchange.header("range")
    fresh = exchange.header("if-range").strip() in ("", f'"{etag}"')
    part = range_of(asked, size) if asked and fresh else None
    begin, length = part or (0, size)
    headers.append((b"content-length", str(length).encode()))
    if part is not None:
        headers.append((b"content-range", f"bytes {begin}-{begin + length - 1}/{size}".encode()))
    status = 200 if part is None else 206
    if exchange.scope["method"] == "HEAD" or not length:
        await exchange.respond(status, headers)
    else:
        await exchange.send_pieces(status, headers, read(begin, length))


def _headers(media_type: str, etag: str, filename: str) -> list[tuple[bytes, bytes]]:
    headers = [
        (b"content-type", media_type.encode("latin-1", errors="replace")),
        (b"etag", f'"{etag}"'.encode("latin-1")),
        (b"accept-ranges", b"bytes"),
        (b"cache-control", b"private, no-cache"),
    ]
    if filename:
        headers.append((b"content-disposition", f"attachment; filename*=UTF-8''{quote(filename, safe='')}".encode()))
    return headers


def _matches(header: str, etag: str) -> bool:
    return header.strip() == "*" or any(
        name.strip().removeprefix("W/") == f'"{etag}"' for name in header.split(",") if name.strip()
    )
