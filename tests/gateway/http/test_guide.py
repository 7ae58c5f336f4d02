"""The page at /docs, the Postman collection and the icon."""

import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from gateway.app import create_app
from gateway.http.document import errors_of
from gateway.http.guide import PAGES
from gateway.openai.routes import ROUTES


@pytest.fixture
async def http(gateway: Any) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(gateway.hub))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client


async def test_the_page_and_what_it_needs_are_there_and_come_from_the_hub_alone(http: httpx.AsyncClient) -> None:
    page = await http.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "unsafe" not in page.headers["content-security-policy"]
    for path in re.findall(r'(?:href|src)="([^"]+)"', page.text):
        assert path.startswith("/")
        assert (await http.get(path)).status_code == 200, path
    for file in PAGES.iterdir():
        assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", file.read_text("utf-8")), file


async def test_the_page_has_nothing_that_the_policy_forbids() -> None:
    text = (PAGES / "docs.html").read_text("utf-8")
    assert "<style" not in text
    assert not re.search(r"\son\w+=|style=|<script(?![^>]*src)", text)


async def test_the_collection_has_every_route_with_examples_that_are_asked_of_the_hub(http: httpx.AsyncClient) -> None:
    found = (await http.get("/docs/postman.json")).json()
    items = {item["name"]: item["request"] for folder in found["item"] for item in folder["item"]}
    urls = {request["url"]["raw"] for request in items.values()}
    document = (await http.get("/openapi.json")).json()
    paths = {re.sub(r"\{(\w+)\}", r":\1", path) for path in document["paths"]} - {"/openapi.json", "/docs/postman.json"}
    assert urls == {"{{baseUrl}}" + path for path in paths}
    assert '"stream": true' in items["Answer a conversation. (stream)"]["body"]["raw"]
    assert items["The process runs."]["auth"] == {"type": "noauth"}


async def test_the_icon_is_there(http: httpx.AsyncClient) -> None:
    assert (await http.get("/favicon.ico")).headers["content-type"] == "image/svg+xml"


def test_every_route_has_an_example_for_what_it_takes_gives_and_refuses() -> None:
    for route in ROUTES:
        assert route.body is None or route.examples, route.path
        assert all(answer.example is not None for answer in route.answers), route.path
        assert errors_of(route), route.path
