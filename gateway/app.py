"""The HTTP door: the neutral layer, the dialects on it, the WebSocket and the chat page, put together."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, WebSocketRoute
from starlette.routing import Route as PathRoute
from starlette.staticfiles import StaticFiles
from starlette.types import Scope
from starlette.websockets import WebSocket

from bus import Code, RpcError
from gateway import blobs
from gateway.access import check_scopes
from gateway.health import Probe
from gateway.http.errors import headers_of, status_of
from gateway.http.exchange import Endpoint
from gateway.http.guide import guide_routes
from gateway.http.problem import NEUTRAL, Dialects, encoded
from gateway.http.protocol import BoundedHttpProtocol, BoundedWebSocketProtocol
from gateway.http.record import record_of
from gateway.http.routes import Route
from gateway.http.security import Security
from gateway.http.state import document_route, state_routes
from gateway.hub import Hub
from gateway.openai import routes as openai
from gateway.openai.errors import OPENAI
from gateway.websocket import MAX_TEXT, serve_websocket
from host.liveness import Presence
from host.outlook import watch

PAGE = Path(__file__).parent.parent / "clients" / "web"

DIALECTS = Dialects([("/v1/blobs", NEUTRAL), (openai.PREFIX, OPENAI)])
"""Which paths speak which dialect."""

INSTEAD = {"/v1/responses": "Use /v1/chat/completions; OpenAI's Responses are not served."}
"""What to do about routes that clients ask for by themselves and that are not there."""

KEEP_ALIVE_SECONDS = 65
"""Longer than clients and proxies keep an idle connection, so that the hub is never the first to close one."""

log = structlog.get_logger(__name__)


def create_app(hub: Hub, heard: Presence | None = None) -> Starlette:
    """The app of one gateway. heard: who is there, where the process listens already, as a member does.

    Raises SettingsError for keys with unknown scopes.
    """
    check_scopes(hub.settings.auth, hub.catalog.scopes, hub.settings.source)
    presence = heard or Presence(hub.transport)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        if heard is None:
            watch(hub.channel, presence)
            await presence.start()
        watching = [asyncio.create_task(hub.access.watch()), asyncio.create_task(hub.names.watch(hub.channel))]
        yield
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
        if heard is None:
            await presence.stop()

    async def websocket(socket: WebSocket) -> None:
        await serve_websocket(socket, hub)

    table = table_of(Probe(hub, presence))
    routes: list[BaseRoute] = [
        *served(hub, table),
        WebSocketRoute("/ws", websocket),
        PathRoute("/ws", _no_websocket),
        WebSocketRoute("/{path:path}", _nowhere),
        *_page_routes(PAGE),
    ]
    always = always_answered(table)
    return Starlette(
        routes=routes,
        middleware=[Middleware(Security, hub=hub, dialects=DIALECTS, always=always)],
        exception_handlers={HTTPException: _http_error, Exception: _mistake},
        lifespan=lifespan,
    )


def table_of(probe: Probe) -> list[Route]:
    """Every route of the hub but the page's and the WebSocket's."""
    routes = [*openai.ROUTES, *blobs.ROUTES, *state_routes(probe)]
    routes += guide_routes(routes)
    return [*routes, document_route(routes)]


def always_answered(table: Iterable[Route]) -> frozenset[str]:
    """The paths that answer however busy the hub is."""
    return frozenset(route.path for route in table if route.always)


def served(hub: Hub, table: Iterable[Route]) -> list[BaseRoute]:
    """The table as Starlette serves it. A route asks for the scope that its method's policy names."""
    return [
        PathRoute(route.path, Endpoint(hub, route, _scope(hub, route)), methods=[route.verb], name=route.name)
        for route in table
    ]


def _scope(hub: Hub, route: Route) -> str:
    return hub.catalog.method(route.method).policy.scope if route.method else ""


async def _no_websocket(request: Request) -> Response:
    message = "/ws is a WebSocket; connect with a client for those. docs/wire.md has an example."
    response = _error(request, RpcError(Code.FAILED_PRECONDITION, message, reason="UPGRADE_REQUIRED"))
    response.headers.update({"upgrade": "websocket", "connection": "upgrade"})
    return response


async def _nowhere(socket: WebSocket) -> None:
    message = f"There is no WebSocket at {socket.url.path[:200]}; it is at /ws."
    error = RpcError(Code.NOT_FOUND, message, reason="ROUTE_NOT_FOUND")
    await socket.send_denial_response(_error(socket, error))
    record_of(socket.scope).write()


# ---- the chat page


class _Fresh(StaticFiles):
    """Files that browsers ask for again each time, so that a new version is seen at once."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        record_of(scope).quiet = True
        response = await super().get_response(path, scope)
        response.headers["cache-control"] = "no-cache"
        return response


def _page_routes(page: Path) -> list[BaseRoute]:
    async def index(request: Request) -> Response:
        record_of(request.scope).quiet = True
        return FileResponse(page / "index.html", headers={"cache-control": "no-cache"})

    return [PathRoute("/", index), Mount("/web", _Fresh(directory=page))]


# ---- errors of the routing itself


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    response = _error(request, _routing_error(request, error), error.status_code)
    response.headers.update(error.headers or {})
    return response


def _routing_error(request: Request, error: HTTPException) -> RpcError:
    where = f"{request.method} {request.url.path[:200]}"
    if error.status_code == 404:
        instead = INSTEAD.get(request.url.path.rstrip("/"), "/docs shows what there is.")
        return RpcError(Code.NOT_FOUND, f"There is no {where}. {instead}", reason="ROUTE_NOT_FOUND")
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "another method")
        return RpcError(
            Code.UNIMPLEMENTED, f"There is no {where}, but {allowed} of it.", reason="HTTP_METHOD_NOT_ALLOWED"
        )
    return RpcError(Code.INVALID_ARGUMENT, f"{where}: {error.detail}.")


async def _mistake(request: Request, error: Exception) -> Response:
    """What nobody foresaw. Starlette raises it on, so that the server logs it too."""
    found = RpcError(Code.INTERNAL, "The gateway made a mistake; the reference names it in the logs.")
    log.error("http.failed", reference=found.reference, exc_info=error)
    return _error(request, found)


def _error(request: Request | WebSocket, error: RpcError, status: int = 0) -> Response:
    record_of(request.scope).failed(error)
    dialect = DIALECTS.of(request.url.path)
    response = Response(encoded(error, dialect), status or status_of(error), media_type=dialect.media_type)
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
