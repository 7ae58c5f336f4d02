from dataclasses import replace
from typing import Any

import httpx
import msgspec
import pytest
from starlette.types import Message, Receive, Scope, Send

from gateway.http.security import Security
from gateway.hub import Hub
from gateway.limits import Limits
from gateway.settings import LimitSettings


async def echo_length(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the length of the body; accepts every WebSocket."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        return
    size = 0
    while True:
        message = await receive()
        size += len(message.get("body", b""))
        if not message.get("more_body"):
            break
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-own", b"1")]})
    await send({"type": "http.response.body", "body": str(size).encode()})


@pytest.fixture
def hub(gateway: Any) -> Hub:
    found: Hub = gateway.hub
    return found


def guarded(hub: Hub, *, limits: LimitSettings | None = None, **http: Any) -> Security:
    settings = msgspec.structs.replace(hub.settings, http=msgspec.structs.replace(hub.settings.http, **http))
    return Security(echo_length, replace(hub, settings=settings, limits=Limits(limits or settings.limits)))


def client(app: Security, host: str = "127.0.0.1:8080") -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=f"http://{host}")


async def websocket(app: Security, **headers: str) -> Message:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await app({"type": "websocket", "path": "/ws", "headers": raw}, receive, send)
    return sent[0]


# ---- names


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8080", "localhost:8080", "LOCALHOST", "[::1]:8080", "hub.localhost:1", "192.168.1.7:8080"]
)
async def test_the_hub_answers_to_loopback_names_and_addresses(hub: Hub, host: str) -> None:
    response = await client(guarded(hub)).get("/", headers={"host": host})
    assert response.status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8080", "", "[", "10.1"),
        *("localhost:1@evil.example", "evil@hub.localhost", "localhost:x", "localhost/", "[::1]x", "[::1", "::1:2:"),
    ],
)
async def test_a_rebound_name_is_refused(hub: Hub, host: str) -> None:
    response = await client(guarded(hub)).get("/", headers={"host": host})
    assert response.status_code == 403
    assert response.json()["reason"] == "HOST_NOT_ALLOWED"
    assert "allowed_hosts" in response.json()["detail"]


async def test_a_name_from_the_settings_is_allowed_and_its_neighbours_are_not(hub: Hub) -> None:
    app = guarded(hub, allowed_hosts=["Hub.Home"])
    assert (await client(app).get("/", headers={"host": "hub.home:8080"})).status_code == 200
    assert (await client(app).get("/", headers={"host": "x.hub.home"})).status_code == 403


async def test_a_websocket_under_a_rebound_name_is_refused(hub: Hub) -> None:
    message = await websocket(guarded(hub), host="evil.example")
    assert (message["type"], message["code"]) == ("websocket.close", 1008)


# ---- origins


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:9999", "http://127.0.0.1:8080.evil", "http://["]
)
async def test_a_foreign_page_may_not_post(hub: Hub, origin: str) -> None:
    response = await client(guarded(hub)).post("/", headers={"origin": origin})
    assert response.status_code == 403
    assert response.json()["reason"] == "ORIGIN_NOT_ALLOWED"
    assert "access-control-allow-origin" not in response.headers


async def test_the_hubs_own_page_and_programs_without_a_page_may_post(hub: Hub) -> None:
    app = guarded(hub)
    assert (await client(app).post("/", headers={"origin": "http://127.0.0.1:8080"})).status_code == 200
    assert (await client(app).post("/")).status_code == 200


async def test_a_foreign_page_may_get_but_the_browser_does_not_show_it(hub: Hub) -> None:
    response = await client(guarded(hub)).get("/", headers={"origin": "http://evil.example"})
    assert response.status_code == 200
    assert "access-control-allow-origin" not in response.headers
    assert response.headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize(
    ("origin", "kind"),
    [
        ("http://evil.example", "websocket.close"),
        ("http://127.0.0.1:8080", "websocket.accept"),
        ("", "websocket.accept"),
    ],
)
async def test_a_websocket_is_for_the_own_page_and_for_programs(hub: Hub, origin: str, kind: str) -> None:
    headers = {"host": "127.0.0.1:8080"} | ({"origin": origin} if origin else {})
    assert (await websocket(guarded(hub), **headers))["type"] == kind


async def test_an_origin_from_the_settings_may_post_and_read(hub: Hub) -> None:
    app = guarded(hub, cors_origins=["https://Notes.Example/"])
    response = await client(app).post("/", headers={"origin": "https://notes.example"})
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == "https://notes.example"
    assert response.headers["vary"] == "origin"
    assert (await websocket(app, host="localhost", origin="https://notes.example"))["type"] == "websocket.accept"


async def test_a_preflight_is_answered_for_allowed_origins_only(hub: Hub) -> None:
    app = guarded(hub, cors_origins=["https://notes.example"])
    asking = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}
    response = await client(app).options("/v1/models", headers={"origin": "https://notes.example", **asking})
    assert response.status_code == 204
    assert response.headers["access-control-allow-headers"] == "authorization,content-type"
    assert "POST" in response.headers["access-control-allow-methods"]
    refused = await client(app).options("/v1/models", headers={"origin": "https://evil.example", **asking})
    assert refused.status_code == 403


# ---- headers


async def test_every_answer_has_security_headers_and_an_id_of_its_own(hub: Hub) -> None:
    app = guarded(hub)
    first, second = await client(app).get("/"), await client(app).get("/", headers={"host": "evil.example"})
    for response in (first, second):
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["x-frame-options"] == "DENY"
        policy = response.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
    assert first.headers["x-own"] == "1"
    assert first.headers["x-request-id"].startswith("req_")
    assert first.headers["x-request-id"] != second.headers["x-request-id"]


# ---- sizes and numbers


async def test_too_many_requests_at_once_are_told_to_come_back(hub: Hub) -> None:
    app = guarded(hub, limits=LimitSettings(max_connections=1))
    with app._limits.connection():
        response = await client(app).get("/")
    assert response.status_code == 429
    assert response.headers["retry-after"] == "1"
    assert response.json()["reason"] == "TOO_MANY_CONNECTIONS"
    assert (await client(app).get("/")).status_code == 200
    assert app._limits.connection().in_use == 0


@pytest.mark.parametrize("coding", ["gzip, chunked", "gzip", "identity"])
async def test_a_transfer_encoding_that_would_have_to_be_undone_is_refused(hub: Hub, coding: str) -> None:
    response = await client(guarded(hub)).post("/", content=b"x", headers={"transfer-encoding": coding})
    assert (response.status_code, response.json()["reason"]) == (415, "UNSUPPORTED_ENCODING")
    assert repr(coding) in response.json()["detail"]
