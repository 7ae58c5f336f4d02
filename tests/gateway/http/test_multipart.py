from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus import RpcError
from gateway.http.multipart import MAX_PARTS, Form

TYPE = "multipart/form-data; boundary=xYx"


async def cut(data: bytes, size: int) -> AsyncIterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


def part(name: str, content: bytes, filename: str = "", media_type: str = "") -> bytes:
    head = f'--xYx\r\nContent-Disposition: form-data; name="{name}"'
    head += f'; filename="{filename}"' if filename else ""
    head += f"\r\nContent-Type: {media_type}" if media_type else ""
    return head.encode() + b"\r\n\r\n" + content + b"\r\n"


END = b"--xYx--\r\n"


async def parts(data: bytes, size: int = 1000, content_type: str = TYPE) -> list[tuple[str, str, str, bytes]]:
    return [
        (found.name, found.filename, found.media_type, await found.read(10**6))
        async for found in Form(content_type, cut(data, size))
    ]


@given(st.binary(max_size=300).filter(lambda data: b"--xYx" not in data), st.integers(1, 50))
async def test_parts_come_whole_however_the_body_is_cut(content: bytes, size: int) -> None:
    data = part("model", b"tiny") + part("file", content, "tiếng.wav", "audio/wav") + END
    assert await parts(data, size) == [("model", "", "", b"tiny"), ("file", "tiếng.wav", "audio/wav", content)]


async def test_a_part_is_read_as_it_comes_and_no_further() -> None:
    taken = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal taken
        for piece in (part("file", b"")[:-2], b"a" * 1000, b"b" * 1000, b"c" * 1000, b"\r\n" + END):
            taken += 1
            yield piece

    async for found in Form(TYPE, pieces()):
        stream = aiter(found)
        assert set(await anext(stream)) == set(b"a")
        assert taken == 2


async def test_what_a_reader_leaves_of_a_part_is_skipped() -> None:
    data = part("file", b"x" * 5000) + part("model", b"tiny") + END
    assert [found.name async for found in Form(TYPE, cut(data, 100))] == ["file", "model"]


@pytest.mark.parametrize(
    ("data", "content_type", "words"),
    [
        (b"", "application/json", "not multipart"),
        (b"", "multipart/form-data", "lacks its boundary"),
        (part("a", b"1"), TYPE, "before its last boundary"),
        (b"nonsense", TYPE, "cannot be read"),
        (b"--xYx\r\nContent-Type: a/b\r\n\r\n1\r\n" + END, TYPE, "no name"),
        (part("a", b"") * (MAX_PARTS + 1) + END, TYPE, "over 64 parts"),
        (part("n" * 8192, b"") + END, TYPE, "header size"),
    ],
)
async def test_what_is_no_form_is_refused_with_a_reason(data: bytes, content_type: str, words: str) -> None:
    with pytest.raises(RpcError, match=words) as caught:
        await parts(data, content_type=content_type)
    assert caught.value.reason == "INVALID_FORM"


async def test_a_field_that_is_read_whole_is_bounded() -> None:
    with pytest.raises(RpcError, match="over 10 bytes") as caught:
        async for found in Form(TYPE, cut(part("a", b"x" * 11) + END, 5)):
            await found.read(10)
    assert caught.value.reason == "MESSAGE_TOO_LARGE"
