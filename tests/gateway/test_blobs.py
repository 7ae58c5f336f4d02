"""Blobs over HTTP, written and read in place and, where the files are elsewhere, over the bus."""

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from actors.blobs import BlobActor, BlobSettings
from bus import Context
from gateway.identity import hash_key
from gateway.settings import AuthSettings, DoorSettings, HttpSettings, KeySettings
from troupe.blob.v1 import (
    BeginRequest,
    BeginResponse,
    BlobFileService,
    BlobService,
    LocateRequest,
    LocateResponse,
)

from .conftest import Gateway, Hall

CONTENT = random.Random(11).randbytes(3_300_000)
WORD = b"plant-4714"


class FarBlobs(BlobActor):
    """On another machine: nobody here sees its files. `asked` counts what went over the bus."""

    async def begin(self, request: BeginRequest, ctx: Context) -> BeginResponse:
        response = await super().begin(request, ctx)
        response.path = f"/nowhere/{response.id}"
        return response

    async def locate(self, request: LocateRequest, ctx: Context) -> LocateResponse:
        response = await super().locate(request, ctx)
        response.path = f"/nowhere/{response.blob.id}"
        return response


@pytest.fixture(params=[BlobActor, FarBlobs])
async def blobs(request: pytest.FixtureRequest, hall: Hall, tmp_path: Path) -> AsyncIterator[BlobActor]:
    actor: BlobActor = request.param(BlobSettings(min_free_bytes=0, max_upload_bytes=5_000_000), tmp_path)
    await actor.start()
    await hall.server.add(actor, BlobService.INFO)
    await hall.server.add(actor, BlobFileService.INFO)
    yield actor
    await actor.stop()


@pytest.fixture
async def web(gateway: Gateway, blobs: BlobActor) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=address(gateway), timeout=20) as client:
        yield client


def address(gateway: Gateway) -> str:
    return gateway.websocket_url.replace("ws://", "http://").removesuffix("/ws")


def holding(home: Path, word: bytes = WORD) -> list[str]:
    found = []
    for path in home.rglob("*"):
        with suppress(FileNotFoundError, IsADirectoryError):  # it goes meanwhile
            found += [path.name] if word in path.read_bytes() else []
    return found


async def put(web: httpx.AsyncClient, content: bytes = CONTENT, query: str = "?filename=a.wav") -> str:
    response = await web.post(f"/v1/blobs{query}", content=content, headers={"content-type": "audio/wav"})
    assert response.status_code == 201, response.text
    return str(response.json()["id"])


@pytest.mark.parametrize("size", [0, 1, len(CONTENT)])
async def test_a_body_is_kept_and_comes_back(web: httpx.AsyncClient, size: int) -> None:
    content = CONTENT[:size]
    digest = hashlib.sha256(content).hexdigest()
    query = f"?filename=t%E1%BB%87p.wav&expires_in=60&sha256={digest}"
    response = await web.post(f"/v1/blobs{query}", content=content, headers={"content-type": "audio/wav"})
    assert response.status_code == 201, response.text
    blob = response.json()
    assert response.headers["location"] == f"/v1/blobs/{blob['id']}"
    assert (blob["size"], blob["sha256"], blob["filename"], blob["media_type"]) == (
        size,
        digest,
        "tệp.wav",
        "audio/wav",
    )
    assert (blob["uri"], blob["expires_at"] >= blob["created_at"] + 60) == (f"blob:{blob['id']}", True)
    got = await web.get(response.headers["location"])
    assert (got.status_code, got.content, got.headers["content-type"]) == (200, content, "audio/wav")
    assert got.headers["content-disposition"] == "attachment; filename*=UTF-8''t%E1%BB%87p.wav"
    assert got.headers["etag"] == f'"{digest}"'
    head = await web.head(response.headers["location"])
    assert (head.headers["content-length"], head.content) == (str(size), b"")


