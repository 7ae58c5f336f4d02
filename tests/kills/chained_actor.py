"""An actor that calls actors. Asked "echo N", it gives N answers of EchoService; else what troupe-tiny goes on with.

Each beginning of a call is a line in the file that CHAINED_BEGUN names, so that a call that was done twice is seen.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from bus import Context
from host import process
from host.member import Member
from host.settings import load
from troupe.chat.v1 import (
    ChatService,
    ChatServiceClient,
    CompleteRequest,
    CompleteResponse,
    Delta,
    Finish,
    FinishReason,
)
from troupe.echo.v1 import EchoServiceClient, RepeatRequest

ROUTE = "chained"
INTERVAL_MS = 10


class Chained(ChatService):
    """ChatService.Complete in two hops."""

    def __init__(self, member: Member, begun: Path) -> None:
        self._echo = EchoServiceClient(member.channel)
        self._chat = ChatServiceClient(member.channel)
        self._begun = begun

    async def complete(self, request: CompleteRequest, ctx: Context) -> AsyncIterator[CompleteResponse]:
        """See the module. The suffix names the call."""
        with self._begun.open("a") as lines:
            lines.write(f"{request.suffix}\n")
        if request.prompt.startswith("echo "):
            async for response in self._numbers(int(request.prompt.split()[1])):
                yield response
            return
        own = CompleteRequest(model="troupe-tiny", prompt=request.prompt, max_tokens=request.max_tokens)
        async for response in self._chat.complete(own):
            yield response

    async def _numbers(self, count: int) -> AsyncIterator[CompleteResponse]:
        asked = RepeatRequest(count=count)
        asked.interval.FromMilliseconds(INTERVAL_MS)
        async for number in self._echo.repeat(asked):
            if number.HasField("progress"):
                yield CompleteResponse(progress=number.progress)
            else:
                yield CompleteResponse(delta=Delta(text=f"{number.index} ", tokens=1))
        yield CompleteResponse(finish=Finish(reason=FinishReason.FINISH_REASON_STOP))


async def serve() -> int:
    """Serve until SIGTERM."""
    stop = process.stop_requested()
    settings = load()
    process.watch_parent(settings.supervisor.drain_seconds)
    async with Member(settings, "chained") as member:
        await member.serve(Chained(member, Path(os.environ["CHAINED_BEGUN"])), ChatService.INFO, route=ROUTE)
        await member.ready()
        await stop.wait()
        await member.drain(settings.supervisor.drain_seconds)
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(serve()))
