"""The neutral layer by itself: routes of no dialect, with every kind of body and answer."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import msgspec
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from structlog.testing import capture_logs

from bus import Code, RpcError
from gateway.app import served
from gateway.http.body import FormBody, JsonBody, RawBody
from gateway.http.document import openapi
from gateway.http.exchange import Exchange
from gateway.http.ranges import send_content
from gateway.http.routes import Answer, Parameter, Route
from gateway.http.security import Security
from gateway.http.stream import JSON_LINES, ResponseStream, plain_bytes
from gateway.hub import Hub
from gateway.limits import Limits
from gateway.settings import LimitSettings

CONTENT = bytes(range(200)) * 5


class Order(msgspec.Struct):
    name: str


async def answer_json(exchange: Exchange) -> None:
    await exchange.answer({"name": exchange.request.name, "metadata": exchange.metadata})


async def measure(exchange: Exchange) -> None:
    await exchange.answer({"size": sum([len(piece) async for piece in exchange.pieces()])})


async def measure_form(exchange: Exchange) -> None:
    await exchange.answer({part.name: len(await part.read(10**6)) async for part in exchange.form()})


async def lines(exchange: Exchange) -> None:
    async def produce(stream: ResponseStream) -> None:
        stream.comment("left out")
        stream.write(b'{"n":1}\n')
        await asyncio.sleep(0)
        raise RpcError(Code.UNAVAILABLE, "The engine ended.", reason="ENGINE_CRASHED")

    await exchange.stream(produce, JSON_LINES)


async def sound(exchange: Exchange) -> None:
    async def produce(stream: ResponseStream) -> None:
        for _ in range(3):
            stream.write(b"\0" * 640)
            await asyncio.sleep(0)

    await exchange.stream(produce, plain_bytes("audio/pcm"), headers=[(b"x-rate", b"24000")])


async def content(exchange: Exchange) -> None:
    name = exchange.path_parameter("name")

    async def read(begin: int, length: int) -> AsyncGenerator[bytes]:
        if name == "gone":
            raise RpcError(Code.NOT_FOUND, "There is no such blob.", reason="BLOB_NOT_FOUND")
        for at in range(begin, begin + length, 64):
            yield CONTENT[at : min(at + 64, begin + length)]

    await send_content(exchange, read, size=len(CONTENT), media_type="image/png", etag="e1", filename="Tệp 1.png")


ROUTES = [
    Route(verb="POST", path="/json", name="json", summary=".", handle=answer_json, body=JsonBody(Order)),
    Route(verb="POST", path="/raw", name="raw", summary=".", handle=measure, body=RawBody()),
    Route(verb="POST", path="/upload", name="upload", summary=".", handle=measure, body=RawBody(upload=True)),
    Route(
        verb="POST",
        path="/form",
        name="form",
        summary=".",
        handle=measure_form,
        body=FormBody({"file": "What is kept."}, {"model": "Which."}),
    ),
    Route(verb="GET", path="/lines", name="lines", summary=".", handle=lines),
    Route(verb="GET", path="/sound", name="sound", summary=".", handle=sound),
    Route(
        verb="GET",
        path="/content/{name:path}",
        name="content",
        summary=".",
        handle=content,
        answers=(Answer(None, "application/octet-stream"),),
        parameters=(Parameter("name", "Of the content."),),
    ),
]


@pytest.fixture
def http(gateway: Any) -> httpx.AsyncClient:
    hub: Hub = gateway.hub
    hub.limits.__init__(LimitSettings(max_body_bytes=1000, max_upload_bytes=2000))  # type: ignore[misc]  # its own
    app = Starlette(routes=served(hub, ROUTES), middleware=[Middleware(Security, hub=hub)])
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")


def problem(response: httpx.Response) -> tuple[int, str]:
    assert response.headers["content-type"] == "application/problem+json"
    found = response.json()
    assert found["status"] == response.status_code
    assert found["reference"]
    return response.status_code, found["reason"]


# ---- bodies


async def test_json_is_decoded_and_its_mistakes_are_problems(http: httpx.AsyncClient) -> None:
    assert (await http.post("/json", json={"name": "x"})).json()["name"] == "x"
    response = await http.post("/json", json={"name": 1})
    assert problem(response) == (400, "INVALID_ARGUMENT")
    assert response.json()["field"] == "name"


async def test_each_route_has_the_bound_of_its_kind(http: httpx.AsyncClient) -> None:
    assert (await http.post("/upload", content=b"x" * 2000)).json() == {"size": 2000}
    assert problem(await http.post("/upload", content=b"x" * 2001)) == (413, "MESSAGE_TOO_LARGE")
    assert problem(await http.post("/raw", content=b"x" * 1001)) == (413, "MESSAGE_TOO_LARGE")
    assert problem(await http.post("/json", json={"name": "x" * 1000})) == (413, "MESSAGE_TOO_LARGE")


async def test_a_form_is_read_part_by_part(http: httpx.AsyncClient) -> None:
    response = await http.post("/form", data={"model": "tiny"}, files={"file": ("a.wav", b"x" * 900)})
    assert response.json() == {"model": 4, "file": 900}
    assert problem(await http.post("/form", content=b"x")) == (400, "INVALID_FORM")


# ---- answers


async def test_lines_of_json_end_with_the_error_as_one(http: httpx.AsyncClient) -> None:
    response = await http.get("/lines")
    assert response.headers["content-type"] == "application/x-ndjson"
    first, last = response.text.splitlines()
    assert json.loads(first) == {"n": 1}
    assert json.loads(last)["reason"] == "ENGINE_CRASHED"


async def test_bytes_go_out_under_their_own_type(http: httpx.AsyncClient) -> None:
    response = await http.get("/sound")
    assert (response.headers["content-type"], response.headers["x-rate"]) == ("audio/pcm", "24000")
    assert response.content == b"\0" * 1920


@pytest.mark.parametrize(
    ("asked", "begin", "end"),
    [("bytes=0-0", 0, 1), ("bytes=10-", 10, 1000), ("bytes=-5", 995, 1000), ("bytes=900-5000", 900, 1000)],
)
async def test_a_range_is_answered_with_that_part(http: httpx.AsyncClient, asked: str, begin: int, end: int) -> None:
    response = await http.get("/content/x", headers={"range": asked})
    assert response.status_code == 206
    assert response.content == CONTENT[begin:end]
    assert response.headers["content-range"] == f"bytes {begin}-{end - 1}/1000"


@pytest.mark.parametrize("asked", ["", "bytes=5-2", "bytes=0-1,5-6", "lines=1-2", "bytes=-"])
async def test_what_is_no_single_range_is_answered_whole(http: httpx.AsyncClient, asked: str) -> None:
    response = await http.get("/content/x", headers={"range": asked} if asked else {})
    assert (response.status_code, response.content) == (200, CONTENT)
    assert response.headers["accept-ranges"] == "bytes"
    assert response.headers["content-disposition"] == "attachment; filename*=UTF-8''T%E1%BB%87p%201.png"


async def test_a_range_beyond_the_end_is_a_416_that_tells_the_size(http: httpx.AsyncClient) -> None:
    response = await http.get("/content/x", headers={"range": "bytes=1000-"})
    assert problem(response) == (416, "RANGE_NOT_SATISFIABLE")
    assert response.headers["content-range"] == "bytes */1000"


async def test_a_client_that_has_it_already_is_told_so(http: httpx.AsyncClient) -> None:
    response = await http.get("/content/x", headers={"if-none-match": 'W/"e0", "e1"'})
    assert (response.status_code, response.content) == (304, b"")
    stale = await http.get("/content/x", headers={"range": "bytes=0-0", "if-range": '"e0"'})
    assert (stale.status_code, len(stale.content)) == (200, 1000)


async def test_head_tells_the_size_and_sends_nothing(http: httpx.AsyncClient) -> None:
    response = await http.head("/content/x")
    assert (response.headers["content-length"], response.content) == ("1000", b"")


async def test_what_fails_before_the_first_byte_keeps_its_status(http: httpx.AsyncClient) -> None:
    assert problem(await http.get("/content/gone")) == (404, "BLOB_NOT_FOUND")


# ---- ids and the log


async def test_a_request_id_and_a_trace_go_into_the_calls_and_back(http: httpx.AsyncClient) -> None:
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    headers = {"x-request-id": "my-1", "traceparent": trace, "tracestate": "v=1"}
    response = await http.post("/json", json={"name": "x"}, headers=headers)
    assert {**headers, "troupe-principal": "local"}.items() <= response.json()["metadata"].items()
    assert (response.headers["x-request-id"], response.headers["traceparent"]) == ("my-1", trace)


@pytest.mark.parametrize("given", ["", "x" * 200, "a b", "ü"])
async def test_an_id_that_is_none_is_replaced(http: httpx.AsyncClient, given: str) -> None:
    headers = {b"x-request-id": given.encode(), b"traceparent": b"00-short-1-01"}
    response = await http.post("/json", json={"name": "x"}, headers=headers)
    assert response.headers["x-request-id"].startswith("req_")
    assert "traceparent" not in response.headers


async def test_every_error_is_in_the_log_with_its_reference_and_who_asked(http: httpx.AsyncClient) -> None:
    with capture_logs() as lines:
        response = await http.post("/json", json={"name": 1}, headers={"x-request-id": "r1"})
        await http.get("/lines")
    first, second = (line for line in lines if line["event"] == "call")
    assert first["reference"] == response.json()["reference"]
    assert (first["door"], first["verb"], first["path"], first["status"]) == ("http", "POST", "/json", 400)
    assert (first["request_id"], first["principal"], first["code"]) == ("r1", "local", "INVALID_ARGUMENT")
    assert first["bytes_in"] > 0
    assert 0 <= first["seconds"] < 60
    assert (second["status"], second["reason"], second["log_level"]) == (200, "ENGINE_CRASHED", "warning")


async def test_the_log_has_no_word_of_a_body_nor_of_a_query(http: httpx.AsyncClient) -> None:
    with capture_logs() as lines:
        await http.post("/json?key=sesame", json={"name": "a secret wish"})
        await http.post("/json", json={"name": ["a secret wish"]})
    assert len(lines) == 2
    assert "secret" not in str(lines)
    assert "sesame" not in str(lines)


# ---- the document


def test_the_document_tells_bodies_answers_and_errors_of_each_route() -> None:
    paths = openapi(ROUTES, "1")["paths"]
    assert set(paths) == {"/json", "/raw", "/upload", "/form", "/lines", "/sound", "/content/{name}"}
    form = paths["/form"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["properties"]["file"]["format"] == "binary"
    assert form["required"] == ["file"]
    assert set(paths["/json"]["post"]["responses"]) == {"400", "401", "403", "408", "413", "415"}
    error = paths["/json"]["post"]["responses"]["413"]["content"]["application/problem+json"]
    assert error["example"]["reason"] == "MESSAGE_TOO_LARGE"
    assert paths["/content/{name}"]["get"]["parameters"][0]["required"] is True


def test_an_allowance_for_uploads_leaves_others_small() -> None:
    limits = Limits(LimitSettings())
    assert (limits.max_body_bytes, limits.max_upload_bytes) == (8 * 2**20, 512 * 2**20)
