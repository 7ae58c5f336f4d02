"""Loading, told of so often that nobody waits long without a word."""

import asyncio
from collections.abc import AsyncGenerator, Callable

from bus.waiting import SAY_AGAIN_SECONDS
from troupe.model.v1 import LoadModelResponse
from troupe.rpc.v1 import Progress


async def reminded(
    responses: AsyncGenerator[LoadModelResponse, None], first: Callable[[], Progress]
) -> AsyncGenerator[LoadModelResponse, None]:
    """The same responses, the last progress again whenever nothing new has come for SAY_AGAIN_SECONDS.

    first: what is said where nothing was told yet. Closing it, or being cancelled, closes them.
    """
    last: Progress | None = None
    coming: asyncio.Task[LoadModelResponse | None] | None = None
    try:
        while True:
            coming = coming or asyncio.create_task(_next(responses), name="loading")
            done, _ = await asyncio.wait([coming], timeout=SAY_AGAIN_SECONDS)
            if not done:
                yield LoadModelResponse(progress=last or first())
                continue
            response, coming = coming.result(), None
            if response is None:
                return
            last = response.progress if response.HasField("progress") else last
            yield response
    finally:
        if coming is not None:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)
        await responses.aclose()


async def _next(responses: AsyncGenerator[LoadModelResponse, None]) -> LoadModelResponse | None:
    return await anext(responses, None)
