"""multipart/form-data, part by part as it comes: nothing is kept but what a part's reader has not taken.

The parser bounds the headers of a part.
"""

from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from bus import RpcError, invalid

MAX_PARTS = 64
MAX_FIELD = 64 * 1024
"""Bytes of a part that is read whole."""


@dataclass(frozen=True, slots=True)
class _Begin:
    name: str
    filename: str
    media_type: str


class _End:
    """A part is over."""


class Part:
    """One part. Iterate over its bytes, or `read` it; what is left of it is skipped when the next one is asked for."""

    def __init__(self, head: _Begin, form: "Form") -> None:
        self.name = head.name
        self.filename = head.filename
        """Empty: a plain field."""

        self.media_type = head.media_type
        self._form = form
        self._over = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while not self._over:
            event = await self._form.event()
            if isinstance(event, bytes):
                yield event
            else:
                self._over = True

    async def read(self, limit: int = MAX_FIELD) -> bytes:
        """All of it. Raises INVALID_ARGUMENT over `limit` bytes."""
        found = bytearray()
        async for piece in self:
            found += piece
            if len(found) > limit:
                raise invalid(f"The form's part {self.name!r} is over {limit:,} bytes.", self.name, "MESSAGE_TOO_LARGE")
        return bytes(found)


class Form:
    """A body's parts. content_type: the request's header. Raises INVALID_ARGUMENT (INVALID_FORM), also later."""

    def __init__(self, content_type: str, pieces: AsyncIterator[bytes]) -> None:
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if kind == b"multipart/form-data" and not boundary:
            raise _malformed("The request's Content-Type is multipart/form-data and lacks its boundary")
        if kind != b"multipart/form-data":
            raise _malformed(f"The request's Content-Type is {content_type[:80]!r}, not multipart/form-data")
        self._pieces = pieces
        self._events: deque[_Begin | bytes | _End] = deque()
        self._headers: dict[bytes, bytes] = {}
        self._field = self._value = b""
        self._parts = 0
        self._ended = False
        callbacks: Any = {
            "on_part_begin": self._on_begin,
            "on_header_field": self._on_field,
            "on_header_value": self._on_value,
            "on_header_end": self._on_header,
            "on_headers_finished": self._on_headers,
            "on_part_data": self._on_data,
            "on_part_end": lambda: self._events.append(_End()),
            "on_end": self._on_end,
        }
        self._parser = MultipartParser(boundary, callbacks)

    async def __aiter__(self) -> AsyncIterator[Part]:
        while True:
            event = await self.event()
            if event is None:
                return
            if isinstance(event, _Begin):
                part = Part(event, self)
                yield part
                async for _ in part:
                    pass

    async def event(self) -> "_Begin | bytes | _End | None":
        """What comes next; None at the end."""
        while not self._events:
            piece = await anext(self._pieces, None)
            if piece is None:
                if not self._ended:
                    raise _malformed("The form ends before its last boundary")
                return None
            try:
                self._parser.write(piece)
            except MultipartParseError as error:
                raise _malformed(f"The form cannot be read: {error}") from error
        return self._events.popleft()

    # ---- from the parser

    def _on_begin(self) -> None:
        self._parts += 1
        self._headers = {}
        if self._parts > MAX_PARTS:
            raise _malformed(f"The form has over {MAX_PARTS} parts")

    def _on_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header(self) -> None:
        self._headers[self._field.lower()] = self._value
        self._field = self._value = b""

    def _on_headers(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        name = _text(options.get(b"name", b""))
        if not name:
            raise _malformed("A part of the form has no name")
        media_type = _text(self._headers.get(b"content-type", b""))
        self._events.append(_Begin(name, _text(options.get(b"filename", b"")), media_type))

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        self._events.append(data[start:end])

    def _on_end(self) -> None:
        self._ended = True


def _text(value: bytes) -> str:
    return value.decode("utf-8", errors="replace")


def _malformed(what: str) -> RpcError:
    return invalid(f"{what}.", reason="INVALID_FORM")
