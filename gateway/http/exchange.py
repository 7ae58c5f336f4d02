"""What every route does around its own work: key, body, admission, answer, errors."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import msgspec
import structlog
from starlette.types import Receive, Scope, Send

from bus import Code, Metadata, RpcError
from gateway.access import is_loopback
from gateway.http import body
from gateway.http.body import Disconnected, JsonBody
from gateway.http.multipart import Form
from gateway.http.problem import send_error
from gateway.http.record import Record, record_of
from gateway.http.routes import Route
from gateway.http.stream import SERVER_SENT_EVENTS, CutShort, Format, Headers, ResponseStream, disconnected
from gateway.hub import Hub
from gateway.identity import Principal

_PROXIED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")

JSON_HEADERS = (b"content-type", b"application/json")

log = structlog.get_logger(__name__)


class Exchange:
    """One request that was let in. request: the decoded body of a route that takes JSON."""

    __slots__ = ("_headers", "hub", "principal", "receive", "record", "request", "route", "scope", "send")

    def __init__(
        self, hub: Hub, route: Route, principal: Principal, scope: Scope, receive: Receive, send: Send
    ) -> None:
        self.hub = hub
        self.route = route
        self.principal = principal
        self.scope = scope
        self.receive = receive
        self.send = send
        self.record: Record = record_of(scope)
        self.request: Any = None
        self._headers = headers_in(scope)

    def header(self, name: str) -> str:
        """A header of the request, by its name in lower case; empty if there is none."""
        return self._headers.get(name.encode(), b"").decode("latin-1")

    def path_parameter(self, name: str) -> str:
        """What stands in the path."""
        return str(self.scope["path_params"][name])

    async def known(self) -> bool:
        """For routes that need no key and tell strangers less: it has one, or comes from this very machine.

        What a proxy passes on is a stranger's, whatever address the proxy has.
        """
        try:
            await self.hub.access.principal(self.header("authorization"), self.header("x-api-key"))
        except RpcError:
            client = self.scope.get("client")
            return client is not None and is_loopback(client[0]) and not any(map(self.header, _PROXIED))
        return True

    @property
    def metadata(self) -> Metadata:
        """What travels with the calls that are made for this request."""
        return {**self.record.metadata, **self.principal.behalf.metadata()}

    # ---- what comes

    def pieces(self) -> AsyncIterator[bytes]:
        """The body of a route that takes bytes, as it comes. See `body.pieces`."""
        return body.pieces(self.receive)

    def form(self) -> Form:
        """The parts of a form's body, as they come."""
        return Form(self.header("content-type"), self.pieces())

    # ---- what goes

    async def answer(self, content: Any, *, status: int = 200, headers: Headers | None = None) -> None:
        """Answer with a Struct as JSON."""
        encoded = msgspec.json.encode(content)
        await self.respond(status, [JSON_HEADERS, *(headers or ())], encoded)

    async def respond(self, status: int, headers: Headers, content: bytes | None = None) -> None:
        """Answer with these bytes, whole. None: there are none, and `headers` say how many there would be."""
        own = [] if content is None else [(b"content-length", str(len(content)).encode())]
        await self.send({"type": "http.response.start", "status": status, "headers": [*headers, *own]})
        await self.send({"type": "http.response.body", "body": content or b""})

    async def send_pieces(self, status: int, headers: Headers, pieces: AsyncGenerator[bytes]) -> None:
        """Answer with bytes as they come, which nobody waits for but this.

        Raises what `pieces` raises before the first, CutShort where it fails later, and Disconnected; `pieces` is
        closed in any case.
        """
        async with aclosing(pieces):
            first = await anext(pieces, b"")
            await self.send({"type": "http.response.start", "status": status, "headers": headers})
            watching = asyncio.create_task(disconnected(self.receive))
            try:
                await self.send({"type": "http.response.body", "body": first, "more_body": True})
                async for piece in pieces:
                    if watching.done():
                        raise Disconnected
                    await self.send({"type": "http.response.body", "body": piece, "more_body": True})
            except RpcError as error:
                self.record.failed(error)
                raise CutShort(error.reference) from error
            finally:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)
            await self.send({"type": "http.response.body", "body": b""})

    async def stream(
        self,
        produce: Callable[[ResponseStream], Awaitable[None]],
        format: Format = SERVER_SENT_EVENTS,  # noqa: A002  # what it is called
        *,
        headers: Headers | None = None,
    ) -> None:
        """Answer with what `produce` writes. See ResponseStream.run."""
        dialect, failed = self.route.dialect, self.record.failed
        stream = ResponseStream(self.receive, self.send, format, headers=headers, dialect=dialect, failed=failed)
        with self.hub.doors.http.holding(stream):
            await stream.run(produce)


Handler = Callable[[Exchange], Awaitable[None]]


class Endpoint:
    """An ASGI app of one route. scope: what a key must be allowed to do; empty: a key is enough."""

    def __init__(self, hub: Hub, route: Route, scope: str = "") -> None:
        self._hub = hub
        self._route = route
        self._scope = scope

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        record = record_of(scope)
        record.method, record.quiet = self._route.method, self._route.quiet
        try:
            await self._serve(scope, receive, send)
        except Disconnected:
            record.failed(RpcError(Code.CANCELLED, "The client went away.", reason="CLIENT_GONE"))
        except RpcError as error:
            await send_error(scope, send, error, self._route.dialect)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        route, record = self._route, record_of(scope)
        principal = Principal("")
        headers = headers_in(scope)
        if route.key:
            principal = await self._hub.access.principal(_text(headers, b"authorization"), _text(headers, b"x-api-key"))
            record.principal, record.credential_id = principal.name, principal.credential_id
            principal.require(self._scope)
        exchange = Exchange(
            self._hub, route, principal, scope, self._bounded(headers, record.counting_in(receive)), send
        )
        if isinstance(route.body, JsonBody):
            # First, so that a slow client keeps no place from those that are ready.
            exchange.request = route.body.decode(await body.read(exchange.receive, self._hub.limits))
        if not route.admitted:
            await route.handle(exchange)
            return
        with self._hub.limits.call(principal):
            await route.handle(exchange)

    def _bounded(self, headers: dict[bytes, bytes], receive: Receive) -> Receive:
        limits = self._hub.limits
        if getattr(self._route.body, "upload", False):
            return body.bounded(headers, receive, limits.max_upload_bytes, "max_upload_bytes")
        return body.bounded(headers, receive, limits.max_body_bytes, "max_body_bytes")


def _text(headers: dict[bytes, bytes], name: bytes) -> str:
    return headers.get(name, b"").decode("latin-1")


def headers_in(scope: Scope) -> dict[bytes, bytes]:
    """The request's headers by their names in lower case; of several with one name the last."""
    return dict(scope["headers"])
