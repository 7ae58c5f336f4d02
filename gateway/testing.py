"""A hub's HTTP door for tests: opened and closed at once, many times a minute."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn

from gateway.app import create_app, uvicorn_config
from gateway.hub import Hub

LEAVE_SECONDS = 0.1
"""For what runs when the door is closed; afterwards it is cancelled."""


@asynccontextmanager
async def listening(hub: Hub) -> AsyncIterator[int]:
    """HTTP and WebSocket on a free port of the loopback, which is what the context gives; served as the gateway does.

    Without uvicorn's main loop, which looks ten times a second whether it is to end, and pauses before it does.
    """
    config = uvicorn_config(hub, create_app(hub))
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    socket = config.bind_socket()
    try:
        await server.startup(sockets=[socket])
        await server.on_tick(0)  # the date that answers tell
        yield int(socket.getsockname()[1])
    finally:
        await _close(server)
        socket.close()


async def _close(server: uvicorn.Server) -> None:
    for each in server.servers:
        each.close()
    for connection in list(server.server_state.connections):
        connection.shutdown()
    if running := set(server.server_state.tasks):
        _, late = await asyncio.wait(running, timeout=LEAVE_SECONDS)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
    await server.lifespan.shutdown()
