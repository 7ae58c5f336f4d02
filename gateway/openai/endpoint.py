"""What every OpenAI route does around its own work: key, admission, body, errors."""

import hashlib
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.types import Receive, Scope, Send

from bus import Code, Metadata, RpcError
from gateway.access import Principal
from gateway.hub import Hub
from gateway.openai import body
from gateway.openai.errors import send_error
from gateway.openai.sse import Disconnected, EventStream

JSON_HEADERS = (b"content-type", b"application/json")


class Exchange:
    """One request that was let in. body: empty for a route that takes none."""

    __slots__ = ("body", "hub", "principal", "receive", "scope", "send")

    def __init__(self, hub: Hub, principal: Principal, scope: Scope, receive: Receive, send: Send) -> None:
        self.body = b""
        self.hub = hub
        self.principal = principal
        self.scope = scope
        self.receive = receive
        self.send = send

    @property
    def metadata(self) -> Metadata:
        """What travels with the calls that are made for this request."""
        return self.principal.behalf.metadata()

    async def answer(self, content: Any) -> None:
        """Answer with a Struct as JSON."""
        encoded = msgspec.json.encode(content)
        headers = [JSON_HEADERS, (b"content-length", str(len(encoded)).encode())]
        await self.send({"type": "http.response.start", "status": 200, "headers": headers})
        await self.send({"type": "http.response.body", "body": encoded})

    async def stream(self, produce: Callable[[EventStream], Awaitable[None]]) -> None:
        """Answer with the events that `produce` writes. See EventStream.run."""
        stream = EventStream(self.receive, self.send)
        with self.hub.doors.http.holding(stream):
            await stream.run(produce)


class Endpoint:
    """An ASGI app of one route.

    scope: what the key must be allowed to do. admitted: it has a body and takes one of the places for calls.
    """

    def __init__(
        self, hub: Hub, handle: Callable[[Exchange], Awaitable[None]], *, scope: str = "", admitted: bool = True
    ) -> None:
        self._hub = hub
        self._handle = handle
        self._scope = scope
        self._admitted = admitted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            principal = self._hub.access.principal(_authorization(scope))
            principal.require(self._scope)
            exchange = Exchange(self._hub, principal, scope, receive, send)
            if not self._admitted:
                await self._handle(exchange)
                return
            # First, so that a slow client keeps no place from those that are ready.
            exchange.body = await body.read(receive, self._hub.limits)
            with self._hub.limits.call():
                await self._handle(exchange)
        except Disconnected:
            return
        except RpcError as error:
            await send_error(send, error)


def _authorization(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"authorization":
            return str(value, "latin-1")
    return None


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
