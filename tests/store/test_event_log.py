"""The event log, on JetStream and in memory: two of everything share one."""

import asyncio
from contextlib import aclosing

import pytest
from google.protobuf.message import Message

from bus import Code, RpcError
from bus.testing import NatsServer
from bus.transports.nats import NatsTransport
from store import EventLog, MemoryEventLog, MemoryEventStream, store_of
from store.events import ACK_SECONDS, MAX_EVENT_BYTES, REPEATED_SECONDS
from troupe.rpc.v1 import Location, Progress

from .conftest import Place


@pytest.fixture
async def log(place: Place) -> EventLog[Location]:
    return await place.one.events({"actor.started": Location, "actor.failed": Location})


def at(process: str) -> Location:
    return Location(process=process)


async def appended(log: EventLog[Location], *processes: str) -> None:
    for process in processes:
        await log.append("actor.started", at(process))


async def test_events_are_read_in_order_page_by_page(log: EventLog[Location]) -> None:
    await appended(log, *map(str, range(25)))
    first = await log.read(limit=10)
    assert [event.value.process for event in first.events] == [str(number) for number in range(10)]
    assert {event.kind for event in first.events} == {"actor.started"}
    second = await log.read(after=first.last, limit=100)
    assert [event.value.process for event in second.events] == [str(number) for number in range(10, 25)]
    assert (await log.read(after=second.last)).events == []
    assert (await log.read(after=second.last)).last == second.last


async def test_the_same_event_twice_is_written_once(log: EventLog[Location]) -> None:
    first = await log.append("actor.started", at("1"), "id-1")
    assert await log.append("actor.started", at("1"), "id-1") == first
    await log.append("actor.started", at("2"), "id-2")
    assert len((await log.read()).events) == 2


@pytest.mark.parametrize("kind", ["", "Upper", "a..b", "a b", "*", "a.>", "a.b.c.d.e", "x" * 41])
async def test_a_kind_that_is_none_is_refused(place: Place, log: EventLog[Location], kind: str) -> None:
    with pytest.raises(RpcError) as caught:
        await log.append(kind, at("1"))
    assert caught.value.code is Code.INVALID_ARGUMENT
    with pytest.raises(RpcError, match="kind of event"):
        await place.one.events({kind: Location})


async def test_a_log_is_opened_with_the_kinds_of_concern(place: Place) -> None:
    with pytest.raises(RpcError, match="kinds of event"):
        await place.one.events({})


async def test_what_the_log_was_not_opened_for_is_not_written(place: Place, log: EventLog[Location]) -> None:
    with pytest.raises(RpcError, match=r"actor\.started, actor\.failed") as caught:
        await log.append("job.finished", at("1"))
    assert caught.value.reason == "EVENT_KIND_UNKNOWN"
    mixed: EventLog[Message] = await place.one.events({"actor.failed": Location, "job.moved": Progress})
    with pytest.raises(RpcError, match=r"carries troupe\.rpc\.v1\.Progress") as caught:
        await mixed.append("job.moved", at("1"))
    assert caught.value.reason == "EVENT_TYPE_WRONG"
    assert (await mixed.read()).events == []


async def test_an_event_that_is_too_large_is_refused(log: EventLog[Location]) -> None:
    with pytest.raises(RpcError) as caught:
        await log.append("actor.started", at("x" * MAX_EVENT_BYTES))
    assert caught.value.reason == "MESSAGE_TOO_LARGE"


async def test_a_page_of_nothing_is_refused(log: EventLog[Location]) -> None:
    for attempt in (log.read(limit=0), log.quarantined(limit=0)):
        with pytest.raises(RpcError) as caught:
            await attempt
        assert caught.value.field == "limit"


