import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import msgspec
import pytest
import websockets
from structlog.testing import capture_logs

from gateway.access import Access, new_key
from gateway.app import create_app
from gateway.http.protocol import LOOKS, MAX_HEAD_BYTES, StallWatch
from gateway.hub import Hub
from gateway.identity import hash_key
from gateway.limits import Limits
from gateway.settings import AuthSettings, KeySettings, LimitSettings
from gateway.testing import listening
from host.settings import SettingsError


@pytest.fixture
def hub(gateway: Any) -> Hub:
    found: Hub = gateway.hub
    return found


@pytest.fixture
async def port(hub: Hub) -> AsyncIterator[int]:
    async with listening(hub) as found:
        yield found


@pytest.fixture
async def http(port: int) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        yield client


async def exchange(port: int, *pieces: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for piece in pieces:
        writer.write(piece)
    answer = await reader.read()
    writer.close()
    return answer


async def test_the_process_tells_that_it_lives(http: httpx.AsyncClient) -> None:
    response = await http.get("/healthz")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})
    assert response.headers["cache-control"] == "no-store"
    assert "server" not in response.headers


async def test_readiness_is_503_with_reasons_while_no_actor_is_heard(http: httpx.AsyncClient) -> None:
    response = await http.get("/readyz")
    assert response.status_code == 503
    body = response.json()
    assert body["ready"] is False
    assert body["dependencies"]["bus"]["ready"] is True


async def test_metrics_are_prometheus_text(http: httpx.AsyncClient) -> None:
    response = await http.get("/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")


async def test_strangers_learn_no_names_and_no_metrics_of_a_hub_with_keys(hub: Hub) -> None:
    key = new_key()
    keys = AuthSettings(keys=[KeySettings(name="one", hash=hash_key(key))])
    locked = replace(hub, settings=msgspec.structs.replace(hub.settings, auth=keys), access=Access(keys))
    transport = httpx.ASGITransport(create_app(locked), client=("192.0.2.7", 123))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        for path in ("/metrics", "/openapi.json"):
            assert (await client.get(path)).status_code == 401
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/readyz")).json()["dependencies"] == {}
        client.headers["x-api-key"] = key
        assert (await client.get("/readyz")).json()["dependencies"]["bus"]["ready"] is True
        assert (await client.get("/metrics")).status_code == 200
        assert (await client.get("/openapi.json")).status_code == 200


@pytest.mark.parametrize(("headers", "told"), [({}, True), ({"x-forwarded-for": "192.0.2.7"}, False)])
async def test_programs_on_this_machine_are_no_strangers_but_what_a_proxy_passes_on_is(
    hub: Hub, headers: dict[str, str], told: bool
) -> None:
    keys = AuthSettings(keys=[KeySettings(name="one", hash=hash_key(new_key()))])
    locked = replace(hub, settings=msgspec.structs.replace(hub.settings, auth=keys), access=Access(keys))
    transport = httpx.ASGITransport(create_app(locked), client=("127.0.0.1", 123))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        assert bool((await client.get("/readyz", headers=headers)).json()["dependencies"]) is told


async def test_health_is_told_also_while_there_are_too_many_connections(hub: Hub) -> None:
    full = replace(hub, limits=Limits(LimitSettings(max_connections=1)))
    transport = httpx.ASGITransport(create_app(full))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        with full.limits.connection():
            assert (await client.get("/v1/models")).status_code == 429
            assert (await client.get("/healthz")).status_code == 200
            assert (await client.get("/readyz")).json()["dependencies"]["bus"]["ready"] is True


async def test_the_page_and_its_files_are_served_and_nothing_above_them(http: httpx.AsyncClient) -> None:
    page = await http.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "<title>Troupe</title>" in page.text
    script = await http.get("/web/page.js")
    assert "javascript" in script.headers["content-type"]
    assert script.headers["cache-control"] == "no-cache"
    for path in ("/web/../python/pyproject.toml", "/web/%2e%2e/%2e%2e/pyproject.toml", "/web/nothing.js"):
        assert (await http.get(path)).status_code == 404


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1"])
async def test_an_unknown_path_under_v1_is_told_in_openais_shape(http: httpx.AsyncClient, path: str) -> None:
    response = await http.get(path)
    assert response.status_code == 404
    error = response.json()["error"]
    assert (error["type"], error["code"]) == ("invalid_request_error", "route_not_found")
    assert path in error["message"]


async def test_who_asks_for_responses_is_told_of_chat_completions(http: httpx.AsyncClient) -> None:
    response = await http.post("/v1/responses", json={"model": "troupe-tiny", "input": "Hi"})
    assert response.status_code == 404
    assert "Use /v1/chat/completions" in response.json()["error"]["message"]


@pytest.mark.parametrize("path", ["/nothing", "/v1x", "/web/nothing.js"])
async def test_an_unknown_path_elsewhere_is_told_as_a_problem(http: httpx.AsyncClient, path: str) -> None:
    response = await http.get(path)
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert (problem["status"], problem["reason"], problem["title"]) == (404, "ROUTE_NOT_FOUND", "Not Found")
    assert path in problem["detail"]


