"""Clients that wait, go away or do not read; the stream's own rules."""

import asyncio
import json
from typing import Any

import httpx
import openai
import pytest
from starlette.types import Message

from bus import Code, RpcError
from bus.testing.hall import until
from gateway.http import stream as streams
from gateway.http.body import Disconnected
from gateway.http.stream import MAX_WAITING_BYTES, ResponseStream, unless_gone
from gateway.openai.errors import OPENAI
from gateway.settings import LimitSettings

MODEL = "scripted"


class Peer:
    """The server's side of one request, by hand. `blocked`: sends wait, as with a client that does not read."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.gone = asyncio.Event()
        self.free = asyncio.Event()
        self.free.set()
        self.changed = asyncio.Condition()

    async def receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        await self.free.wait()
        async with self.changed:
            self.sent.append(message)
            self.changed.notify_all()

    @property
    def bodies(self) -> list[bytes]:
        return [message["body"] for message in self.sent if message["type"] == "http.response.body"]

    async def until(self, text: bytes) -> None:
        async with self.changed:
            await self.changed.wait_for(lambda: text in b"".join(self.bodies))

    def stream(self, hold: float = 60, beat: float = 60) -> ResponseStream:
        return ResponseStream(self.receive, self.send, dialect=OPENAI, hold=hold, beat=beat)


def said(text: str) -> Any:
    return [{"role": "user", "content": text}]


# ---- the stream by itself


async def test_the_first_event_leaves_at_once_and_a_backlog_leaves_together() -> None:
    peer = Peer()

    async def produce(stream: ResponseStream) -> None:
        stream.write(b"1")
        await peer.until(b"1")
        for piece in (b"2", b"3", b"4"):
            stream.write(piece)

    await peer.stream().run(produce)
    assert peer.sent[0]["status"] == 200
    assert peer.bodies == [b"1", b"234"]
    assert [message.get("more_body") for message in peer.sent[1:]] == [True, False]


async def test_an_error_before_the_first_event_keeps_its_own_status() -> None:
    peer = Peer()

    async def produce(stream: ResponseStream) -> None:
        stream.comment("queued")
        raise RpcError(Code.NOT_FOUND, "no")

    with pytest.raises(RpcError, match="no"):
        await peer.stream().run(produce)
    assert peer.sent == []


async def test_an_error_after_the_first_event_becomes_one() -> None:
    peer = Peer()

    async def produce(stream: ResponseStream) -> None:
        stream.write(b"data: 1\n\n")
        await peer.until(b"1")
        raise ZeroDivisionError

    await peer.stream().run(produce)
    event = peer.bodies[1]
    assert event.startswith(b'data: {"error":')
    assert json.loads(event.removeprefix(b"data: "))["error"]["code"] == "internal_error"
    assert peer.sent[-1]["more_body"] is False


async def test_silence_is_filled_with_comments_also_before_the_first_event() -> None:
    peer = Peer()
    go_on = asyncio.Event()

    async def produce(stream: ResponseStream) -> None:
        stream.comment("queued position 2")
        await go_on.wait()
        stream.write(b"data: 1\n\n")

    running = asyncio.create_task(peer.stream(hold=0.01, beat=0.01).run(produce))
    await peer.until(b": queued position 2\n\n: \n\n: \n\n: \n\n")
    go_on.set()
    await running
    assert b"".join(peer.bodies).endswith(b"data: 1\n\n")


async def test_a_stream_that_talks_gets_no_heartbeats() -> None:
    peer = Peer()

    async def produce(stream: ResponseStream) -> None:
        for number in range(20):
            event = b"data: %d\n\n" % number
            stream.write(event)
            await peer.until(event)

    await peer.stream(hold=0.0, beat=30).run(produce)
    assert b": \n\n" not in b"".join(peer.bodies).removeprefix(b": \n\n")


async def test_a_client_that_goes_stops_the_producer_before_the_stream_ends() -> None:
    peer = Peer()
    stopped = asyncio.Event()

    async def produce(stream: ResponseStream) -> None:
        stream.write(b"1")
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    running = asyncio.create_task(peer.stream().run(produce))
    await peer.until(b"1")
    peer.gone.set()
    with pytest.raises(Disconnected):
        await running
    assert stopped.is_set()


async def test_the_producer_waits_for_a_client_that_reads_slowly() -> None:
    peer = Peer()
    peer.free.clear()
    full = asyncio.Event()

    async def produce(stream: ResponseStream) -> None:
        for _ in range(3):
            stream.write(b"x" * MAX_WAITING_BYTES)
            if stream.full:
                full.set()
            await stream.room()

    running = asyncio.create_task(peer.stream().run(produce))
    await full.wait()
    assert peer.sent == []
    peer.free.set()
    await running
    assert len(b"".join(peer.bodies)) == 3 * MAX_WAITING_BYTES


async def test_a_client_that_never_reads_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "STALL_SECONDS", 0.02)
    peer = Peer()
    stopped = asyncio.Event()

    async def produce(stream: ResponseStream) -> None:
        stream.write(b"1")
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    running = asyncio.create_task(peer.stream(hold=0.01, beat=0.01).run(produce))
    peer.free.clear()
    with pytest.raises(Disconnected):
        await running
    assert stopped.is_set()


async def test_a_whole_answer_is_not_worked_on_for_a_client_that_left() -> None:
    peer = Peer()
    begun, stopped = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    running = asyncio.create_task(unless_gone(peer.receive, work()))
    await begun.wait()
    peer.gone.set()
    with pytest.raises(Disconnected):
        await running
    assert stopped.is_set()


# ---- over real connections


@pytest.mark.parametrize(("word", "stream"), [("hang", False), ("hang", True), ("hang late", False)])
async def test_a_client_that_gives_up_while_it_waits_cancels_the_call(door: Any, word: str, stream: bool) -> None:
    async with httpx.AsyncClient(base_url=door.url, trust_env=False) as http:
        request = {"model": MODEL, "messages": said(word), "stream": stream}
        asking = asyncio.create_task(http.post("/v1/chat/completions", json=request))
        await door.chat.begun.wait()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await door.chat.cancelled.wait()


async def test_a_stream_is_counted_for_as_long_as_it_lasts(http: httpx.AsyncClient, door: Any) -> None:
    body = {"model": MODEL, "messages": said("hang late"), "stream": True}
    async with http.stream("POST", "/v1/chat/completions", json=body) as response:
        await anext(response.aiter_bytes())
        assert door.hub.doors.http.count() == 1
    await until(lambda: door.hub.doors.http.count() == 0)


async def test_a_client_that_closes_its_stream_cancels_the_call(client: openai.AsyncOpenAI, door: Any) -> None:
    stream = await client.chat.completions.create(model=MODEL, messages=said("hang late"), stream=True)
    async for chunk in stream:
        if chunk.choices[0].delta.content:
            break
    await stream.close()
    await door.chat.cancelled.wait()


async def test_the_clients_own_timeout_cancels_the_call(client: openai.AsyncOpenAI, door: Any) -> None:
    with pytest.raises(openai.APITimeoutError):
        await client.with_options(timeout=0.3).chat.completions.create(model=MODEL, messages=said("hang"))
    await door.chat.cancelled.wait()


async def test_a_client_that_does_not_read_stops_the_actor_not_the_hub(door: Any, client: openai.AsyncOpenAI) -> None:
    host, port = door.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
    body = json.dumps({"model": MODEL, "messages": said("endless"), "stream": True}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: {host}\r\ncontent-length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    await reader.readuntil(b"\r\n\r\n")
    before = -1
    while before != door.chat.endless:  # others are answered meanwhile
        before = door.chat.endless
        await client.chat.completions.create(model=MODEL, messages=said("Hi"))
    assert 0 < before * 1000 < 64 * 2**20
    writer.transport.abort()
    await door.chat.cancelled.wait()


async def test_a_client_of_http_1_0_gets_a_stream_that_ends_with_its_connection(door: Any) -> None:
    host, port = door.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    body = json.dumps({"model": MODEL, "messages": said("Hi"), "stream": True}).encode()
    writer.write(f"POST /v1/chat/completions HTTP/1.0\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
    head = await reader.readuntil(b"\r\n\r\n")
    events = (await reader.read()).split(b"\n\n")
    writer.close()
    assert b"transfer-encoding" not in head
    assert all(event.startswith((b"data: ", b": ")) for event in events[:-1])
    assert events[-2:] == [b"data: [DONE]", b""]


async def test_a_body_that_does_not_come_keeps_nobody_out(scripted: Any) -> None:
    async with scripted.door(limits=LimitSettings(max_calls=1)) as door, door.client() as client:
        host, port = door.url.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"POST /v1/chat/completions HTTP/1.1\r\nhost: {host}\r\ncontent-length: 9\r\n\r\n{{".encode())
        while not door.hub.limits.body_bytes:
            await asyncio.sleep(0)
        assert (await client.chat.completions.create(model=MODEL, messages=said("Hi"))).choices
        writer.close()
