"""A table as a process knows it, on JetStream and in memory."""

import asyncio

from bus.testing import NatsServer
from bus.transports.nats import NatsTransport
from store import Mirror, store_of
from troupe.rpc.v1 import Location

from .conftest import Place


async def test_what_was_there_and_what_changes_is_known_and_listeners_hear_it(place: Place) -> None:
    ours, theirs = await place.one.table("seen", Location), await place.two.table("seen", Location)
    await theirs.put("old", Location(process="1"))
    mirror, heard = Mirror(ours), asyncio.Queue[str]()
    following = asyncio.create_task(mirror.run())
    async with asyncio.timeout(20):
        with mirror.heard_by(heard.put_nowait):
            await mirror.ready.wait()
            assert mirror.entries["old"].value == Location(process="1")
            while not heard.empty():
                heard.get_nowait()
            revision = await theirs.put("new", Location(process="2"))
            assert await heard.get() == "new"
            assert mirror.entries["new"].revision == revision
            mirror.note("new", Location(process="older"), revision - 1)
            assert mirror.entries["new"].value == Location(process="2")
            await theirs.delete("old")
            assert await heard.get() == "old"
            assert set(mirror.entries) == {"new"}
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


async def test_a_server_that_was_away_is_followed_again(nats_server: NatsServer) -> None:
    transport = await NatsTransport.connect(nats_server.url, "one")
    table = await store_of(transport).table("seen", Location)
    mirror, heard = Mirror(table), asyncio.Queue[str]()
    following = asyncio.create_task(mirror.run())
    async with asyncio.timeout(40):
        await mirror.ready.wait()
        nats_server.kill()
        await asyncio.to_thread(nats_server.start)
        with mirror.heard_by(heard.put_nowait):
            await table.put("k", Location(process="1"))
            await heard.get()
    assert mirror.entries["k"].value == Location(process="1")
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    await transport.close()
