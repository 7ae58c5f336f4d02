"""ChatService in front of an OpenAI-compatible server: Troupe's place in the comparison with other proxies.

python upstream_actor.py PORT ROUTE...      (NATS_URL says where the bus is)
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from typing import Any, cast

import httptools
import msgspec
import uvloop

from bus import Code, Context, RpcError
from bus.server import Server
from bus.transports.nats import NatsTransport
from troupe.chat.v1 import ChatService, Delta, Finish, FinishReason, GenerateRequest, GenerateResponse


class Choice(msgspec.Struct):
    delta: dict[str, str | None]
    finish_reason: str | None = None


class Chunk(msgspec.Struct):
    choices: list[Choice]


_decode = msgspec.json.Decoder(Chunk).decode


class Connection(asyncio.Protocol):
    """One connection, for one request after another; what an answer's body holds is read line by line."""

    def __init__(self) -> None:
        self._tail = b""
        self._lines: list[bytes] = []
        self._changed: asyncio.Future[None] | None = None
        self._over = False
        self.lost = False
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def ask(self, body: bytes) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._tail, self._lines, self._over = b"", [], False
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: upstream\r\nContent-Length: {len(body)}\r\n"
        self.transport.write(head.encode() + b"Content-Type: application/json\r\n\r\n" + body)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)
        self._wake()

    def on_body(self, body: bytes) -> None:
        *lines, self._tail = (self._tail + body).split(b"\n")
        self._lines += lines

    def on_message_complete(self) -> None:
        self._over = True

    def connection_lost(self, error: Exception | None) -> None:
        self._over = self.lost = True
        self._wake()

    def _wake(self) -> None:
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)

    @property
    def free(self) -> bool:
        """The answer has come whole; the next request may go out."""
        return self._over and not self._lines and not self.lost

    async def lines(self) -> AsyncIterator[bytes]:
        while True:
            lines, self._lines = self._lines, []
            for line in lines:
                yield line
            if self._over and not self._lines:
                break
            if not self._lines:
                self._changed = asyncio.get_running_loop().create_future()
                await self._changed
        if self._parser.get_status_code() != 200:
            raise RpcError(Code.UNAVAILABLE, "The upstream refuses.", reason="UPSTREAM_ERROR")


class UpstreamActor(ChatService):
    """Passes the conversation on and the tokens back, on connections that it keeps as every proxy does."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[Connection] = []

    async def _connection(self) -> Connection:
        while self._idle:
            found = self._idle.pop()
            if not found.lost:
                return found
        loop = asyncio.get_running_loop()
        _, made = await loop.create_connection(Connection, "127.0.0.1", self._port)
        return made

    async def generate(self, request: GenerateRequest, ctx: Context) -> AsyncIterator[GenerateResponse]:
        messages = [{"role": "user", "content": message.parts[0].text} for message in request.messages]
        body = msgspec.json.encode({"model": request.model, "messages": messages, "stream": True})
        connection = await self._connection()
        try:
            connection.ask(body)
            async for line in connection.lines():
                if not line.startswith(b"data: {"):
                    continue
                choice = _decode(line[6:]).choices[0]
                text = choice.delta.get("content")
                if text:
                    yield GenerateResponse(delta=Delta(text=text, tokens=1))
                if choice.finish_reason:
                    yield GenerateResponse(finish=Finish(reason=FinishReason.FINISH_REASON_STOP))
        finally:
            if connection.free:
                self._idle.append(connection)
            else:
                connection.transport.close()


async def main() -> None:
    transport = await NatsTransport.connect(os.environ["NATS_URL"], "upstream")
    server = Server(transport)
    actor = UpstreamActor(int(sys.argv[1]))
    for route in sys.argv[2:]:
        await server.add(actor, ChatService.INFO, route)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
