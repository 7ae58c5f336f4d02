"""Work that is given up when somebody wants it no more."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def unless(stop: asyncio.Event, work: Awaitable[T]) -> T | None:
    """What work comes to; None where `stop` was set before: then it was cancelled, and has ended."""
    running, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait([running, stopping], return_when=asyncio.FIRST_COMPLETED)
        if not running.done():
            running.cancel()
            await asyncio.wait([running])
        return None if running.cancelled() else running.result()
    finally:
        stopping.cancel()
        running.cancel()
