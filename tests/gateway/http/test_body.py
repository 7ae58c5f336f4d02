from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from starlette.types import Message, Receive

from bus import Code, RpcError
from gateway.http import body
from gateway.http.body import Disconnected, JsonBody, bounded
from gateway.limits import Limits
from gateway.settings import LimitSettings


class Order(msgspec.Struct):
    name: str
    rows: list[int] = msgspec.field(default_factory=list)


def receiving(*pieces: bytes, gone: bool = False) -> Receive:
    """A client that sends these, and then the end of its body or of its connection."""
    messages: list[Message] = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    messages.append({"type": "http.disconnect"} if gone else {"type": "http.request", "body": b""})

    async def receive() -> Message:
        return messages.pop(0)

    return receive


async def whole(receive: Receive) -> bytes:
    return b"".join([piece async for piece in body.pieces(receive)])


def refused(caught: "pytest.ExceptionInfo[RpcError]") -> tuple[Code, str]:
    return caught.value.code, caught.value.reason


async def test_a_body_of_told_length_over_the_limit_is_refused_unread() -> None:
    receive = bounded({b"content-length": b"10"}, receiving(b"x" * 10), 10, "max_body_bytes")
    assert await whole(receive) == b"x" * 10
    with pytest.raises(RpcError, match=r"10 bytes.*\[limits\] max_upload_bytes") as caught:
        bounded({b"content-length": b"11"}, receiving(), 10, "max_upload_bytes")
    assert refused(caught) == (Code.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE")


async def test_a_body_in_chunks_over_the_limit_is_refused_when_it_gets_there() -> None:
    chunked = {b"transfer-encoding": b"chunked"}
    assert await whole(bounded(chunked, receiving(b"xxxxx", b"xxxxx"), 10, "max_body_bytes")) == b"x" * 10
    with pytest.raises(RpcError) as caught:
        await whole(bounded(chunked, receiving(b"xxxxx", b"xxxxx", b"x"), 10, "max_body_bytes"))
    assert caught.value.reason == "MESSAGE_TOO_LARGE"


@pytest.mark.parametrize("length", ["-1", "1e3", "９"])
def test_a_length_that_is_no_number_is_refused(length: str) -> None:
    with pytest.raises(RpcError) as caught:
        bounded({b"content-length": length.encode()}, receiving(), 10, "max_body_bytes")
    assert caught.value.reason == "MESSAGE_TOO_LARGE"


@pytest.mark.parametrize("take", ["read", "pieces"])
async def test_a_client_that_goes_in_mid_body_is_told_from_one_that_is_done(take: str) -> None:
    receive = receiving(b"half", gone=True)
    with pytest.raises(Disconnected):
        await (body.read(receive, Limits(LimitSettings())) if take == "read" else whole(receive))


@pytest.mark.parametrize("take", ["read", "pieces"])
async def test_a_body_that_does_not_come_is_given_up(take: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "READ_SECONDS", 0.01)

    async def silent() -> Message:
        raise TimeoutError

    with pytest.raises(RpcError, match="did not come within") as caught:
        await (body.read(silent, Limits(LimitSettings())) if take == "read" else whole(silent))
    assert refused(caught) == (Code.DEADLINE_EXCEEDED, "REQUEST_TIMEOUT")


async def test_pieces_are_asked_for_one_by_one() -> None:
    asked = 0
    inner = receiving(b"1", b"", b"2")

    async def receive() -> Message:
        nonlocal asked
        asked += 1
        return await inner()

    found: AsyncIterator[bytes] = body.pieces(receive)
    assert await anext(found) == b"1"
    assert asked == 1
    assert [piece async for piece in found] == [b"2"]


@pytest.mark.parametrize(
    ("given", "field", "reason"),
    [
        (b"", "", "INVALID_JSON"),
        (b"{", "", "INVALID_JSON"),
        (b'{"x": ' + b"[" * 100_000, "", "INVALID_JSON"),
        (b"{}", "name", "INVALID_ARGUMENT"),
        (b'{"name": 1}', "name", "INVALID_ARGUMENT"),
        (b'{"name": "x", "rows": [1, "2"]}', "rows[1]", "INVALID_ARGUMENT"),
    ],
)
def test_what_is_wrong_in_json_is_named_with_its_path(given: bytes, field: str, reason: str) -> None:
    with pytest.raises(RpcError) as caught:
        JsonBody(Order).decode(given)
    assert (caught.value.field, caught.value.reason) == (field, reason)


def test_half_a_character_at_the_end_is_not_taken_for_an_end_that_came_too_early() -> None:
    for given, words in (
        (rb'{"name": "\ud83d"}', r"\\ud83d is half of a surrogate pair"),
        (rb'{"name": "\ud83d', "truncated"),
        (rb'{"name": "x", "rows": [', "truncated"),
    ):
        with pytest.raises(RpcError, match=words):
            JsonBody(Order).decode(given)


def test_json_becomes_the_routes_own_type() -> None:
    found: Any = JsonBody(Order).decode(b'{"name": "x", "rows": [1], "unknown": 2}')
    assert found == Order("x", [1])