async def test_each_reader_gets_its_kinds_in_its_types_and_passes_the_others(place: Place) -> None:
    starts = await place.one.events({"actor.started": Location})
    moves = await place.two.events({"job.moved": Progress})
    everything: EventLog[Message] = await place.two.events({"actor.started": Location, "job.moved": Progress})
    await starts.append("actor.started", at("1"))
    await moves.append("job.moved", Progress(position=77))
    last = await starts.append("actor.started", at("2"))
    assert [event.value for event in (await moves.read()).events] == [Progress(position=77)]
    assert [event.value.process for event in (await starts.read()).events] == ["1", "2"]
    assert [event.value for event in (await everything.read()).events] == [at("1"), Progress(position=77), at("2")]
    assert (await moves.read()).last == last, "what is no concern of a reader is passed"
    assert (await starts.read()).unreadable == (await moves.read()).unreadable == []
    async with asyncio.timeout(10), aclosing(moves.subscribe("moves")) as deliveries:
        assert (await anext(deliveries)).event.value == Progress(position=77)
    assert (await moves.quarantined()).total == 0


async def test_one_kind_in_two_types_is_set_aside_and_never_converted(place: Place) -> None:
    """A Progress at position 77 is, as bytes, a Location with epoch 77 or the like: only the name tells them apart."""
    writer = await place.one.events({"job.moved": Progress})
    reader = await place.two.events({"job.moved": Location})
    first = await writer.append("job.moved", Progress(position=77))
    last = await reader.append("job.moved", at("mine"))
    page = await reader.read()
    assert [event.value for event in page.events] == [at("mine")]
    (unreadable,) = page.unreadable
    assert (unreadable.sequence, unreadable.type_name) == (first, "troupe.rpc.v1.Progress")
    async with asyncio.timeout(10), aclosing(reader.subscribe("reader")) as deliveries:
        delivery = await anext(deliveries)
        assert (delivery.event.sequence, delivery.event.value) == (last, at("mine"))
    (aside,) = (await writer.quarantined()).newest
    assert aside == unreadable
    assert "not troupe.rpc.v1.Location" in aside.reason
    assert place.two.quarantined == 1


async def test_a_durable_reader_goes_on_where_it_stopped(place: Place) -> None:
    log = await place.one.events({"actor.started": Location})
    await appended(log, *"012345")
    found = []
    async with asyncio.timeout(10):
        for way in (place.one, place.two, place.one):
            again = await way.events({"actor.started": Location})
            async with aclosing(again.subscribe("projector")) as events:
                for _ in range(2):
                    delivery = await anext(events)
                    found.append(delivery.event.value.process)
                    await delivery.ack()
    assert found[:2] == ["0", "1"]
    assert sorted(found) == sorted(set(found)), "nothing acknowledged came again"


async def test_two_readers_of_different_names_get_each_event_and_two_of_one_name_share(place: Place) -> None:
    log = await place.one.events({"actor.started": Location})
    other = await place.two.events({"actor.started": Location})
    await appended(log, "1", "2")
    async with asyncio.timeout(10):
        for name, seen in (("a", ["1", "2"]), ("b", ["1", "2"])):
            async with aclosing(other.subscribe(name)) as events:
                got = [await anext(events), await anext(events)]
                assert [delivery.event.value.process for delivery in got] == seen
                for delivery in got:
                    await delivery.ack()
        async with aclosing(log.subscribe("a")) as mine, aclosing(other.subscribe("a")) as theirs:
            waiting = [asyncio.ensure_future(anext(mine)), asyncio.ensure_future(anext(theirs))]
            await log.append("actor.started", at("3"))
            await log.append("actor.started", at("4"))
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            got_one = done.pop().result()
            assert got_one.event.value.process in {"3", "4"}
            for task in waiting:
                task.cancel()
            await asyncio.wait(waiting)


async def test_a_waiting_reader_hears_of_a_new_event(place: Place, log: EventLog[Location]) -> None:
    other = await place.two.events({"actor.failed": Location})
    async with asyncio.timeout(10), aclosing(log.subscribe("late")) as events:
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.wait([waiting], timeout=0.05)
        await other.append("actor.failed", at("new"))
        assert (await waiting).event.value == at("new")


