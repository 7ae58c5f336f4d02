"""The way to what lasts: two holders of one name, on JetStream and in memory."""

import asyncio
from contextlib import aclosing

import pytest

from bus import Code, RpcError
from bus.testing import NatsServer
from bus.testing.faults import LosingTransport
from bus.transports.memory import MemoryBroker, MemoryTransport
from bus.transports.nats import NatsTransport
from store import JetStream, JetStreamTable, store_of
from troupe.rpc.v1 import Location, Progress

from .conftest import Place


async def test_two_holders_of_a_table_see_each_others_entries(place: Place) -> None:
    one, two = await place.one.table("shared", Location), await place.two.table("shared", Location)
    await one.put("k", Location(process="1"))
    found = await two.get("k")
    assert found is not None
    assert found.value == Location(process="1")
    async with asyncio.timeout(10), aclosing(two.watch()) as changes:
        first, second = await anext(changes), await anext(changes)
        assert first is not None
        assert (first.value, second) == (Location(process="1"), None)
        await one.delete("k")
        gone = await anext(changes)
        assert gone is not None
        assert (gone.key, gone.value) == ("k", None)


async def test_a_table_of_another_type_is_refused_and_converts_nothing(place: Place) -> None:
    table = await place.one.table("typed", Location)
    await table.put("k", Location(process="1"))
    with pytest.raises(RpcError, match=r"Location.*Progress") as caught:
        await place.two.table("typed", Progress)
    assert (caught.value.code, caught.value.reason) == (Code.FAILED_PRECONDITION, "STORED_TYPE_DIFFERS")


async def test_of_two_that_make_a_table_in_different_types_at_once_one_fails(place: Place) -> None:
    outcomes = await asyncio.gather(
        place.one.table("raced", Location), place.two.table("raced", Progress), return_exceptions=True
    )
    (failure,) = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert isinstance(failure, RpcError)
    assert failure.reason == "STORED_TYPE_DIFFERS"


async def test_a_table_that_is_full_refuses(place: Place) -> None:
    table = await place.one.table("small", Location, max_bytes=2000)
    await table.put("k", Location(process="x" * 1000))
    with pytest.raises(RpcError) as caught:
        await table.put("other", Location(process="x" * 1500))
    assert caught.value.reason == "STORE_FULL"
    await table.put("k", Location(process="y"))


async def test_two_holders_of_a_queue_share_its_jobs(place: Place) -> None:
    one, two = await place.one.queue("shared", Location), await place.two.queue("shared", Location)
    for name in "ab":
        await one.publish(Location(process=name))
    jobs = [await one.take(), await two.take()]
    assert sorted(job.value.process for job in jobs if job) == ["a", "b"]
    for job in jobs:
        assert job is not None
        await job.done()
    assert await one.take(0.05) is None


async def test_a_queue_of_another_type_is_refused(place: Place) -> None:
    await place.one.queue("typed", Location)
    with pytest.raises(RpcError) as caught:
        await place.two.queue("typed", Progress)
    assert caught.value.reason == "STORED_TYPE_DIFFERS"


async def test_closing_leaves_the_queues_to_others(place: Place) -> None:
    one, two = await place.one.queue("left", Location), await place.two.queue("left", Location)
    await place.one.close()
    await one.publish(Location(process="a"))
    job = await two.take(5.0)
    assert job is not None
    await job.done()


async def test_a_table_from_before_types_were_told_is_taken_over(jetstream: JetStream) -> None:
    await jetstream.context.create_key_value(bucket="older", history=1)
    table = await JetStreamTable.open(jetstream, "older", Location)
    await table.put("k", Location(process="1"))
    with pytest.raises(RpcError) as caught:
        await JetStreamTable.open(jetstream, "older", Progress)
    assert caught.value.reason == "STORED_TYPE_DIFFERS"
    await jetstream.context.delete_key_value("older")


async def test_a_wrapped_transport_keeps_what_the_wrapped_one_keeps() -> None:
    broker = MemoryBroker()
    assert store_of(LosingTransport(MemoryTransport(broker), seed=1)) is store_of(MemoryTransport(broker))
    assert store_of(MemoryTransport(MemoryBroker())) is not store_of(MemoryTransport(broker))


async def test_a_transport_without_a_store_is_told_so() -> None:
    with pytest.raises(RpcError) as caught:
        store_of(object())  # type: ignore[arg-type]  # as somebody's own transport
    assert (caught.value.code, caught.value.reason) == (Code.FAILED_PRECONDITION, "STORE_MISSING")


async def test_what_was_stored_outlives_the_server(nats_server: NatsServer) -> None:
    transport = await NatsTransport.connect(nats_server.url, "store")
    store = store_of(transport)
    table, queue = await store.table("t", Location), await store.queue("q", Location)
    await table.put("k", Location(process="1"))
    await queue.publish(Location(process="job"))
    nats_server.kill()
    await asyncio.to_thread(nats_server.start)
    found, job = await table.get("k"), await queue.take(10.0)
    assert found is not None
    assert job is not None
    assert (found.value.process, job.value.process) == ("1", "job")
    await transport.close()
