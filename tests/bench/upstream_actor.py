"""ChatService in front of an OpenAI-compatible server: Troupe's place in the comparison with other proxies.

python upstream_actor.py UPSTREAM_URL ROUTE...      (NATS_URL says where the bus is)
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator

import aiohttp
import msgspec
import uvloop

from bus import Code, Context, NatsTransport, RpcError, Server
from troupe.chat.v1 import ChatService, Delta, Finish, FinishReason, GenerateRequest, GenerateResponse


class Choice(msgspec.Struct):
    delta: dict[str, str | None]
    finish_reason: str | None = None


class Chunk(msgspec.Struct):
    choices: list[Choice]


_decode = msgspec.json.Decoder(Chunk).decode


class UpstreamActor(ChatService):
    """Passes the conversation on and the tokens back."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def generate(self, request: GenerateRequest, ctx: Context) -> AsyncIterator[GenerateResponse]:
        messages = [{"role": "user", "content": message.parts[0].text} for message in request.messages]
        body = {"model": request.model, "messages": messages, "stream": True}
        async with self._session.post(f"{self._url}/v1/chat/completions", json=body) as response:
            if response.status != 200:
                raise RpcError(Code.UNAVAILABLE, f"The upstream says {response.status}.", reason="UPSTREAM_ERROR")
            async for line in response.content:
                if not line.startswith(b"data: {"):
                    continue
                choice = _decode(line[6:]).choices[0]
                text = choice.delta.get("content")
                if text:
                    yield GenerateResponse(delta=Delta(text=text, tokens=1))
                if choice.finish_reason:
                    yield GenerateResponse(finish=Finish(reason=FinishReason.FINISH_REASON_STOP))


async def main() -> None:
    transport = await NatsTransport.connect(os.environ["NATS_URL"], "upstream")
    connector = aiohttp.TCPConnector(limit=2000)
    async with aiohttp.ClientSession(connector=connector, read_bufsize=2**20) as session:
        server = Server(transport)
        actor = UpstreamActor(session, sys.argv[1])
        for route in sys.argv[2:]:
            await server.add(actor, ChatService.INFO, route)
        print("ready", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