async def test_removed_events_leave_gaps_that_stop_nobody(place: Place, log: EventLog[Location]) -> None:
    await appended(log, "1", "2", "3")
    second = (await log.read()).events[1].sequence
    await place.remove_event(second)
    page = await log.read()
    assert [event.value.process for event in page.events] == ["1", "3"]
    assert (await log.read(after=second)).events == page.events[1:]
    async with asyncio.timeout(10), aclosing(log.subscribe("projector")) as events:
        assert [(await anext(events)).event.value.process for _ in range(2)] == ["1", "3"]


@pytest.mark.parametrize(
    ("type_name", "data", "why"),
    [("troupe.rpc.v1.Location", b"\xff\xff\xff", "bytes"), ("", b"", "untyped"), ("a.B", b"", "It is a.B")],
)
async def test_what_cannot_be_taken_is_set_aside_and_stops_nobody(
    place: Place, log: EventLog[Location], type_name: str, data: bytes, why: str
) -> None:
    await appended(log, "1")
    broken = await place.write_event("actor.failed", type_name, data)
    await appended(log, "3")
    page = await log.read()
    assert [event.value.process for event in page.events] == ["1", "3"]
    assert [unreadable.sequence for unreadable in page.unreadable] == [broken]
    async with asyncio.timeout(10), aclosing(log.subscribe("projector")) as events:
        for process in ("1", "3"):
            delivery = await anext(events)
            assert delivery.event.value.process == process
            await delivery.ack()
    quarantine = await log.quarantined()
    assert (quarantine.total, quarantine.newest) == (1, page.unreadable)
    assert why in quarantine.newest[0].reason
    assert quarantine.newest[0].kind == "actor.failed"


async def test_quarantine_shows_the_newest(place: Place, log: EventLog[Location]) -> None:
    broken = [await place.write_event("actor.failed", "", b"") for _ in range(5)]
    await appended(log, "1")
    async with asyncio.timeout(10), aclosing(log.subscribe("projector")) as events:
        await anext(events)
    quarantine = await log.quarantined(limit=2)
    assert quarantine.total == 5
    assert [aside.sequence for aside in quarantine.newest] == broken[-2:]


async def test_in_memory_what_is_not_acknowledged_comes_again_after_its_time() -> None:
    now = 0.0
    log = MemoryEventLog({"a.b": Location}, MemoryEventStream(clock=lambda: now))
    await log.append("a.b", at("1"))
    await log.append("a.b", at("2"))
    async with asyncio.timeout(10):
        async with aclosing(log.subscribe("r")) as events:
            await (await anext(events)).ack()
            assert (await anext(events)).event.value == at("2")
        await log.append("a.b", at("3"))
        async with aclosing(log.subscribe("r")) as events:
            assert (await anext(events)).event.value == at("3"), "2 is still the first subscription's own"
        now = ACK_SECONDS + 1
        async with aclosing(log.subscribe("r")) as events:
            assert [(await anext(events)).event.value.process for _ in range(2)] == ["2", "3"]


async def test_in_memory_an_id_is_remembered_for_two_minutes_and_the_oldest_events_go() -> None:
    now = 0.0
    stream = MemoryEventStream(max_bytes=len(at("1").SerializeToString()) * 3, clock=lambda: now)
    log = MemoryEventLog({"a.b": Location}, stream)
    assert await log.append("a.b", at("1"), "id") == await log.append("a.b", at("1"), "id") == 1
    now = REPEATED_SECONDS + 1
    assert await log.append("a.b", at("2"), "id") == 2
    for name in "345":
        await log.append("a.b", at(name))
    assert [event.sequence for event in (await log.read()).events] == [3, 4, 5]


async def test_a_kill_of_the_server_loses_and_doubles_nothing_acknowledged(nats_server: NatsServer) -> None:
    transport = await NatsTransport.connect(nats_server.url, "store")
    log = await store_of(transport).events({"a.b": Location})
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
