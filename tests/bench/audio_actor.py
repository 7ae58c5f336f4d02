"""One method of EchoService as a process: Converse says back what it hears, Collect lets go of what it gets.

python audio_actor.py Converse|Collect      (NATS_URL says where the bus is)
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator

import uvloop

from actors.echo import EchoActor
from bus import Context, subjects
from bus.server import Server
from bus.transports import Handler
from bus.transports.nats import NatsTransport
from troupe.echo.v1 import CollectRequest, CollectResponse, EchoService


class OneMethod(NatsTransport):
    """Hears the calls of one method, so that sound and uploads have a process each, as they would in a hub."""

    method = ""

    async def subscribe(self, subject: str, handler: Handler, queue: str = "") -> "object":  # type: ignore[override]  # seen by Server alone
        if queue:
            subject = subjects.call(EchoService.INFO.name, self.method)
        return await super().subscribe(subject, handler, queue)


class AudioActor(EchoActor):
    """As echo, but takes uploads of any size."""

    async def collect(self, requests: AsyncIterator[CollectRequest], ctx: Context) -> CollectResponse:
        count = 0
        async for _ in requests:
            count += 1
        return CollectResponse(count=count)


async def main() -> None:
    OneMethod.method = sys.argv[1]
    server = Server(await OneMethod.connect(os.environ["NATS_URL"], f"audio-{sys.argv[1].lower()}"))
    await server.add(AudioActor(), EchoService.INFO)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
