"""The straight way of messages out of the bytes that come, whatever else is between them and wherever they are cut."""

import asyncio
import random

import structlog
from hypothesis import given
from hypothesis import strategies as st

from bus.transports.direct_client import DirectClient, _DirectProtocol

PLAIN = st.tuples(st.just("plain"), st.sampled_from(["", "answer.here"]), st.binary(max_size=40))
WITH_HEADERS = st.tuples(st.just("headers"), st.sampled_from(["", "answer.here"]), st.binary(max_size=40))
ELSEWHERE = st.tuples(st.just("elsewhere"), st.just(""), st.binary(max_size=40))
SERVER = st.tuples(st.just("+OK"), st.just(""), st.just(b""))
HEADERS = b"NATS/1.0 503\r\n\r\n"


def line(kind: str, reply: str, payload: bytes) -> bytes:
    if kind == "+OK":
        return b"+OK\r\n"
    middle = f"{reply} " if reply else ""
    if kind == "headers":
        sizes = f"{len(HEADERS)} {len(HEADERS) + len(payload)}"
        return f"HMSG a.b 7 {middle}{sizes}\r\n".encode() + HEADERS + payload + b"\r\n"
    sid = 7 if kind == "plain" else 8
    return f"MSG a.b {sid} {middle}{len(payload)}\r\n".encode() + payload + b"\r\n"


class Peer:
    """A connection without a socket: bytes go into the protocol, and nats-py's parser reads what is left for it."""

    def __init__(self) -> None:
        self.client = DirectClient()
        self.heard: list[tuple[bytes, bytes, bytes]] = []
        self.client._takers[b"7"] = lambda subject, payload, reply, headers: self.heard.append(
            (payload, reply, headers)
        )
        self._reader = asyncio.StreamReader()
        self._protocol = _DirectProtocol(self._reader, self.client)

    def comes(self, data: bytes) -> None:
        self._protocol.data_received(data)

    async def nats_py_reads(self) -> None:
        buffered = bytes(self._reader._buffer)  # type: ignore[attr-defined]
        self._reader._buffer.clear()  # type: ignore[attr-defined]
        await self.client._ps.parse(buffered)


@given(
    messages=st.lists(st.one_of(PLAIN, WITH_HEADERS, ELSEWHERE, SERVER), max_size=12),
    cuts=st.lists(st.integers(1, 30), max_size=60),
    reads=st.randoms(use_true_random=False),
)
def test_every_message_comes_once_and_in_order(
    messages: list[tuple[str, str, bytes]], cuts: list[int], reads: random.Random
) -> None:
    async def run() -> None:
        peer = Peer()
        data = b"".join(line(*message) for message in messages)
        for size in [*cuts, len(data)]:
            peer.comes(data[:size])
            data = data[size:]
            if reads.random() < 0.5:
                await peer.nats_py_reads()
        await peer.nats_py_reads()
        mine = [(kind, reply, payload) for kind, reply, payload in messages if kind in ("plain", "headers")]
        assert peer.heard == [
            (payload, reply.encode(), HEADERS if kind == "headers" else b"") for kind, reply, payload in mine
        ]

    asyncio.run(run())


async def test_a_message_that_is_all_there_is_taken_at_once() -> None:
    peer = Peer()
    peer.comes(b"MSG a.b 7 2\r\nhi\r\nMSG a.b 7 5\r\nhal")
    assert [payload for payload, _, _ in peer.heard] == [b"hi"]
    peer.comes(b"lo\r\n")
    assert [payload for payload, _, _ in peer.heard] == [b"hi", b"hallo"]


async def test_a_taker_that_fails_does_not_end_the_reading() -> None:
    peer = Peer()

    def fails(*_: bytes) -> None:
        raise ValueError("its own fault")

    peer.client._takers[b"9"] = fails
    with structlog.testing.capture_logs() as logs:
        peer.comes(b"MSG a.b 9 2\r\nhi\r\nMSG a.b 7 2\r\nhi\r\n")
    assert [entry["event"] for entry in logs] == ["message.failed"]
    assert len(peer.heard) == 1


async def test_nonsense_is_left_to_nats_py() -> None:
    for nonsense in (
        b"MSG a.b 7 many\r\n",
        b"MSG a.b\r\n",
        b"MSG \r\n",
        b"HMSG a.b 7 1\r\n",
        b"HMSG a.b 7 x 3\r\nabc\r\n",
    ):
        peer = Peer()
        peer.comes(nonsense)
        assert peer.client.take(nonsense) == (0, False)
        assert not peer.heard
