"""The event log, on JetStream and in memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from bus import Code, RpcError
from bus.testing import NatsServer
from bus.transports.nats import NatsTransport
from store import EventLog, JetStream, JetStreamEventLog, MemoryEventLog
from store.event_log import MAX_EVENT_BYTES
from troupe.rpc.v1 import Location


@pytest.fixture(params=["jetstream", "memory"])
async def log(request: pytest.FixtureRequest, jetstream: JetStream) -> AsyncIterator[EventLog[Location]]:
    if request.param == "memory":
        yield MemoryEventLog(Location)
        return
    made = await JetStreamEventLog.open(jetstream, Location)
    yield made
    await jetstream.context.delete_stream("EVENTS")
    await jetstream.context.delete_stream("EVENTS_QUARANTINE")


def at(process: str) -> Location:
    return Location(process=process)


async def append_broken(log: EventLog[Location], jetstream: JetStream) -> None:
    if isinstance(log, MemoryEventLog):
        await log.append_bytes("actor.broke", b"\xff\xff\xff")
    else:
        await jetstream.publish("event.actor.broke", b"\xff\xff\xff")


async def test_events_are_read_in_order_page_by_page(log: EventLog[Location]) -> None:
    for number in range(25):
        await log.append("actor.started", at(str(number)))
    first = await log.read(limit=10)
    assert [event.value.process for event in first.events] == [str(number) for number in range(10)]
    assert {event.kind for event in first.events} == {"actor.started"}
    second = await log.read(after=first.last, limit=100)
    assert [event.value.process for event in second.events] == [str(number) for number in range(10, 25)]
    assert (await log.read(after=second.last)).events == []
    assert (await log.read(after=second.last)).last == second.last


async def test_the_same_event_twice_is_written_once(log: EventLog[Location]) -> None:
    assert await log.append("a.b", at("1"), "id-1") == await log.append("a.b", at("1"), "id-1")
    await log.append("a.b", at("2"), "id-2")
    assert len((await log.read()).events) == 2


@pytest.mark.parametrize("kind", ["", "Upper", "a..b", "a b", "*", "a.>", "a.b.c.d.e", "x" * 41])
async def test_a_kind_that_is_none_is_refused(log: EventLog[Location], kind: str) -> None:
    with pytest.raises(RpcError) as caught:
        await log.append(kind, at("1"))
    assert caught.value.code is Code.INVALID_ARGUMENT


async def test_an_event_that_is_too_large_is_refused(log: EventLog[Location]) -> None:
    with pytest.raises(RpcError) as caught:
        await log.append("a.b", at("x" * MAX_EVENT_BYTES))
    assert caught.value.reason == "MESSAGE_TOO_LARGE"


async def test_a_durable_reader_goes_on_where_it_stopped(log: EventLog[Location]) -> None:
    for number in range(6):
        await log.append("a.b", at(str(number)))
    found = []
    async with asyncio.timeout(10):
        for _ in range(3):
            async with aclosing(log.subscribe("projector")) as events:
                for _ in range(2):
                    delivery = await anext(events)
                    found.append(delivery.event.value.process)
                    await delivery.ack()
    assert found[:2] == ["0", "1"]
    assert sorted(set(found)) == sorted(found), "nothing acknowledged came again"


async def test_a_waiting_reader_hears_of_a_new_event(log: EventLog[Location]) -> None:
    async with asyncio.timeout(10), aclosing(log.subscribe("late")) as events:
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.wait([waiting], timeout=0.05)
        await log.append("a.b", at("new"))
        assert (await waiting).event.value == at("new")


async def test_what_cannot_be_decoded_is_set_aside_and_stops_nobody(
    log: EventLog[Location], jetstream: JetStream
) -> None:
    await log.append("a.b", at("1"))
    await append_broken(log, jetstream)
    last = await log.append("a.b", at("3"))
    page = await log.read()
    assert [event.value.process for event in page.events] == ["1", "3"]
    assert page.unreadable == [last - 1]
    async with asyncio.timeout(10), aclosing(log.subscribe("projector")) as events:
        for process in ("1", "3"):
            delivery = await anext(events)
            assert delivery.event.value.process == process
            await delivery.ack()
    assert await log.quarantined() == [last - 1]


async def test_a_kill_of_the_server_loses_and_doubles_nothing_acknowledged(nats_server: NatsServer) -> None:
    transport = await NatsTransport.connect(nats_server.url, "store")
    log = await JetStreamEventLog.open(JetStream(transport.client), Location)
    acknowledged = 0
    kill_at = {50, 120}

    async def write() -> None:
        nonlocal acknowledged
        for number in range(200):
            await log.append("a.b", at(str(number)), f"id-{number}")
            acknowledged += 1
            if number in kill_at:
                asyncio.get_running_loop().call_soon(nats_server.kill)

    async with asyncio.timeout(30):
        writing = asyncio.create_task(write())
        for mark in sorted(kill_at):
            while acknowledged <= mark + 1 and not nats_server.is_down:
                await asyncio.wait([writing], timeout=0.005)
            await asyncio.to_thread(nats_server.start)
        await writing
        page = await log.read(limit=1000)
    assert [event.value.process for event in page.events] == [str(number) for number in range(200)]
    await transport.close()