async def test_a_body_of_unknown_length_is_kept(web: httpx.AsyncClient) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(CONTENT), 100_000):
            yield CONTENT[start : start + 100_000]

    blob = (await web.post("/v1/blobs", content=pieces())).json()
    assert (blob["media_type"], blob["filename"]) == ("application/octet-stream", "")
    assert (await web.get(f"/v1/blobs/{blob['id']}")).content == CONTENT


async def test_the_file_of_a_form_is_kept(web: httpx.AsyncClient) -> None:
    response = await web.post("/v1/blobs", data={"note": "x"}, files={"file": ("b.png", CONTENT, "image/png")})
    blob = response.json()
    assert (blob["media_type"], blob["filename"], blob["size"]) == ("image/png", "b.png", len(CONTENT))
    assert (await web.get(f"/v1/blobs/{blob['id']}")).content == CONTENT
    none = await web.post("/v1/blobs", files={"note": (None, b"x")})
    assert (none.status_code, none.json()["field"]) == (400, "file")


@pytest.mark.parametrize(
    ("header", "status", "expected"),
    [
        ("bytes=0-0", 206, slice(0, 1)),
        ("bytes=1000000-2000000", 206, slice(1_000_000, 2_000_001)),
        ("bytes=3299990-", 206, slice(3_299_990, None)),
        ("bytes=-5", 206, slice(-5, None)),
        ("bytes=0-1,5-6", 200, slice(None)),
    ],
)
async def test_a_range_is_given(web: httpx.AsyncClient, header: str, status: int, expected: slice) -> None:
    blob_id = await put(web)
    got = await web.get(f"/v1/blobs/{blob_id}", headers={"range": header})
    assert (got.status_code, got.content) == (status, CONTENT[expected])


