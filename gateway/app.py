"""The HTTP door: OpenAI's routes, the WebSocket, the chat page, health, metrics."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import Scope
from starlette.websockets import WebSocket

from bus import Code, RpcError
from gateway.access import check_scopes
from gateway.errors import headers_of, status_of
from gateway.health import Health, Probe
from gateway.http_protocol import BoundedHttpProtocol, BoundedWebSocketProtocol
from gateway.hub import Hub
from gateway.openai.document import openapi
from gateway.openai.errors import encoded
from gateway.openai.routes import openai_routes
from gateway.security import Security
from gateway.websocket import MAX_TEXT, serve_websocket
from host.liveness import Presence
from host.metrics import gather

PAGE = Path(__file__).parent.parent / "clients" / "web"

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"

KEEP_ALIVE_SECONDS = 65
"""Longer than clients and proxies keep an idle connection, so that the hub is never the first to close one."""


def create_app(hub: Hub) -> Starlette:
    """The app of one gateway. Raises SettingsError for keys with unknown scopes."""
    scopes = frozenset(method.policy.scope for method in hub.catalog.methods if method.policy.scope)
    check_scopes(hub.settings.auth, scopes, hub.settings.source)
    presence = Presence(hub.transport)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await presence.start()
        yield
        await presence.stop()

    async def websocket(socket: WebSocket) -> None:
        await serve_websocket(socket, hub)

    routes: list[BaseRoute] = [
        *openai_routes(hub),
        *_state_routes(Probe(hub, presence)),
        WebSocketRoute("/ws", websocket),
        Route("/ws", _no_websocket),
        WebSocketRoute("/{path:path}", _nowhere),
        *_page_routes(PAGE),
    ]
    return Starlette(
        routes=routes,
        middleware=[Middleware(Security, hub=hub)],
        exception_handlers={HTTPException: _http_error, Exception: _mistake},
        lifespan=lifespan,
    )


async def _no_websocket(_: Request) -> Response:
    message = "/ws is a WebSocket; connect with a client for those. docs/wire.md has an example."
    response = _error(RpcError(Code.FAILED_PRECONDITION, message, reason="UPGRADE_REQUIRED"))
    response.headers.update({"upgrade": "websocket", "connection": "upgrade"})
    return response


async def _nowhere(socket: WebSocket) -> None:
    message = f"There is no WebSocket at {socket.url.path[:200]}; it is at /ws."
    await socket.send_denial_response(_error(RpcError(Code.NOT_FOUND, message, reason="ROUTE_NOT_FOUND")))


# ---- how the hub is


def _state_routes(probe: Probe) -> list[Route]:
    document = msgspec.json.encode(openapi(_version()))

    async def healthz(_: Request) -> Response:
        return _json(Health())

    async def readyz(_: Request) -> Response:
        found = await probe.readiness()
        return _json(found, 200 if found.ready else 503)

    async def metrics(_: Request) -> Response:
        return Response(
            await gather(probe.hub.transport, expected=len(probe.presence.processes)), media_type=METRICS_TYPE
        )

    async def openapi_document(_: Request) -> Response:
        return Response(document, media_type="application/json")

    return [
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/metrics", metrics),
        Route("/openapi.json", openapi_document),
    ]


def _json(value: object, status: int = 200) -> Response:
    headers = {"cache-control": "no-store"}
    return Response(msgspec.json.encode(value), status, media_type="application/json", headers=headers)


def _version() -> str:
    try:
        return version("troupe-hub")
    except PackageNotFoundError:  # run from the sources
        return "0"


# ---- the chat page


class _Fresh(StaticFiles):
    """Files that browsers ask for again each time, so that a new version is seen at once."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["cache-control"] = "no-cache"
        return response


def _page_routes(page: Path) -> list[BaseRoute]:
    async def index(_: Request) -> Response:
        return FileResponse(page / "index.html", headers={"cache-control": "no-cache"})

    return [Route("/", index), Mount("/web", _Fresh(directory=page))]


# ---- errors of the routing itself


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    response = _error(_routing_error(request, error), error.status_code)
    response.headers.update(error.headers or {})
    return response


def _routing_error(request: Request, error: HTTPException) -> RpcError:
    where = f"{request.method} {request.url.path[:200]}"
    if error.status_code == 404:
        return RpcError(
            Code.NOT_FOUND, f"There is no {where}. /openapi.json lists what there is.", reason="ROUTE_NOT_FOUND"
        )
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "another method")
        return RpcError(
            Code.UNIMPLEMENTED, f"There is no {where}, but {allowed} of it.", reason="HTTP_METHOD_NOT_ALLOWED"
        )
    return RpcError(Code.INVALID_ARGUMENT, f"{where}: {error.detail}.")


async def _mistake(request: Request, error: Exception) -> Response:
    """What nobody foresaw. Starlette raises it on, so that the server logs it."""
    return _error(RpcError(Code.INTERNAL, "The gateway made a mistake; its log has the cause."))


def _error(error: RpcError, status: int = 0) -> Response:
    response = Response(encoded(error), status or status_of(error), media_type="application/json")
    for name, value in headers_of(error):
        response.headers[name.decode()] = value.decode()
    return response


# ---- the server


def uvicorn_config(hub: Hub, app: Starlette) -> uvicorn.Config:
    """How uvicorn serves the app."""
    settings = hub.settings
    return uvicorn.Config(
        app,
        host=settings.http.host,
        port=settings.http.port,
        loop="auto",
        http=BoundedHttpProtocol,
        ws=BoundedWebSocketProtocol,
        ws_max_size=2 * MAX_TEXT,
        ws_ping_interval=20.0,
        ws_ping_timeout=20.0,
        ws_per_message_deflate=False,
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=True,
        # The typed refusal at [limits] max_connections comes first; this bounds what never gets that far.
        limit_concurrency=2 * settings.limits.max_connections,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=max(1, round(settings.drain_seconds)),
    )
