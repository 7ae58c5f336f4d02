"""The routes for people: a page at /docs that asks no other host for anything, a Postman collection, the icon."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from gateway.http.exchange import Exchange
from gateway.http.postman import collection
from gateway.http.routes import Answer, Route
from gateway.http.state import own_version

PAGES = Path(__file__).parent / "pages"

_FILES = {
    "/docs": ("docs.html", "text/html; charset=utf-8", "docsPage"),
    "/docs/docs.js": ("docs.js", "text/javascript; charset=utf-8", "docsScript"),
    "/docs/docs.css": ("docs.css", "text/css; charset=utf-8", "docsStyle"),
    "/favicon.ico": ("favicon.svg", "image/svg+xml", "icon"),
}


def guide_routes(routes: Sequence[Route]) -> tuple[Route, ...]:
    """The page needs no key, since browsers send none for a page; what it shows does."""
    encoded = msgspec.json.encode(collection(routes, own_version()))

    async def postman(exchange: Exchange) -> None:
        await exchange.respond(200, [(b"content-type", b"application/json")], encoded)

    return (
        Route(
            verb="GET",
            path="/docs/postman.json",
            name="postman",
            summary="These routes as a Postman collection.",
            handle=postman,
            answers=(Answer(dict[str, Any], description="The collection."),),
            quiet=True,
        ),
        *(_file(path, *told) for path, told in _FILES.items()),
    )


def _file(path: str, file: str, media_type: str, name: str) -> Route:
    return Route(
        verb="GET",
        path=path,
        name=name,
        summary=f"The file {file}.",
        handle=_sending((PAGES / file).read_bytes(), media_type),
        key=False,
        quiet=True,
        documented=False,
    )


def _sending(content: bytes, media_type: str) -> Callable[[Exchange], Awaitable[None]]:
    async def send(exchange: Exchange) -> None:
        await exchange.respond(200, [(b"content-type", media_type.encode()), (b"cache-control", b"no-cache")], content)

    return send