async def test_a_wrong_method_is_told_with_the_right_one(http: httpx.AsyncClient) -> None:
    response = await http.get("/v1/chat/completions")
    assert response.status_code == 405
    assert response.headers["allow"] == "POST"
    assert response.json()["error"]["code"] == "http_method_not_allowed"


async def test_what_nobody_foresaw_is_a_500_with_a_reference(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: Any, **__: Any) -> bytes:
        raise ZeroDivisionError

    monkeypatch.setattr("gateway.http.state.gather", broken)
    transport = httpx.ASGITransport(create_app(hub), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        response = await client.get("/metrics")
    assert response.status_code == 500
    assert response.json()["reason"] == "INTERNAL"
    assert response.json()["reference"]


async def test_a_key_with_an_unknown_scope_does_not_start(hub: Hub) -> None:
    keys = AuthSettings(keys=[KeySettings(name="one", hash="0" * 64, scopes=["chatt"])])
    settings = msgspec.structs.replace(hub.settings, auth=keys)
    with pytest.raises(SettingsError, match="Did you mean chat"):
        create_app(replace(hub, settings=settings))


# ---- the document


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*map(references, value.values()))
    return set().union(*map(references, value)) if isinstance(value, list) else set()


async def test_the_openapi_document_names_every_route_and_resolves(http: httpx.AsyncClient) -> None:
    document = (await http.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    assert set(document["paths"]) == {
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/embeddings",
        "/v1/models",
        "/v1/models/{model}",
        "/v1/blobs",
        "/v1/blobs/{id}",
        "/healthz",
        "/health",
        "/readyz",
        "/metrics",
        "/version",
        "/docs/postman.json",
        "/openapi.json",
    }
    schemas = document["components"]["schemas"]
    assert {name.removeprefix("#/components/schemas/") for name in references(document)} <= set(schemas)
    request = schemas["ChatRequest"]
    assert request["required"] == ["messages"]
    assert request["properties"]["n"]["anyOf"][0]["maximum"] == 16
    answers = document["paths"]["/v1/chat/completions"]["post"]["responses"]
    assert set(answers["200"]["content"]) == {"application/json", "text/event-stream"}
    assert answers["429"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/ErrorBody"}
    assert json.dumps(document)


async def test_every_route_of_the_document_is_really_there(http: httpx.AsyncClient) -> None:
    document = (await http.get("/openapi.json")).json()
    for path, operations in document["paths"].items():
        for method in operations:
            response = await http.request(method, path.replace("{model}", "x"))
            assert response.status_code not in (404, 405), path


# ---- bytes that are no proper HTTP


async def test_a_head_that_never_ends_is_cut(port: int) -> None:
    filler = b"x-filler: " + b"a" * 8000 + b"\r\n"
    answer = await exchange(port, b"GET / HTTP/1.1\r\nhost: localhost\r\n", *[filler] * (MAX_HEAD_BYTES // 8000 + 2))
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b"head is over" in answer


@pytest.mark.parametrize("kind", ["many", "long"])
async def test_a_head_that_comes_at_once_is_bounded_too(port: int, kind: str) -> None:
    head = b"x: y\r\n" * 5000 if kind == "many" else b"x: " + b"y" * 120_000 + b"\r\n"
    body = b"POST /v1/models HTTP/1.1\r\nhost: localhost\r\ncontent-length: 3\r\n" + head + b"\r\nabc"
    answer = await exchange(port, body)
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["reason"] == "HEAD_TOO_LARGE"


async def test_a_head_within_bounds_may_come_in_pieces(port: int) -> None:
    head = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nx-filler: " + b"a" * 30_000 + b"\r\n\r\n"
    answer = await exchange(port, *(head[at : at + 1000] for at in range(0, len(head), 1000)))
    assert answer.startswith(b"HTTP/1.1 200 ")


async def test_a_body_does_not_count_as_head(port: int) -> None:
    body = b"x" * (3 * MAX_HEAD_BYTES)
    head = (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
        % len(body)
    )
    answer = await exchange(port, head, body)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"no JSON" in answer


async def test_a_connection_that_says_nothing_is_closed(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.http.protocol.HEAD_SECONDS", 0.05)
    assert await exchange(port, b"GET / HT") == b""
    assert await exchange(port) == b""


@pytest.mark.parametrize(
    "noise",
    [
        bytes(range(256)) * 4,
        b"hello world\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: evil.example\r\nhost: localhost\r\nconnection: close\r\n\r\n",
    ],
)
async def test_noise_is_answered_with_a_typed_400(port: int, noise: bytes) -> None:
    with capture_logs() as logged:
        head, _, body = (await exchange(port, noise)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert json.loads(body)["reason"] == "INVALID_HTTP"
    assert [line["peer"] for line in logged if line["event"] in ("http.refused", "call")] == ["127.0.0.1"]


@pytest.mark.parametrize(
    ("target", "host", "status"),
    [
        (b"http://evil.example/healthz", b"localhost", 403),
        (b"http://localhost@evil.example/healthz", b"localhost", 403),
        (b"http://localhost:80/healthz", b"evil.example", 200),
        (b"/healthz", b"localhost:1@evil.example", 403),
    ],
)
@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_a_request_is_for_whom_its_line_names(
    port: int, target: bytes, host: bytes, status: int, version: bytes
) -> None:
    request = b"GET %b HTTP/%b\r\nhost: %b\r\nconnection: close\r\n\r\n" % (target, version, host)
    assert (await exchange(port, request)).startswith(b"HTTP/1.1 %d " % status)


async def test_a_whole_url_is_checked_also_where_no_host_is_named(port: int) -> None:
    head = await exchange(port, b"GET http://evil.example/healthz HTTP/1.0\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 403 ")
    head = await exchange(port, b"GET http://localhost/healthz HTTP/1.1\r\nconnection: close\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")


async def test_http_1_0_gets_its_answer_without_chunks_and_needs_no_host(port: int) -> None:
    head, _, body = (await exchange(port, b"GET / HTTP/1.0\r\n\r\n")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close" in head
    assert b"transfer-encoding" not in head
    assert body.startswith(b"<!doctype html>")


async def test_an_encoded_body_is_named_as_such(http: httpx.AsyncClient) -> None:
    headers = {"content-encoding": "gzip"}
    response = await http.post("/v1/chat/completions", content=b"\x1f\x8b", headers=headers)
    assert response.status_code == 415
    assert "gzip" in response.json()["error"]["message"]


async def test_whoever_takes_the_websocket_for_a_page_is_told(http: httpx.AsyncClient) -> None:
    response = await http.get("/ws")
    assert (response.status_code, response.headers["upgrade"]) == (426, "websocket")
    assert response.json()["reason"] == "UPGRADE_REQUIRED"


async def test_a_refused_handshake_is_no_error_of_the_server(port: int, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(websockets.InvalidStatus):
        await websockets.connect(f"ws://127.0.0.1:{port}/", proxy=None)
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


@pytest.mark.parametrize(
    ("path", "origin", "status", "reason"),
    [("/", "", 404, "ROUTE_NOT_FOUND"), ("/ws", "http://evil.example", 403, "ORIGIN_NOT_ALLOWED")],
)
async def test_a_refused_handshake_says_why(port: int, path: str, origin: str, status: int, reason: str) -> None:
    headers = {"origin": origin} if origin else {}
    with pytest.raises(websockets.InvalidStatus) as caught:
        await websockets.connect(f"ws://127.0.0.1:{port}{path}", additional_headers=headers, proxy=None)
    assert caught.value.response.status_code == status
    assert json.loads(caught.value.response.body)["reason"] == reason


async def upgraded(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A WebSocket in its bare bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"GET /ws HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
        b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    await reader.readuntil(b"\r\n\r\n")
    return reader, writer


async def test_a_client_that_pings_and_reads_nothing_is_cut(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.http.protocol.MAX_WAITING_BYTES", 1000)
    _, writer = await upgraded(port)
    ping = b"\x89\xfd\0\0\0\0" + b"x" * 125
    with pytest.raises(ConnectionError):
        while True:
            writer.write(ping * 1000)
            await writer.drain()


async def test_a_message_of_endless_parts_ends_its_connection(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.http.protocol.MAX_FRAGMENTS", 100)
    reader, writer = await upgraded(port)
    writer.write(b"\x01\x80\0\0\0\0" + b"\0\x80\0\0\0\0" * 200)
    assert b"more than 100 fragments" in await reader.read()
    writer.close()


class Pipe:
    """A transport whose client reads as it is told."""

    def __init__(self) -> None:
        self.waiting, self.closing, self.aborted = 0, False, False

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def is_closing(self) -> bool:
        return self.closing

    def abort(self) -> None:
        self.aborted = True


class Looks:
    """A loop that only knows what it is asked to do later."""

    def __init__(self) -> None:
        self.due: list[Any] = []

    def call_later(self, _: float, callback: Any) -> None:
        self.due.append(callback)

    def pass_by(self) -> None:
        self.due.pop()()


def watched() -> tuple[Pipe, Looks]:
    pipe, looks = Pipe(), Looks()
    StallWatch(pipe, looks)  # type: ignore[arg-type]
    return pipe, looks


def test_a_client_that_takes_nothing_is_cut_off_even_while_its_connection_closes() -> None:
    pipe, looks = watched()
    pipe.waiting, pipe.closing = 1000, True
    for _ in range(LOOKS):
        assert not pipe.aborted
        looks.pass_by()
    assert pipe.aborted
    assert not looks.due


def test_a_client_that_takes_little_is_not_cut_off() -> None:
    pipe, looks = watched()
    for waiting in range(1000, 0, -100):
        pipe.waiting = waiting
        for _ in range(LOOKS - 1):
            looks.pass_by()
    assert not pipe.aborted


def test_a_closed_connection_is_watched_no_longer() -> None:
    pipe, looks = watched()
    looks.pass_by()
    assert looks.due
    pipe.closing = True
    looks.pass_by()
    assert not looks.due
