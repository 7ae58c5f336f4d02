"""The first thing that every HTTP request and WebSocket meets: hosts, origins, sizes, numbers, headers.

Browsers are the reason for most of it: any web page may send requests to a hub on the same machine. A page on a name
that its owner points at 127.0.0.1 (DNS rebinding) is told by its Host header, a foreign page by its Origin.
"""

import ipaddress
import re
from collections.abc import Container, Iterable
from contextlib import nullcontext
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bus import Code, RpcError, invalid
from gateway.http.problem import Dialects, send_error
from gateway.http.record import record_of
from gateway.hub import Hub

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self';"
    " connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
]
_SAME_ORIGIN_ONLY = (b"cross-origin-resource-policy", b"same-origin")
_PREFLIGHT = [
    (b"access-control-allow-methods", b"GET, HEAD, POST, DELETE, OPTIONS"),
    (b"access-control-max-age", b"600"),
    (b"content-length", b"0"),
]
_EXPOSED = (b"access-control-expose-headers", b"x-request-id, x-troupe-model, retry-after, retry-after-ms")
_CLOSE_POLICY = 1008
_DENIAL = "websocket.http.response"
"""ASGI's extension for answering a WebSocket's handshake with an HTTP response."""


class Security:
    """ASGI middleware; everything else lies behind it.

    dialects: of the errors that it gives. always: paths that answer also while there are too many connections.
    """

    def __init__(
        self, app: ASGIApp, hub: Hub, dialects: Dialects | None = None, always: Container[str] = frozenset()
    ) -> None:
        self._app = app
        self._dialects = dialects or Dialects()
        self._always = always
        self._limits = hub.limits
        http = hub.settings.http
        self._hosts = frozenset(host.lower().strip("[]") for host in (*http.allowed_hosts, http.host, "localhost"))
        self._origins = frozenset(origin.lower().rstrip("/") for origin in http.cors_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = _interesting(scope["headers"])
        try:
            self._check_host(headers)
            self._check_origin(headers)
        except RpcError as error:
            await receive()
            if _DENIAL in scope.get("extensions", {}):
                await send_error(scope, _denying(send), error, self._dialects.of(scope["path"]))
            else:
                record_of(scope).failed(error)
                await send({"type": "websocket.close", "code": _CLOSE_POLICY})
            record_of(scope).write()
            return
        await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = _interesting(scope["headers"])
        record = record_of(scope)
        added = [*record.headers, *_HEADERS, *self._cors(headers.get(b"origin", ""))]
        send = record.counting(_adding(send, added))
        try:
            await self._guarded(scope, headers, receive, send)
        except RpcError as error:
            await send_error(scope, send, error, self._dialects.of(scope["path"]))
        finally:
            record.write()

    async def _guarded(self, scope: Scope, headers: dict[bytes, str], receive: Receive, send: Send) -> None:
        _check_hosts(scope)
        self._check_host(headers)
        if scope["method"] == "OPTIONS" and b"access-control-request-method" in headers:
            await self._preflight(headers, send)
            return
        if scope["method"] not in SAFE_METHODS:
            self._check_origin(headers)
        _check_encoding(scope, headers)
        with nullcontext() if scope["path"] in self._always else self._limits.connection():
            await self._app(scope, receive, send)

    # ---- who asks

    def _check_host(self, headers: dict[bytes, str]) -> None:
        if b"host" not in headers:
            return  # no browser, and HTTP/1.0, whose clients may leave it out
        host = _host_name(headers[b"host"])
        if host is not None and (host in self._hosts or host.endswith(".localhost") or _is_address(host)):
            return
        given = headers[b"host"] if host is None else host
        raise RpcError(
            Code.PERMISSION_DENIED,
            f"The hub does not answer to the name {given[:100]!r}; add it to [http] allowed_hosts.",
            reason="HOST_NOT_ALLOWED",
        )

    def _check_origin(self, headers: dict[bytes, str]) -> None:
        origin = headers.get(b"origin", "")
        if not origin or self._allows(origin) or _authority(origin) == headers.get(b"host", "").lower():
            return
        raise RpcError(
            Code.PERMISSION_DENIED,
            f"Pages of {origin[:100]!r} may not call the hub; add the origin to [http] cors_origins.",
            reason="ORIGIN_NOT_ALLOWED",
        )

    def _allows(self, origin: str) -> bool:
        return "*" in self._origins or origin.lower() in self._origins

    def _cors(self, origin: str) -> list[tuple[bytes, bytes]]:
        vary = [(b"vary", b"origin")] if self._origins else []
        if not origin or not self._allows(origin):
            return [_SAME_ORIGIN_ONLY, *vary]
        return [(b"access-control-allow-origin", origin.encode("latin-1")), _EXPOSED, *vary]

    async def _preflight(self, headers: dict[bytes, str], send: Send) -> None:
        self._check_origin(headers)
        wanted = headers.get(b"access-control-request-headers", "").encode("latin-1")
        allowed = [*_PREFLIGHT, (b"access-control-allow-headers", wanted)] if wanted else _PREFLIGHT
        await send({"type": "http.response.start", "status": 204, "headers": list(allowed)})
        await send({"type": "http.response.body", "body": b""})


def _check_encoding(scope: Scope, headers: dict[bytes, str]) -> None:
    encoding = headers.get(b"content-encoding", "identity")
    if encoding.lower() not in ("identity", ""):
        raise invalid(
            f"The request's body is encoded with {encoding[:40]!r}; send it as it is, without Content-Encoding.",
            reason="UNSUPPORTED_ENCODING",
        )
    transfer = ", ".join(str(value, "latin-1") for name, value in scope["headers"] if name == b"transfer-encoding")
    if transfer.lower() not in ("chunked", ""):
        raise invalid(
            f"The request's body has the Transfer-Encoding {transfer[:40]!r}; send it as it is, in chunks or at once.",
            reason="UNSUPPORTED_ENCODING",
        )


_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^\[\]:@/?#\\\s]*))(?::[0-9]{0,5})?")

_INTERESTING = frozenset(
    {
        b"host",
        b"origin",
        b"content-encoding",
        b"access-control-request-method",
        b"access-control-request-headers",
    }
)


def _interesting(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, str]:
    return {name: str(value, "latin-1") for name, value in headers if name in _INTERESTING}


def _check_hosts(scope: Scope) -> None:
    """Raises INVALID_ARGUMENT (INVALID_HTTP) unless there is one Host, which only HTTP/1.0 may leave out."""
    hosts = sum(name == b"host" for name, _ in scope["headers"])
    if hosts > 1 or (not hosts and scope.get("http_version") != "1.0"):
        raise invalid(f"The request has {hosts or 'no'} Host headers; HTTP/1.1 wants one.", reason="INVALID_HTTP")


def _host_name(header: str) -> str | None:
    """The name in a Host header, without its port; None if it is anything else."""
    found = _HOST.fullmatch(header.strip().lower())
    return (found[1] or found[2]) if found else None


def _is_address(host: str) -> bool:
    """DNS rebinding needs a name; an address was typed by somebody who meant this machine."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _authority(origin: str) -> str:
    try:
        found = urlsplit(origin)
    except ValueError:
        return ""
    return found.netloc.lower() if found.scheme in ("http", "https") else ""


def _adding(send: Send, headers: list[tuple[bytes, bytes]]) -> Send:
    """A `send` that adds headers to the response's start."""

    async def adding(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *headers]}
        await send(message)

    return adding


def _denying(send: Send) -> Send:
    """A `send` of an HTTP response that answers a WebSocket's handshake."""

    async def denying(message: Message) -> None:
        await send({**message, "type": message["type"].replace("http.response", _DENIAL)})

    return denying
