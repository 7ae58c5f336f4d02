import asyncio
from http.client import HTTPException

import pytest

from cli.readiness import MAX_BODY, get


async def answering(answer: bytes) -> tuple[int, bytes]:
    """What `get` makes of an answer."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"GET /readyz ")
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        return await asyncio.to_thread(get, f"http://127.0.0.1:{port}", "/readyz", 10.0)
    finally:
        server.close()
        await server.wait_closed()


async def test_status_and_body_are_given_also_while_something_is_missing() -> None:
    assert await answering(b"HTTP/1.1 503 -\r\ncontent-length: 2\r\n\r\n{}") == (503, b"{}")


async def test_a_body_is_read_up_to_a_bound() -> None:
    _, body = await answering(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + bytes(MAX_BODY + 1000))
    assert len(body) == MAX_BODY


async def test_what_is_no_http_is_an_error() -> None:
    with pytest.raises(HTTPException):
        await answering(b"SSH-2.0\r\n")
