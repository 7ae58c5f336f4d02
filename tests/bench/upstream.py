"""An OpenAI-compatible server that makes up its answers: the model's name says how fast and how long.

    python upstream.py PORT          model "fake-<tokens per second>-<tokens>", 0 = as fast as it can
Each token's text is the time at which it was made, in nanoseconds of the monotonic clock.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route


async def chat(request: Request) -> StreamingResponse:
    body = await request.json()
    _, rate, count = body["model"].rsplit("-", 2)
    return StreamingResponse(tokens(body["model"], float(rate), int(count)), media_type="text/event-stream")


async def tokens(model: str, rate: float, count: int) -> AsyncIterator[str]:
    head = {"id": "chatcmpl-fake", "object": "chat.completion.chunk", "created": 1, "model": model}
    due = time.monotonic()
    for index in range(count):
        delta = {"content": f" T{time.monotonic_ns()}"} | ({"role": "assistant"} if not index else {})
        yield event({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
        if rate:
            due += 1 / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        elif index % 16 == 15:
            await asyncio.sleep(0)
    yield event({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    yield "data: [DONE]\n\n"


def event(chunk: dict[str, object]) -> str:
    return f"data: {json.dumps(chunk)}\n\n"


if __name__ == "__main__":
    app = Starlette(routes=[Route("/v1/chat/completions", chat, methods=["POST"])])
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error", access_log=False, loop="uvloop")
