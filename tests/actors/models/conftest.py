"""Families behind one front, for every file of this folder."""

from collections.abc import AsyncIterator

import pytest

from bus.transports.nats import NatsTransport
from store import JetStream

from .test_actor import company, make, server

__all__ = ["company", "make", "server"]


@pytest.fixture(autouse=True)
async def _nothing_stays(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """What a test had stored on the server that all share is gone before the next."""
    yield
    if "server" in request.fixturenames:
        transport = await NatsTransport.connect(request.getfixturevalue("server").url, "sweeper")
        jetstream = JetStream(transport.client)
        for info in await jetstream.context.streams_info():
            await jetstream.context.delete_stream(str(info.config.name))
        await transport.close()