async def test_a_copy_that_is_still_good_is_not_sent_and_a_range_beyond_the_end_is_refused(
    web: httpx.AsyncClient,
) -> None:
    blob_id = await put(web)
    etag = (await web.head(f"/v1/blobs/{blob_id}")).headers["etag"]
    again = await web.get(f"/v1/blobs/{blob_id}", headers={"if-none-match": etag})
    assert (again.status_code, again.content) == (304, b"")
    beyond = await web.get(f"/v1/blobs/{blob_id}", headers={"range": "bytes=3300000-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, "bytes */3300000")


async def test_a_deleted_blob_is_in_no_file(web: httpx.AsyncClient, tmp_path: Path) -> None:
    blob_id = await put(web, WORD * 1000)
    assert holding(tmp_path)
    assert (await web.delete(f"/v1/blobs/{blob_id}")).status_code == 204
    assert holding(tmp_path) == []
    for gone in (await web.get(f"/v1/blobs/{blob_id}"), await web.delete(f"/v1/blobs/{blob_id}")):
        assert (gone.status_code, gone.json()["reason"]) == (404, "BLOB_NOT_FOUND")


@pytest.mark.parametrize("blobs", [BlobActor], indirect=True)  # over the bus all of it may be on its way already
async def test_a_blob_that_is_deleted_while_it_is_read_cuts_the_answer_short(web: httpx.AsyncClient) -> None:
    blob_id = await put(web, CONTENT + CONTENT[:1_500_000])
    with pytest.raises(httpx.RemoteProtocolError):
        async with web.stream("GET", f"/v1/blobs/{blob_id}") as response:
            pieces = response.aiter_raw(1000)
            await anext(pieces)
            assert (await web.delete(f"/v1/blobs/{blob_id}")).status_code == 204
            async for _ in pieces:
                pass


async def test_what_is_too_large_is_refused_with_the_limit(web: httpx.AsyncClient, tmp_path: Path) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(60):
            yield CONTENT[:100_000]

    for content in (CONTENT * 2, pieces()):
        refused = await web.post("/v1/blobs", content=content)
        assert (refused.status_code, refused.json()["reason"]) == (413, "MESSAGE_TOO_LARGE")
    assert list((tmp_path / "blobs" / "partial").iterdir()) == []


async def test_content_that_is_not_what_was_promised_is_not_kept(web: httpx.AsyncClient, tmp_path: Path) -> None:
    refused = await web.post(f"/v1/blobs?sha256={'0' * 64}", content=WORD)
    problem = refused.json()
    assert (problem["status"], problem["reason"], problem["field"]) == (400, "DIGEST_MISMATCH", "sha256")
    assert holding(tmp_path) == []


async def test_a_full_store_is_called_so_whether_the_length_is_known_or_not(
    web: httpx.AsyncClient, blobs: BlobActor, tmp_path: Path
) -> None:
    files = blobs._files
    files.limits = replace(files.limits, total=1_000_000)

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield CONTENT[:100_000]

    for content in (CONTENT, pieces()):
        refused = await web.post("/v1/blobs", content=content)
        assert (refused.status_code, refused.json()["reason"]) == (507, "STORE_FULL")
        assert "announced" not in refused.text
    assert list((tmp_path / "blobs" / "partial").iterdir()) == []


async def test_a_form_of_two_files_is_refused_and_keeps_neither(web: httpx.AsyncClient, tmp_path: Path) -> None:
    files = [("one", ("a.wav", WORD, "audio/wav")), ("two", ("b.wav", WORD, "audio/wav"))]
    refused = await web.post("/v1/blobs", files=files)
    assert (refused.status_code, refused.json()["field"]) == (400, "two")
    assert holding(tmp_path) == []
    fields: list[Any] = [("file", ("a.wav", WORD, "audio/wav")), ("note", (None, b"x"))]
    assert (await web.post("/v1/blobs", files=fields)).status_code == 201


@pytest.mark.parametrize(
    ("query", "field"), [("size=3", "size"), ("expires_in=soon", "expires_in"), ("expires_in=0", "expires_in")]
)
async def test_what_is_said_wrongly_is_refused_with_its_field(web: httpx.AsyncClient, query: str, field: str) -> None:
    refused = await web.post(f"/v1/blobs?{query}", content=b"x")
    assert (refused.status_code, refused.json()["field"]) == (400, field)


async def test_a_client_that_goes_away_leaves_nothing(gateway: Gateway, web: httpx.AsyncClient, tmp_path: Path) -> None:
    host, port = address(gateway).removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST /v1/blobs HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 4000000\r\n\r\n" + WORD * 200_000)
    await writer.drain()
    async with asyncio.timeout(20):
        while not holding(tmp_path):
            await asyncio.sleep(0)
        writer.close()
        while list((tmp_path / "blobs" / "partial").iterdir()):
            await asyncio.sleep(0)
    assert holding(tmp_path) == []


async def test_each_key_has_its_own_blobs_and_needs_the_scope(hall: Hall, blobs: BlobActor) -> None:
    keys = [
        KeySettings(name=name, hash=hash_key(f"tr-{name}"), scopes=[scope])
        for name, scope in (("ada", "blobs"), ("bob", "blobs"), ("eve", "chat"))
    ]
    settings = DoorSettings(http=HttpSettings(port=0), auth=AuthSettings(keys=keys))
    async with hall.gateway(settings) as gateway, httpx.AsyncClient(base_url=address(gateway)) as web:
        head = {name: {"authorization": f"Bearer tr-{name}"} for name in ("ada", "bob", "eve")}
        made = await web.post("/v1/blobs", content=b"x", headers=head["ada"])
        where = made.headers["location"]
        assert (await web.get(where, headers=head["ada"])).content == b"x"
        assert (await web.get(where, headers=head["bob"])).json()["reason"] == "BLOB_NOT_FOUND"
        assert (await web.delete(where, headers=head["bob"])).status_code == 404
        assert (await web.get(where, headers=head["eve"])).status_code == 403
        assert (await web.get(where)).status_code == 401
