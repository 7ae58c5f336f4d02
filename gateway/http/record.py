"""What the access log tells of a request: filled in on its way, written when it has ended."""

import re
import secrets
import time

from starlette.types import Message, Receive, Scope, Send

from bus import Metadata, RpcError
from bus.behalf import REQUEST_ID
from gateway import access_log

KEY = "troupe.record"
TRACE_KEYS = ("traceparent", "tracestate")

MAX_PATH = 200
"""Characters of a path that are written down."""

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_TRACESTATE = re.compile(r"[\x20-\x7e]{1,512}")


class Record:
    """One request.

    request_id: given by the client in `x-request-id`, or made. trace: the client's trace context. quiet: a success is
    not worth a line, as of a probe.
    """

    __slots__ = (
        "_began",
        "_path",
        "_peer",
        "_verb",
        "bytes_in",
        "bytes_out",
        "credential_id",
        "error",
        "method",
        "principal",
        "quiet",
        "request_id",
        "status",
        "tokens",
        "trace",
    )

    def __init__(self, scope: Scope) -> None:
        headers = {bytes(name): value for name, value in scope.get("headers", ())}
        given = headers.get(REQUEST_ID.encode(), b"").decode("latin-1")
        self.request_id = access_log.request_id(given) or f"req_{secrets.token_hex(12)}"
        self.trace = _trace(headers)
        self.principal = self.credential_id = self.method = ""
        self.status = self.bytes_in = self.bytes_out = 0
        self.tokens: int | None = None
        self.error: RpcError | None = None
        self.quiet = False
        self._began = time.perf_counter()
        self._peer = access_log.peer(scope.get("client"))
        self._verb = str(scope.get("method", ""))
        self._path = str(scope.get("path", ""))[:MAX_PATH]

    @property
    def metadata(self) -> Metadata:
        """What travels with each call that is made for this request."""
        return {REQUEST_ID: self.request_id, **self.trace}

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """What goes back to the client with any answer."""
        return [(name.encode(), value.encode("latin-1")) for name, value in self.metadata.items()]

    def failed(self, error: RpcError) -> None:
        """The client is told of this error, or was while it read."""
        self.error = error

    def counting_in(self, receive: Receive) -> Receive:
        """A `receive` that counts what comes in."""

        async def counted() -> Message:
            message = await receive()
            self.bytes_in += len(message.get("body", b""))
            return message

        return counted

    def counting(self, send: Send) -> Send:
        """A `send` that notes the status and counts what goes out."""

        async def counted(message: Message) -> None:
            if message["type"].endswith("response.start"):
                self.status = message["status"]
            else:
                self.bytes_out += len(message.get("body", b""))
            await send(message)

        return counted

    def write(self) -> None:
        """The request has ended."""
        if self.quiet and self.error is None and self.status < 500:
            return
        access_log.write(
            "http",
            self.error,
            peer=self._peer,
            method=self.method,
            verb=self._verb,
            path=self._path,
            status=self.status,
            principal=self.principal,
            credential_id=self.credential_id,
            request_id=self.request_id,
            trace_id=self.trace.get("traceparent", "")[3:35],
            seconds=round(time.perf_counter() - self._began, 4),
            bytes_in=self.bytes_in,
            bytes_out=self.bytes_out,
            tokens=self.tokens,
        )


def record_of(scope: Scope) -> Record:
    """The record of a request; a fresh one where nobody began it."""
    found = scope.get(KEY)
    if not isinstance(found, Record):
        found = scope[KEY] = Record(scope)
    return found


def _trace(headers: dict[bytes, bytes]) -> Metadata:
    parent, state = (headers.get(key.encode(), b"").decode("latin-1") for key in TRACE_KEYS)
    if not _TRACEPARENT.fullmatch(parent):
        return {}
    return {"traceparent": parent} | ({"tracestate": state} if _TRACESTATE.fullmatch(state) else {})
