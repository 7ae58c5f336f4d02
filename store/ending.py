"""Ending tasks that wait for the store."""

import asyncio

AGAIN_SECONDS = 0.2


async def ended(*tasks: "asyncio.Task[None]") -> None:
    """Cancel tasks until each is over.

    Once is not enough: before Python 3.12 `asyncio.wait_for`, on which nats-py stands, keeps a cancelling to itself
    that comes with its answer, and a task that loops goes on.
    """
    left = {task for task in tasks if not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=AGAIN_SECONDS)
